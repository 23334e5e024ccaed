"""Offers whose client never connects, on true conversations."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aioice.ice
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from mediaserver.api.middleware import error_middleware
from mediaserver.auth.users import User
from mediaserver.half_open import HalfOpenConnections
from mediaserver.http_route import add_routes
from mediaserver.registry import Capacity, Registry
from mediaserver.rtc.config import Config, RtcLimits
from mediaserver.session_factory import EngineClient, ServerDefaults, SessionFactory
from mediaserver.webrtc.routes import SDP, Whip
from pipeline.config import TurnSettings
from pipeline.engine import EngineListener
from pipeline.playout.frame_clock import FrameClock
from tests.support import fake_conversation
from tests.support.conversation_harness import FakeEngine, vad_model
from tests.support.leak_check import nothing_left
from tests.support.offers import DATA_ONLY


class Names:
    """A token is a user's name."""

    def verify(self, token: str) -> User:
        return User(token, token, is_guest=token.startswith("guest-"))

    def check(self, user: User) -> None:
        """Take every user that was verified for one that still is."""


@dataclass
class Abandoned:
    """A server, and a client that offers and never connects."""

    client: "TestClient[web.Request, web.Application]"
    registry: Registry
    half_open: HalfOpenConnections

    async def offer(self, user: str, label: str = "") -> ClientResponse:
        headers = {"Authorization": f"Bearer {user}", "Content-Type": SDP}
        query = f"?session={label}" if label else ""
        return await self.client.post(f"/whip{query}", data=DATA_ONLY, headers=headers)


@asynccontextmanager
async def serving(limits: RtcLimits, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Abandoned]:
    vars(aioice.ice._mdns).clear()  # holds a lock for the process, which belongs to the loop of an earlier test

    def make_bridge(client: object, config: object, *, listener: EngineListener, timeouts: object) -> FakeEngine:
        del client, config, timeouts
        return FakeEngine(listener)

    monkeypatch.setattr("mediaserver.session_factory.GeminiBridge", make_bridge)
    registry, half_open = Registry(Capacity(total=50, guests=40, per_user=4, per_address=10)), HalfOpenConnections()
    no_client: Any = None
    factory = SessionFactory(
        registry,
        EngineClient("local", no_client, "local", None, "medium"),
        ServerDefaults(600, 3600, 1280, TurnSettings()),
        vad_model(),
        FrameClock(),
        half_open=half_open,
    )
    whip = Whip(factory, Names(), fake_conversation.Counter(), config=Config(limits=limits), half_open=half_open)
    app = web.Application(middlewares=[error_middleware])
    add_routes(app, whip.routes())
    async with nothing_left(), TestClient(TestServer(app)) as client:
        yield Abandoned(client, registry, half_open)
        await registry.drain(5)
        await whip.close()
    assert len(half_open) == len(registry) == 0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def test_abandoned_offers_never_shut_their_own_user_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(RtcLimits(), monkeypatch) as server:
        for number in range(12):
            assert (await server.offer("ann", f"s{number}")).status == 201
            assert len(server.registry) <= 4
            assert len(server.half_open) <= 4
        assert [each.config.label for each in server.registry.conversations()] == ["s8", "s9", "s10", "s11"]


async def test_many_offers_to_one_session_leave_few_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(RtcLimits(), monkeypatch) as server:
        for _ in range(12):
            assert (await server.offer("ann", "desk")).status == 201
            assert len(server.half_open) <= 8
        assert [each.peers for each in server.registry.conversations()] == [8]


async def test_an_address_that_offers_too_much_waits_and_closes_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(RtcLimits(), monkeypatch) as server:
        statuses = Counter([(await server.offer(f"user{number}")).status for number in range(20)])
        assert statuses == {201: 8, 429: 12}
        refused = await server.offer("user99")
        assert (await refused.json())["error"]["code"] == "RATE_LIMITED"
        assert refused.headers["Retry-After"] == "10"
        assert len(server.registry) == 8


async def test_guests_of_one_address_fill_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(RtcLimits(connect=60.0), monkeypatch) as server:
        server.half_open._per_address = 50
        refused = [await server.offer(f"guest-{number}") for number in range(12)][10:]
        assert [each.status for each in refused] == [429, 429]
        assert (await refused[0].json())["error"]["details"]["limit"] == "address"
        assert (await server.offer("ann")).status == 201


async def test_an_abandoned_offer_is_let_go_with_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RtcLimits().connect == 10.0
    async with serving(RtcLimits(connect=0.1, tick=0.02), monkeypatch) as server:
        assert (await server.offer("ann")).status == 201
        assert len(server.registry) == len(server.half_open) == 1
        await until(lambda: not len(server.half_open))
        await until(lambda: not len(server.registry))
