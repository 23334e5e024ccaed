"""A track that forwards another client's encoded audio or video without transcoding."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import Packet

from mediaserver.rtc.aiortc_patches.video_tap import is_keyframe
from mediaserver.rtc.throttle import Throttle

RATES = {"audio": 48_000, "video": 90_000}
"""The RTP clocks (Hz) of Opus, and of VP8 and H.264."""

CAPACITY = {"audio": 10, "video": 60}
"""The queue length: packets of audio (200 ms) or frames of video. A slow receiver loses the rest."""

MAX_BYTES = 4_000_000

KEYFRAME_PERIOD = 0.4
"""Seconds between key frame requests while frames cannot be decoded without one."""

_JUMP = 10.0


class RelativeTime:
    """Converts RTP timestamps, which wrap and jump, into a time that begins at 0 and only grows."""

    def __init__(self, rate: int, clock: Callable[[], float]):
        self._rate = rate
        self._clock = clock
        self._last: tuple[int, float] | None = None
        self._now = 0

    def convert(self, stamp: int) -> int | None:
        """Convert an RTP timestamp; None if it is not newer than the last one."""
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
    """Queues pushed packets for aiortc's sender, and drops them when the queue is full.

    Video starts with a key frame, and again after a drop; `request_keyframe` is called to get it.
    """

    def __init__(
        self,
        kind: str,
        *,
        request_keyframe: Callable[[], None],
        source_codec: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__()
        self.kind = kind
        self.source_codec = source_codec
        """Returns the codec of the source, such as VP8, or "" if unknown."""
        self.codec: str | None = None
        """The codec of the outgoing section, such as VP8, once negotiated."""
        self._request_from_source = request_keyframe
        self._clock = clock
        self._time = RelativeTime(RATES[kind], clock)
        self._time_base = Fraction(1, RATES[kind])
        self._frames: deque[tuple[bytes, int]] = deque()
        self._bytes = 0
        self._arrival = asyncio.Event()
        self._requests = Throttle(KEYFRAME_PERIOD)
        self._is_sending = False  # aiortc's sender starts once connected
        self._is_paused = False
        self._needs_keyframe = kind == "video"

    def push(self, codec: str, data: bytes, stamp: int) -> None:
        """Queue a packet if it can be sent; `stamp` is its RTP timestamp."""
        if self.readyState != "live":
            return
        pts = self._time.convert(stamp)
        if pts is None or not self._is_sending or self._is_paused or codec != self.codec:
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
        """Pause the track, or resume it."""
        self._is_paused = is_paused
        self._frames.clear()
        self._bytes = 0
        self._interrupt()
        if not is_paused:
            self.request_keyframe()

    def request_keyframe(self) -> None:
        """Request a key frame from the source of a video, at most once per `KEYFRAME_PERIOD`."""
        if self.kind == "video" and self._requests.allow(self._clock()):
            self._request_from_source()

    async def recv(self) -> "Packet[Any]":
        """Wait for the next packet. Raises MediaStreamError once stopped; any error would end the sender."""
        if not self._is_sending:
            self._is_sending = True
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
        """Drop the oldest audio packet, or the whole video queue, as video frames depend on one another."""
        if self.kind == "audio":
            self._bytes -= len(self._frames.popleft()[0])
            return
        self._frames.clear()
        self._bytes = 0
        self._interrupt()
        self.request_keyframe()
