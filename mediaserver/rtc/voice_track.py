"""The outbound track of the assistant's speech: encoded packets, and none during silence."""

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
"""Packets of silence after speech: they are played while the receiver's jitter buffer runs empty.

No packet follows them. Measured in Chromium 156: speech after seconds of nothing is heard 55 to 75 ms after it is sent,
no later than with a packet of silence every 400 ms, and sooner than in an unbroken stream.
"""

MAX_FRAME_WAIT = 3 * FRAME
"""Seconds the next frame of running speech may be late before speech counts as ended."""

CAPACITY = 10
"""Frames queued at most: 200 ms. Older speech is stale, such as speech from before the client connected."""

_TIME_BASE = Fraction(1, RATE)


class Timeline:
    """RTP timestamps: even steps while packets flow, the wall clock after a pause."""

    def __init__(self) -> None:
        self._origin: float | None = None
        self._next = 0

    def stamp(self, now: float) -> int:
        """Return the timestamp of 20 ms sent at `now` (s)."""
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
    """Sends frames as they are pushed; aiortc passes packets on unchanged (rtcrtpsender.py:323)."""

    kind = "audio"

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self.silence = SILENCE_PACKET
        """20 ms of silence in the codec of the pushed frames: Opus, unless it is set."""
        self._clock = clock
        self._timeline = Timeline()
        self._frames: deque[bytes] = deque(maxlen=CAPACITY)
        self._arrival = asyncio.Event()
        self._tail = 0

    def push(self, payload: bytes) -> None:
        """Queue 20 ms of encoded speech; the oldest frame is dropped when the queue is full."""
        self._frames.append(payload)
        self._arrival.set()

    def flush(self) -> None:
        """Drop the queued frames; silence follows at once."""
        self._frames.clear()
        if self._tail == TAIL:
            self._arrival.set()

    async def recv(self) -> "Packet[Any]":
        """Wait for the next packet. Raises MediaStreamError once stopped; any exception ends the sender."""
        while self.readyState == "live":
            if self._frames:
                self._tail = TAIL
                return self._packet(self._frames.popleft())
            await self._wait_for_frame()
            if self._tail and not self._frames:
                self._tail -= 1
                return self._packet(self.silence)
        raise MediaStreamError

    def stop(self) -> None:
        """End the track."""
        super().stop()
        self._arrival.set()

    async def _wait_for_frame(self) -> None:
        """Wait for a frame, a flush, or the time of a tail packet."""
        self._arrival.clear()
        if not self._tail:
            await self._arrival.wait()
            return
        try:
            async with asyncio.timeout(MAX_FRAME_WAIT if self._tail == TAIL else FRAME):
                await self._arrival.wait()
        except TimeoutError:
            return

    def _packet(self, payload: bytes) -> "Packet[Any]":
        packet = Packet(payload)
        packet.pts = self._timeline.stamp(self._clock())
        packet.time_base = _TIME_BASE
        return packet
