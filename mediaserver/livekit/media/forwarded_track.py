"""Another client's microphone or video as a track: sent on encoded as it came, at the cost of a copy."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import Packet

from mediaserver.rtc.aiortc_patches.media import is_keyframe
from mediaserver.rtc.throttle import Throttle

RATES = {"audio": 48_000, "video": 90_000}
"""The RTP clocks (Hz) of Opus, and of VP8 and H.264."""

CAPACITY = {"audio": 10, "video": 60}
"""Packets of audio (200 ms) or frames of video that wait to be sent; a client that takes fewer loses some."""

MAX_BYTES = 4_000_000

KEYFRAME_PERIOD = 0.4
"""How often (s) the source is asked for a key frame while frames come that are no use without one."""

_JUMP = 10.0


class RelativeTime:
    """RTP time that begins at 0 and only grows, of a source whose own wraps, or starts anew somewhere else."""

    def __init__(self, rate: int, clock: Callable[[], float]):
        self._rate = rate
        self._clock = clock
        self._last: tuple[int, float] | None = None
        self._now = 0

    def take(self, stamp: int) -> int | None:
        """The time of what is stamped so; None if it is older than what was taken before."""
        now = self._clock()
        if self._last is not None:
            step = (stamp - self._last[0] + 0x80000000) % 0x100000000 - 0x80000000
            if abs(step) > _JUMP * self._rate:
                step = max(1, int((now - self._last[1]) * self._rate))
            if step <= 0:
                return None
            self._now += step
        self._last = (stamp, now)
        return self._now


class ForwardedTrack(MediaStreamTrack):
    """Give it what another client sends; it waits for nobody, and drops what is not taken in time.

    Video begins, and goes on after something was dropped, with a key frame, for which `ask` is called.
    """

    def __init__(
        self,
        kind: str,
        *,
        ask: Callable[[], None],
        source_codec: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__()
        self.kind = kind
        self.source_codec = source_codec
        """What the source sends, such as VP8, or nothing if that is not known."""
        self.codec: str | None = None
        """What its section is sent with, such as VP8, once that is negotiated."""
        self._ask_source = ask
        self._clock = clock
        self._time = RelativeTime(RATES[kind], clock)
        self._time_base = Fraction(1, RATES[kind])
        self._frames: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._arrival = asyncio.Event()
        self._requests = Throttle(KEYFRAME_PERIOD)
        self._is_taken = False  # by a sender, which starts when the connection stands
        self._is_paused = False
        self._needs_keyframe = kind == "video"

    def push(self, codec: str, data: bytes, stamp: int) -> None:
        """Send this next, if it can be sent; `stamp` is its RTP time."""
        if self.readyState != "live":
            return
        pts = self._time.take(stamp)
        if pts is None or not self._is_taken or self._is_paused or codec != self.codec:
            self._interrupt()
            return
        if self._needs_keyframe:
            if not is_keyframe(codec, data):
                self.request_keyframe()
                return
            self._needs_keyframe = False
        if len(self._frames) >= CAPACITY[self.kind] or self._bytes + len(data) > MAX_BYTES:
            self._drop()
            if self._needs_keyframe:
                return
        self._frames.append((data, pts))
        self._bytes += len(data)
        self._arrival.set()

    def pause(self, is_paused: bool) -> None:
        """Send nothing, or go on."""
        self._is_paused = is_paused
        self._frames.clear()
        self._bytes = 0
        self._interrupt()
        if not is_paused:
            self.request_keyframe()

    def request_keyframe(self) -> None:
        """Have the source send a key frame, if this is video."""
        if self.kind == "video" and self._requests.allow(self._clock()):
            self._ask_source()

    async def recv(self) -> "Packet[Any]":
        """Wait for the next packet. Raises MediaStreamError once stopped, and nothing before: that ends the sender."""
        if not self._is_taken:
            self._is_taken = True
            self.request_keyframe()
        while self.readyState == "live":
            if self._frames:
                data, pts = self._frames.popleft()
                self._bytes -= len(data)
                packet = Packet(data)
                packet.pts, packet.time_base = pts, self._time_base
                return packet
            self._arrival.clear()
            await self._arrival.wait()
        raise MediaStreamError

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._arrival.set()

    def _interrupt(self) -> None:
        self._needs_keyframe = self.kind == "video"

    def _drop(self) -> None:
        """Make room: by the oldest packet of audio, by everything of video, as its frames refer to one another."""
        if self.kind == "audio":
            self._bytes -= len(self._frames.popleft()[0])
            return
        self._frames.clear()
        self._bytes = 0
        self._interrupt()
        self.request_keyframe()
