"""The set of conversations."""

import asyncio
from typing import cast

import pytest

from mediaserver.registry import Draining, Full, Registry
from pipeline.config import ConversationConfig
from pipeline.conversation.conversation import Conversation
from pipeline.engine import EngineListener
from pipeline.events import EndReason, SessionEnded
from pipeline.gemini.bridge import GeminiBridge
from pipeline.tools.toolbox import Toolbox
from tests.support.conversation_harness import FakeEngine, FakePeer, ManualFrameClock, vad_model


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
    registry = Registry(max_sessions=9, max_per_user=9)
    mine = conversation("id1", "my label")
    registry.start("ada", mine)
    assert registry.find("ada", "id1") is mine
    assert registry.find("ada", "my label") is mine
    assert registry.find("bob", "my label") is None
    await registry.drain(1.0)


async def test_a_conversation_that_ended_is_forgotten() -> None:
    registry = Registry(max_sessions=1, max_per_user=1)
    ending = conversation("id1")
    registry.start("ada", ending)
    await asyncio.sleep(0)
    ending.end(EndReason.CLIENT)
    async with asyncio.timeout(5):
        while len(registry):
            await asyncio.sleep(0)
    assert registry.find("ada", "id1") is None
    registry.start("ada", conversation("id2"))
    await registry.drain(1.0)


async def test_the_server_and_each_user_have_a_limit() -> None:
    registry = Registry(max_sessions=2, max_per_user=1)
    registry.start("ada", conversation("id1"))
    with pytest.raises(Full) as personal:
        registry.start("ada", conversation("id2"))
    assert personal.value.is_personal
    registry.start("bob", conversation("id3"))
    with pytest.raises(Full) as full:
        registry.start("eve", conversation("id4"))
    assert not full.value.is_personal
    assert len(registry) == 2
    await registry.drain(1.0)


async def test_draining_tells_everybody_and_takes_nobody_new() -> None:
    registry = Registry(max_sessions=2, max_per_user=2)
    live, peer = conversation("id1"), FakePeer()
    live.attach(peer)
    registry.start("ada", live)
    await asyncio.sleep(0)
    await registry.drain(5.0)
    assert peer.events[-1] == SessionEnded(EndReason.SHUTDOWN)
    assert len(registry) == 0
    with pytest.raises(Draining):
        registry.start("ada", conversation("id2"))


async def test_a_conversation_that_does_not_end_cannot_hold_up_the_shutdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediaserver.registry.CANCEL_DEADLINE", 0.05)
    registry = Registry(max_sessions=2, max_per_user=2)
    registry.start("ada", conversation("id1", engine=StubbornEngine))
    await asyncio.sleep(0)
    await registry.drain(0.05)
    assert len(registry) == 1
    StubbornEngine.let_go.set()
    async with asyncio.timeout(5):
        while len(registry):
            await asyncio.sleep(0)
