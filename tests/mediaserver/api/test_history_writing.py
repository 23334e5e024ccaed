"""Sessions over HTTP while they are being written, with the database they are written to."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from limits import parse

from mediaserver import deadline
from mediaserver.api.middleware import error_middleware
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.api.sessions import HistoryRoutes
from mediaserver.caller import Caller
from mediaserver.http_route import add_routes
from mediaserver.registry import Capacity, Registry
from mediaserver.store.connect import FILE
from mediaserver.store.database import READ_DEADLINE
from mediaserver.store.interface import Store, StoreError
from mediaserver.store.records import Entry
from mediaserver.store.writer import HistoryWriter
from tests.support.session_records import ADA, NOON, TOKENS, conversation, record, token_of

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    registry = Registry(Capacity(9, 9, 9, 9))
    yield registry
    await registry.drain(1.0)


@pytest.fixture
def writer(store: Store) -> HistoryWriter:
    """Never entered: it writes when it is told to, and not by itself."""
    return HistoryWriter(store, on_failure=lambda _: None)


@pytest.fixture
async def client(aiohttp_client: MakeClient, store: Store, registry: Registry, writer: HistoryWriter) -> Client:
    app = web.Application(middlewares=[error_middleware])
    add_routes(
        app,
        HistoryRoutes(
            registry, store, TOKENS, SlidingWindowRateLimiter(parse("1000/minute")), flush=writer.flush
        ).routes(),
    )
    return await aiohttp_client(app)


async def test_what_was_said_a_moment_ago_is_in_the_answer(client: Client, writer: HistoryWriter) -> None:
    writer.record(record("s1"))
    listed = await (await client.get("/api/v1/sessions", headers=token_of(ADA))).json()
    assert [session["id"] for session in listed["sessions"]] == ["s1"]
    writer.record(Entry("s1", NOON, "user", "hello", 1))
    history = await (await client.get("/api/v1/sessions/s1/history", headers=token_of(ADA))).json()
    assert [entry["text"] for entry in history["entries"]] == ["hello"]


async def test_a_live_session_that_was_deleted_does_not_come_back_with_its_last_words(
    client: Client, writer: HistoryWriter, registry: Registry
) -> None:
    registry.start(Caller(ADA.id, is_guest=False), conversation("s1", "mine"))
    writer.record(record("s1", label="mine"))
    assert (await client.delete("/api/v1/sessions/mine", headers=token_of(ADA))).status == 204
    writer.record(Entry("s1", NOON, "assistant", "Goodbye.", 1))
    writer.record(record("s1", label="mine"))
    assert (await client.get("/api/v1/sessions/s1", headers=token_of(ADA))).status == 404


async def test_what_cannot_be_written_is_not_answered_in_part(
    client: Client, store: Store, writer: HistoryWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise StoreError("disk full")

    writer.record(record("s1"))
    monkeypatch.setattr(store, "write", fail)
    assert (await client.get("/api/v1/sessions", headers=token_of(ADA))).status == 503


@pytest.mark.parametrize("path", ["/api/v1/sessions", "/api/v1/sessions/s1", "/api/v1/sessions/s1/history"])
async def test_a_locked_database_is_told_in_time_and_not_when_sqlite_gives_up(
    client: Client, tmp_path: Path, writer: HistoryWriter, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("mediaserver.store.database.READ_DEADLINE", 0.05)
    writer.record(record("s1"))
    with closing(sqlite3.connect(tmp_path / "data" / FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        response = await client.get(path, headers=token_of(ADA))
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert deadline._late  # SQLite still waits for the lock
    await asyncio.wait(deadline._late, timeout=5)
    monkeypatch.setattr("mediaserver.store.database.READ_DEADLINE", READ_DEADLINE)
    assert (await client.get(path, headers=token_of(ADA))).status == 200


def test_a_late_answer_still_comes_within_five_seconds() -> None:
    assert READ_DEADLINE < 5
