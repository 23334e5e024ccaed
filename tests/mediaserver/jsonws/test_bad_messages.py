"""Bad messages have a budget for each address, which good ones in between do not renew."""

import asyncio

import aiohttp
import pytest

from mediaserver.bad_messages import BadMessageBudget
from mediaserver.jsonws import connection
from mediaserver.jsonws.codec import Envelope, parse
from mediaserver.jsonws.connection import SharedBounds
from tests.support.jsonws_harness import Server


def test_the_addresses_of_an_ipv6_network_share_a_budget() -> None:
    budget = BadMessageBudget(2)
    assert budget.spend("2001:db8::1")
    assert budget.spend("2001:db8::2")
    assert not budget.spend("2001:db8::3")
    assert budget.is_spent("2001:db8::4")
    assert not budget.is_spent("2001:db8:0:1::1")
    assert budget.spend("192.0.2.1")


async def test_a_socket_that_mixes_bad_messages_with_good_ones_is_closed(server: Server) -> None:
    server.socket._bounds = SharedBounds(BadMessageBudget(30))
    client = await server.started()
    for _ in range(31):
        await client.send("dance")
        await client.send("interrupt")
    assert await client.closed() == 1008
    assert [message["code"] for message in client.seen if message["action"] == "error"] == ["UNKNOWN_ACTION"] * 31


async def test_sockets_of_an_address_share_the_budget_and_one_without_a_token_is_refused(server: Server) -> None:
    server.socket._bounds = SharedBounds(BadMessageBudget(3))
    for count in (3, 1):
        client = await server.started(f"desk{count}")
        for _ in range(count):
            await client.send("dance")
            assert await client.code() == "UNKNOWN_ACTION"
    assert await client.closed() == 1008
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await server.connect("")
    assert refused.value.status == 429
    assert (await (await server.connect()).start(sessionId="other"))["sessionId"] == "other"


async def test_long_messages_are_parsed_one_at_a_time_on_the_whole_server(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    parsing, most = [0], [0]

    def count(step: int) -> None:
        parsing[0] += step
        most[0] = max(most[0], parsing[0])

    def parse_counted(data: bytes) -> Envelope:
        if len(data) > 1 << 16:
            loop.call_soon_threadsafe(count, 1)
        try:
            return parse(data)
        finally:
            if len(data) > 1 << 16:
                loop.call_soon_threadsafe(count, -1)

    monkeypatch.setattr(connection, "parse", parse_counted)
    clients = [await server.started(f"desk{number}") for number in range(4)]
    for client in clients:
        await client.show(bytes(1 << 20))
    assert [await client.code() for client in clients] == ["UNSUPPORTED_FORMAT"] * 4
    assert most[0] == 1
