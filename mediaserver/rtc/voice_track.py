"""The assistant's voice as a track: Opus packets encoded already, and nothing while there is nothing to say."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import Packet

from pipeline.playout.opus_encoder import SILENCE_PACKET

RATE = 48_000  # RFC 7587 section 4.1: the Opus RTP clock, whatever the coding rate
SAMPLES = 960
FRAME = SAMPLES / RATE

TAIL = 5
"""Packets of silence after speech: they play out while the receiver's jitter buffer runs empty.

Nothing follows them. Measured in Chromium 156: speech after seconds of nothing is heard 55 to 75 ms after it is sent,
no later than with a packet of silence every 400 ms, and sooner than in an unbroken stream.
"""

PATIENCE = 3 * FRAME
"""How late (s) the next frame of running speech may be before it counts as over."""

CAPACITY = 10
"""Frames that wait to be sent: 200 ms. Older speech is stale, such as what was said before the client connected."""

_TIME_BASE = Fraction(1, RATE)


class Timeline:
    """RTP time of packets: even steps while they flow, the wall clock's after a pause."""

    def __init__(self) -> None:
        self._origin: float | None = None
        self._next = 0

    def stamp(self, now: float) -> int:
        """Stamp 20 ms that are sent `now` (s)."""
        if self._origin is None:
            self._origin = now
        wall = int((now - self._origin) / FRAME) * SAMPLES
        # A packet or two late is jitter of ours, which the receiver's buffer absorbs. After a longer pause the stamps
        # must jump with the clock: a receiver counts what it made up meanwhile, and takes frozen stamps for delay.
        if wall - self._next > 2 * SAMPLES:
            self._next = wall
        stamp = self._next
        self._next += SAMPLES
        return stamp


class VoiceTrack(MediaStreamTrack):
    """Give it frames as they are due; aiortc sends packets as they are (rtcrtpsender.py:323)."""

    kind = "audio"

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._clock = clock
        self._timeline = Timeline()
        self._frames: deque[bytes] = deque(maxlen=CAPACITY)
        self._arrival = asyncio.Event()
        self._tail = 0

    def push(self, opus: bytes) -> None:
        """Queue 20 ms of speech; the oldest makes room when nothing is being sent."""
        self._frames.append(opus)
        self._arrival.set()

    def flush(self) -> None:
        """Forget what is queued; silence follows at once."""
        self._frames.clear()
        if self._tail == TAIL:
            self._arrival.set()

    async def recv(self) -> "Packet[Any]":
        """Wait for the next packet. Raises MediaStreamError once stopped, and nothing before: that ends the sender."""
        while self.readyState == "live":
            if self._frames:
                self._tail = TAIL
                return self._packet(self._frames.popleft())
            await self._wait_for_frame()
            if self._tail and not self._frames:
                self._tail -= 1
                return self._packet(SILENCE_PACKET)
        raise MediaStreamError

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._arrival.set()

    async def _wait_for_frame(self) -> None:
        """Wait until a frame or a flush comes, or a packet of the tail is due."""
        self._arrival.clear()
        if not self._tail:
            await self._arrival.wait()
            return
        try:
            async with asyncio.timeout(PATIENCE if self._tail == TAIL else FRAME):
                await self._arrival.wait()
        except TimeoutError:
            return

    def _packet(self, opus: bytes) -> "Packet[Any]":
        packet = Packet(opus)
        packet.pts = self._timeline.stamp(self._clock())
        packet.time_base = _TIME_BASE
        return packet
