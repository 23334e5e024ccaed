"""A shared screen that cannot be seen: what is detected, what the engine is told, and what the user is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest

from pipeline.errors import FaultCode, MediaError
from pipeline.events import Event, ScreenFrameSent
from pipeline.media import EncodedFrame, ScreenFrame
from pipeline.peer import Peer
from pipeline.screen.screen_share import ScreenShare
from pipeline.screen.visibility import STALE_AFTER, Blindness, blindness_of
from tests.support.virtual_time import in_virtual_time

PEER = cast(Peer, object())


def frame(level: int = 200, *, arrived: float = 0.0, is_live: bool = True) -> ScreenFrame:
    half = np.full((36, 64), 128, np.uint8)
    return ScreenFrame(np.full((72, 128), level, np.uint8), half, half, True, arrived, is_live)


def test_a_live_video_without_a_frame_for_three_seconds_is_stale() -> None:
    assert blindness_of(frame(), STALE_AFTER - 0.1) is None
    assert blindness_of(frame(), STALE_AFTER) is Blindness.STALE
    assert blindness_of(frame(is_live=False), 600.0) is None


@pytest.mark.parametrize("level", [0, 16, 20])
def test_a_picture_without_light_is_black(level: int) -> None:
    assert blindness_of(frame(level), 0.0) is Blindness.BLACK


def test_a_dark_screen_with_text_is_not_black() -> None:
    dark = frame(16)
    dark.y[20:28, 40:80] = 180
    assert blindness_of(dark, 0.0) is None


class FakeReceiver:
    """An engine that records what it is sent, in order."""

    is_ready = True

    def __init__(self) -> None:
        self.received: list[str] = []

    def push_frame(self, frame: EncodedFrame) -> None:
        self.received.append(f"frame {frame.number}")

    def stop_screen_share(self) -> None:
        self.received.append("hidden")


@dataclass
class Sharing:
    share: ScreenShare
    engine: FakeReceiver
    events: list[Event] = field(default_factory=list)
    faults: list[MediaError] = field(default_factory=list)

    def show(self, level: int = 200) -> None:
        self.share.push_frame(PEER, frame(level, arrived=asyncio.get_running_loop().time()))


@asynccontextmanager
async def sharing() -> AsyncIterator[Sharing]:
    engine = FakeReceiver()
    events: list[Event] = []
    faults: list[MediaError] = []
    share = ScreenShare(engine, max_side=1280, send_event=events.append, on_error=faults.append)
    running = asyncio.create_task(share.run())
    try:
        yield Sharing(share, engine, events, faults)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@in_virtual_time
async def test_a_paused_share_is_taken_from_the_engine_and_told_to_the_user_once() -> None:
    async with sharing() as here:
        here.show()
        await asyncio.sleep(10)
        assert here.engine.received == ["frame 1", "hidden"]
        assert [(fault.code, fault.details) for fault in here.faults] == [
            (FaultCode.SCREEN_NOT_VISIBLE, {"reason": "stale"})
        ]
        note = here.share.note_for_turn()
        assert note is not None
        assert "for 10 seconds" in note
        assert here.share.latest_screenshot is None


@in_virtual_time
async def test_a_question_about_a_paused_share_sends_no_frame() -> None:
    async with sharing() as here:
        here.show()
        await asyncio.sleep(4)
        await here.share.send_for_turn()
        assert here.engine.received == ["frame 1", "hidden"]


@in_virtual_time
async def test_a_share_that_goes_on_is_sent_again_although_it_looks_as_before() -> None:
    async with sharing() as here:
        here.show()
        await asyncio.sleep(4)
        here.show()
        await asyncio.sleep(0.2)
        assert here.engine.received == ["frame 1", "hidden", "frame 2"]
        assert here.share.note_for_turn() is None
        await asyncio.sleep(4)
        assert len(here.faults) == 1


@in_virtual_time
async def test_a_share_that_repeats_its_picture_every_second_is_seen() -> None:
    async with sharing() as here:
        for _ in range(20):
            here.show()
            await asyncio.sleep(1)
        assert here.engine.received == ["frame 1"]
        assert not here.faults


@in_virtual_time
async def test_a_black_screen_is_never_sent() -> None:
    async with sharing() as here:
        here.show(level=16)
        await asyncio.sleep(1.2)
        await here.share.send_for_turn()
        assert here.engine.received == ["hidden"]
        assert [fault.details for fault in here.faults] == [{"reason": "black"}]
        assert "black" in (here.share.note_for_turn() or "")


@in_virtual_time
async def test_a_share_that_begins_with_a_black_picture_is_no_fault() -> None:
    async with sharing() as here:
        here.show(level=0)
        await asyncio.sleep(0.3)
        here.show()
        await asyncio.sleep(2)
        assert here.engine.received == ["hidden", "frame 1"]
        assert not here.faults


@in_virtual_time
async def test_a_new_share_tells_the_user_again() -> None:
    async with sharing() as here:
        for _ in range(2):
            here.show(level=0)
            await asyncio.sleep(1.2)
            assert here.share.stop(PEER)
        assert len(here.faults) == 2
        assert here.share.note_for_turn() is None


@in_virtual_time
async def test_a_question_gets_the_current_frame_before_it_ends_and_its_age_is_told() -> None:
    async with sharing() as here:
        here.show()
        await asyncio.sleep(0.5)
        here.show(level=100)
        await asyncio.sleep(0.05)
        await here.share.send_for_turn()
        assert here.engine.received == ["frame 1", "frame 2"]
        sent = [event for event in here.events if isinstance(event, ScreenFrameSent)]
        assert [event.age_ms for event in sent] == [0, 50]
