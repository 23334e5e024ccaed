"""What is published about the HTTP interface holds, whatever is sent."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest
import schemathesis
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from mediaserver.store.records import Account
from mediaserver.store.sql_store import open_store
from mediaserver.webrtc.routes import FRAGMENT, RECORDING, SDP
from tests.support.running_api import ADA, FACTS, HASHER, NOON, TOKENS, published

schemathesis.serializer.alias([SDP, FRAGMENT, RECORDING], "text/plain")

T = TypeVar("T")

LONGEST_LINE = 1 << 16
"""Bytes of a request line: a LiveKit token may be asked for with a long query."""

SCHEMA = schemathesis.openapi.from_dict(published()[1])


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a real database, on a thread of its own: schemathesis is synchronous."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait_for(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    store = wait_for(open_store(None, data_dir=tmp_path_factory.mktemp("data")))
    wait_for(store.add_account(Account(ADA.id, ADA.username, "ada@example.org", None, HASHER.hash("a password"), NOON)))
    wait_for(store.write(FACTS))
    server = TestServer(published(store)[0], host="127.0.0.1")
    wait_for(server.start_server(max_line_size=LONGEST_LINE))
    yield str(server.make_url("/")).rstrip("/")
    wait_for(server.close())
    wait_for(store.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@SCHEMA.parametrize()
@settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_answer_is_a_bug_or_undocumented(case: schemathesis.Case[Any], address: str) -> None:
    headers = {"Authorization": f"Bearer {TOKENS.issue(ADA)}"}
    # No schema can say which SDP is an offer, or which cursor was given.
    excluded: list[schemathesis.CheckFunction] = [positive_data_acceptance]
    if case.query and set(case.query) - {parameter.name for parameter in case.operation.query}:
        excluded.append(negative_data_rejection)  # fields that nobody knows are ignored
    case.call_and_validate(base_url=address, headers=headers, excluded_checks=excluded)
