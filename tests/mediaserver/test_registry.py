"""The set of conversations."""

import asyncio
from typing import cast

import pytest

from mediaserver.caller import Caller
from mediaserver.registry import Capacity, Draining, Full, Registry, SessionLimit
from pipeline.config import ConversationConfig
from pipeline.conversation.conversation import Conversation
from pipeline.engine import EngineListener
from pipeline.events import EndReason, SessionEnded
from pipeline.gemini.bridge import GeminiBridge
from pipeline.tools.toolbox import Toolbox
from tests.support.conversation_harness import FakeEngine, FakePeer, ManualFrameClock, vad_model

ADA, BOB = Caller("ada", is_guest=False, address="192.0.2.1"), Caller("bob", is_guest=False, address="192.0.2.1")


def guest(number: int, address: str) -> Caller:
    return Caller(f"guest-{number}", is_guest=True, address=address)


class StubbornEngine(FakeEngine):
    """Does not end when it is asked to, but when it is let go."""

    let_go = asyncio.Event()

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            await self.let_go.wait()


def conversation(session: str, label: str = "", engine: type[FakeEngine] = FakeEngine) -> Conversation:
    def make_bridge(listener: EngineListener) -> GeminiBridge:
        return cast(GeminiBridge, engine(listener))

    config = ConversationConfig(session, label or session, "local", "local", None, "en", 600.0, 3600.0)
    return Conversation(
        config, vad=vad_model(), frame_clock=ManualFrameClock(), toolbox=Toolbox(), make_bridge=make_bridge
    )


async def test_a_conversation_is_found_by_id_or_label_by_its_owner_only() -> None:
    registry = Registry(Capacity(9, 9, 9, 9))
    mine = conversation("id1", "my label")
    registry.start(ADA, mine)
    assert registry.find("ada", "id1") is mine
    assert registry.find("ada", "my label") is mine
    assert registry.find("bob", "my label") is None
    await registry.drain(1.0)


async def test_a_conversation_that_ended_is_forgotten() -> None:
    registry = Registry(Capacity(1, 1, 1, 1))
    ending = conversation("id1")
    registry.start(ADA, ending)
    await asyncio.sleep(0)
    ending.end(EndReason.CLIENT)
    async with asyncio.timeout(5):
        while len(registry):
            await asyncio.sleep(0)
    assert registry.find("ada", "id1") is None
    registry.start(ADA, conversation("id2"))
    await registry.drain(1.0)


async def test_the_server_and_each_user_have_a_limit() -> None:
    registry = Registry(Capacity(total=2, guests=2, per_user=1, per_address=2))
    registry.start(ADA, conversation("id1"))
    assert refusal(registry, ADA) is SessionLimit.USER
    registry.start(BOB, conversation("id2"))
    assert refusal(registry, Caller("eve", is_guest=False)) is SessionLimit.SERVER
    assert len(registry) == 2
    await registry.drain(1.0)


async def test_guests_of_one_address_have_a_limit_together() -> None:
    registry = Registry(Capacity(total=9, guests=9, per_user=9, per_address=2))
    for number in range(2):
        registry.start(guest(number, f"2001:db8:1:2::{number}"), conversation(f"id{number}"))
    assert refusal(registry, guest(2, "2001:db8:1:2:ffff::1")) is SessionLimit.ADDRESS
    assert refusal(registry, guest(2, "2001:db8:1:3::1")) is None
    assert refusal(registry, Caller("ada", is_guest=False, address="2001:db8:1:2::9")) is None
    await registry.drain(1.0)


async def test_accounts_that_anybody_can_make_count_by_address_too() -> None:
    registry = Registry(Capacity(total=9, guests=9, per_user=9, per_address=1, counts_accounts_by_address=True))
    registry.start(ADA, conversation("id1"))
    assert refusal(registry, BOB) is SessionLimit.ADDRESS
    assert refusal(registry, guest(1, ADA.address)) is SessionLimit.ADDRESS
    await registry.drain(1.0)


async def test_guests_of_all_addresses_leave_a_share_to_accounts() -> None:
    registry = Registry(Capacity(total=3, guests=2, per_user=9, per_address=9))
    for number in range(2):
        registry.start(guest(number, f"192.0.2.{number}"), conversation(f"id{number}"))
    assert refusal(registry, guest(2, "192.0.2.9")) is SessionLimit.GUESTS
    registry.start(ADA, conversation("id3"))
    assert refusal(registry, BOB) is SessionLimit.SERVER
    await registry.drain(1.0)


def refusal(registry: Registry, caller: Caller) -> SessionLimit | None:
    """The limit that keeps a caller out, or None."""
    try:
        registry.check_capacity(caller)
    except Full as full:
        return full.limit
    return None


async def test_draining_tells_everybody_and_takes_nobody_new() -> None:
    registry = Registry(Capacity(2, 2, 2, 2))
    live, peer = conversation("id1"), FakePeer()
    live.attach(peer)
    registry.start(ADA, live)
    await asyncio.sleep(0)
    await registry.drain(5.0)
    assert peer.events[-1] == SessionEnded(EndReason.SHUTDOWN)
    assert len(registry) == 0
    with pytest.raises(Draining):
        registry.start(ADA, conversation("id2"))


async def test_a_conversation_that_does_not_end_cannot_hold_up_the_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediaserver.registry.CANCEL_DEADLINE", 0.05)
    registry = Registry(Capacity(2, 2, 2, 2))
    registry.start(ADA, conversation("id1", engine=StubbornEngine))
    await asyncio.sleep(0)
    await registry.drain(0.05)
    assert len(registry) == 1
    StubbornEngine.let_go.set()
    async with asyncio.timeout(5):
        while len(registry):
            await asyncio.sleep(0)
