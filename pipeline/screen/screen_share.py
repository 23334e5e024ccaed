"""The screen share of a conversation: sends changed frames to the engine, and the current one with each question."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from pipeline.errors import FaultCode, MediaError
from pipeline.events import Event, ScreenFrameSent, SeenReason
from pipeline.media import EncodedFrame, ScreenFrame
from pipeline.peer import Peer
from pipeline.screen.deduplicator import Deduplicator
from pipeline.screen.jpeg_encoder import encode_jpeg
from pipeline.screen.visibility import STALE_AFTER, Blindness, blindness_of

ASSESS_INTERVAL = 0.1
"""Least seconds between two frames that are compared with the one sent last; the frames between are skipped."""

BLACK_AFTER = 1.0
"""Seconds of black after which the user gets an error; a share may begin with a black picture."""

_NOT_VISIBLE = {
    Blindness.STALE: f"The shared screen has sent no picture for {STALE_AFTER:g} seconds. Is it paused or hidden?",
    Blindness.BLACK: "The shared screen is black. Bring the window to the front, or share another one.",
}


class FrameReceiver(Protocol):
    """The engine, as far as frames are concerned."""

    @property
    def is_ready(self) -> bool:
        """Whether frames can be sent now."""
        ...

    def push_frame(self, frame: EncodedFrame) -> None:
        """Send a frame; returns at once."""
        ...

    def stop_screen_share(self) -> None:
        """Note that the screen is not seen any more."""
        ...


class ScreenShare:
    """Offers every frame to the deduplicator, and sends the chosen ones to the engine as JPEGs."""

    def __init__(
        self,
        engine: FrameReceiver,
        *,
        max_side: int,
        send_event: Callable[[Event], None],
        on_error: Callable[[MediaError], None],
    ):
        self.latest_screenshot: EncodedFrame | None = None
        """The newest frame that was encoded for the engine, while a screen is shared."""
        self._engine = engine
        self._max_side = max_side
        self._send_event = send_event
        self._on_error = on_error
        self._deduplicator = Deduplicator()
        self._owner: Peer | None = None
        self._wakeup = asyncio.Event()
        self._lock = asyncio.Lock()
        self._encoded_frames = 0
        self._blindness: Blindness | None = None
        self._blind_since = 0.0
        self._told: set[Blindness] = set()

    @property
    def frames_seen(self) -> int:
        """Number of frames that arrived."""
        return self._deduplicator.offered_frames

    @property
    def frames_dropped(self) -> int:
        """Number of frames that arrived and were never sent to the engine."""
        return self._deduplicator.dropped_frames

    def push_frame(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a frame; only the newest is kept."""
        self._owner = peer
        self._deduplicator.offer(frame)
        self._wakeup.set()

    def stop(self, peer: Peer) -> bool:
        """End the share if it is this peer's; whether it was."""
        if self._owner is not peer:
            return False
        self._owner = None
        self._deduplicator.clear()
        self.latest_screenshot = None
        self._blindness = None
        self._told.clear()
        return True

    def note_for_turn(self) -> str | None:
        """Return what the model must know of the screen with a question that begins now; None if it is seen."""
        now = time.monotonic()
        self._check_visibility(now)
        frame = self._deduplicator.latest
        if frame is None or self._blindness is None:
            return None
        if self._blindness is Blindness.BLACK:
            return "[The shared screen is black. Say that you cannot see it, and do not describe it.]"
        return (
            f"[The shared screen has sent no picture for {round(now - frame.arrived)} seconds. "
            "Say that you cannot see it now, and do not describe it.]"
        )

    async def run(self) -> None:
        """Send changed frames, at most one a second, until cancelled."""
        while True:
            await self._wait_for_work()
            self._wakeup.clear()
            self._check_visibility(time.monotonic())
            await self._send_if(lambda: self._deduplicator.reason_to_send(time.monotonic()))
            await asyncio.sleep(ASSESS_INTERVAL)

    async def send_for_turn(self) -> None:
        """Send the current frame for a question that is complete now, unless the engine already has it.

        A screen that cannot be seen is taken from the engine instead. Without an engine session the frame is encoded
        and kept, so that `resend_latest` sends it before the question.
        """
        self._check_visibility(time.monotonic())
        await self._send_if(self._deduplicator.reason_for_turn, keeps=True)

    def resend_latest(self) -> None:
        """Send the newest frame to a fresh engine session, before any input that was kept for it."""
        if self.latest_screenshot is not None:
            self._send(self.latest_screenshot, SeenReason.FIRST)
        else:
            self._deduplicator.forget_sent()
        self._wakeup.set()

    async def _wait_for_work(self) -> None:
        checks = [self._deduplicator.next_check if self._engine.is_ready else None, self._next_visibility_check()]
        next_check = min((check for check in checks if check is not None), default=None)
        try:
            async with asyncio.timeout(None if next_check is None else max(0.0, next_check - time.monotonic())):
                await self._wakeup.wait()
        except TimeoutError:
            pass  # the newest frame is assessed again

    def _next_visibility_check(self) -> float | None:
        frame = self._deduplicator.latest
        if frame is None:
            return None
        if self._blindness is None:
            return frame.arrived + STALE_AFTER if frame.is_live else None
        return None if self._blindness in self._told else self._blind_since + BLACK_AFTER

    def _check_visibility(self, now: float) -> None:
        frame = self._deduplicator.latest
        if frame is None:
            return
        before, self._blindness = self._blindness, blindness_of(frame, now)
        if self._blindness is None:
            return
        if before is None:
            self._blind_since = now
            self._deduplicator.forget_sent()  # what is seen next is sent, although it may look as before
            self.latest_screenshot = None
            self._engine.stop_screen_share()
        is_lasting = self._blindness is Blindness.STALE or now - self._blind_since >= BLACK_AFTER
        if is_lasting and self._blindness not in self._told:
            self._told.add(self._blindness)
            details: dict[str, object] = {"reason": self._blindness.value}
            message = _NOT_VISIBLE[self._blindness]
            self._on_error(MediaError(FaultCode.SCREEN_NOT_VISIBLE, message, where="screen", details=details))

    async def _send_if(self, reason_to_send: Callable[[], SeenReason | None], *, keeps: bool = False) -> None:
        async with self._lock:
            frame = self._deduplicator.latest
            if frame is None or self._blindness is not None or not (keeps or self._engine.is_ready):
                return
            try:
                reason = reason_to_send()
                if reason is None:
                    return
                self._deduplicator.mark_sent(frame, time.monotonic())
                jpeg, width, height = await asyncio.to_thread(encode_jpeg, frame, max_side=self._max_side)
            except MediaError as error:
                self._deduplicator.forget_sent()
                self._on_error(error)
                return
            if self._deduplicator.latest is None or self._blindness is not None:
                return  # the share ended, or could not be seen any more, while the frame was encoded
            self._encoded_frames += 1
            self.latest_screenshot = EncodedFrame(jpeg, width, height, self._encoded_frames, frame.arrived)
            if self._engine.is_ready:
                self._send(self.latest_screenshot, reason)

    def _send(self, frame: EncodedFrame, reason: SeenReason) -> None:
        self._engine.push_frame(frame)
        age = time.monotonic() - frame.arrived
        self._send_event(ScreenFrameSent(frame.number, round(age * 1000), reason))
