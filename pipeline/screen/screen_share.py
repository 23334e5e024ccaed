"""The shared screen of one conversation: which frames the engine sees, and the newest of them."""

import asyncio
import time
from collections.abc import Callable

from pipeline.errors import MediaError
from pipeline.events import Event, ScreenFrameSent, SeenReason
from pipeline.media import EncodedFrame, ScreenFrame
from pipeline.peer import Peer
from pipeline.screen.deduplicator import Deduplicator, encode_jpeg


class ScreenShare:
    """Takes every frame, and shows the engine the few that matter.

    `show` is given each picture for the engine, if `is_ready` says that there is one to show it to; `tell` what was
    shown, and `fail` what could not be.
    """

    def __init__(
        self,
        *,
        max_side: int,
        is_ready: Callable[[], bool],
        show: Callable[[EncodedFrame], None],
        tell: Callable[[Event], None],
        fail: Callable[[MediaError], None],
    ):
        self.still: EncodedFrame | None = None
        """The newest picture the engine was shown, while a screen is shared."""
        self._max_side = max_side
        self._is_ready = is_ready
        self._show = show
        self._tell = tell
        self._fail = fail
        self._screen = Deduplicator()
        self._owner: Peer | None = None
        self._news = asyncio.Event()
        self._line = asyncio.Lock()
        self._shown = 0

    @property
    def frames_seen(self) -> int:
        """Frames that came."""
        return self._screen.seen_frames

    @property
    def frames_dropped(self) -> int:
        """Frames that came and were never shown to the engine."""
        return self._screen.dropped_frames

    def push_frame(self, peer: Peer, frame: ScreenFrame) -> None:
        """Take a frame; only the newest is kept."""
        self._owner = peer
        self._screen.offer(frame)
        self._news.set()

    def stop(self, peer: Peer) -> bool:
        """Forget the share if it is this peer's; whether it was."""
        if self._owner is not peer:
            return False
        self._owner = None
        self._screen.clear()
        self.still = None
        return True

    async def run(self) -> None:
        """Show what has changed, at most once a second."""
        while True:
            await self._news.wait()
            await asyncio.sleep(max(0.0, self._screen.next_send_time - time.monotonic()))
            self._news.clear()
            await self._show_if(self._screen.reason_to_send)

    async def send_for_turn(self) -> None:
        """Show what a question that is complete now is about, unless the engine has seen just that.

        While there is no engine, the picture is made and waits for one, so that it goes before the question.
        """
        await self._show_if(self._screen.for_turn, keeps=True)

    def resend_latest(self) -> None:
        """A fresh engine has seen nothing: it gets the newest picture at once, before what has waited for it."""
        if self.still is not None:
            self._show(self.still)
            self._report_sent(self.still, SeenReason.FIRST)
        elif self._screen.latest is not None:
            self._screen.forget_sent()
            self._news.set()

    async def _show_if(self, why: Callable[[float], SeenReason | None], *, keeps: bool = False) -> None:
        async with self._line:
            frame = self._screen.latest
            if frame is None or not (keeps or self._is_ready()):
                return
            try:
                reason = why(time.monotonic())
                if reason is None:
                    return
                self._screen.sent(frame, time.monotonic())
                jpeg, width, height = await asyncio.to_thread(encode_jpeg, frame, max_side=self._max_side)
            except MediaError as error:
                self._screen.forget_sent()
                self._fail(error)
                return
            if self._screen.latest is None:
                return  # the share ended while the picture was made
            self._shown += 1
            self.still = EncodedFrame(jpeg, width, height, self._shown, frame.arrived)
            if self._is_ready():
                self._show(self.still)
                self._report_sent(self.still, reason)

    def _report_sent(self, still: EncodedFrame, reason: SeenReason) -> None:
        age = time.monotonic() - still.arrived
        self._tell(ScreenFrameSent(still.number, round(age * 1000), reason))
