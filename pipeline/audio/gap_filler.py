"""Keeps a microphone's time true: what was lost, paused or sent twice becomes one gapless stream."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.media import AudioChunk

MAX_GAP = 2.0
"""Longest hole (s) that is filled with silence; time goes on from where it was after a longer one."""

FILL_STEP = 0.1
"""How much silence (s) is fed at once while no audio comes."""


class GapFiller:
    """Audio with RTP stamps in, chunks whose `pts` counts samples out.

    A hole in the stamps is filled with silence. So is a hole in arrival, as it lasts: after `grace` seconds without
    audio, silence is fed in real time for `BRIDGE` seconds more, which closes an open utterance, and then nothing.
    Silence that was fed is taken off the hole in the stamps when audio comes again.
    """

    def __init__(self, *, grace: float):
        self._grace = grace
        self._rate = 0
        self._origin = 0.0  # session time where this rate began
        self._emitted = 0  # samples since then
        self._expected: int | None = None  # stamp of the sample that should come next
        self._filled = 0  # samples of silence since the last audio
        self._last_arrival: float | None = None

    @property
    def due(self) -> float | None:
        """The clock (s) at which `lull` has silence to give, or None until audio comes."""
        if self._last_arrival is None or self._filled >= self._max_fill:
            return None
        return self._last_arrival + max(self._grace, self._filled / self._rate + FILL_STEP)

    def push(self, pcm: NDArray[np.int16], rate: int, stamp: int, now: float) -> Iterator[AudioChunk]:
        """Take mono `pcm` of `rate` whose first sample has RTP time `stamp`; `now` is the clock (s)."""
        if rate != self._rate:
            self._set_rate(rate)
        hole = 0 if self._expected is None else stamp - self._expected
        if -MAX_GAP * rate <= hole < 0:
            pcm, stamp, hole = pcm[-hole:], stamp - hole, 0  # heard before
        if not len(pcm):
            return
        if self._filled < hole <= MAX_GAP * rate:
            yield self._emit(np.zeros(hole - self._filled, np.int16))
        self._expected = stamp + len(pcm)
        self._filled = 0
        self._last_arrival = now
        yield self._emit(pcm)

    def fill_silence(self, now: float) -> Iterator[AudioChunk]:
        """Give the silence that is due because nothing has come."""
        due = self.due
        if due is None or self._last_arrival is None or now < due:
            return
        owed = min(int((now - self._last_arrival) * self._rate), self._max_fill) - self._filled
        self._filled += owed
        yield self._emit(np.zeros(owed, np.int16))

    def restart(self) -> None:
        """Forget the stamps, as those to come have nothing to do with them; the time of what is given goes on."""
        self._expected = None

    @property
    def _max_fill(self) -> int:
        return int((self._grace + MAX_GAP) * self._rate)

    def _set_rate(self, rate: int) -> None:
        if self._rate:
            self._origin += self._emitted / self._rate
        self._rate, self._emitted, self._expected, self._filled = rate, 0, None, 0

    def _emit(self, pcm: NDArray[np.int16]) -> AudioChunk:
        pts = self._origin + self._emitted / self._rate
        self._emitted += len(pcm)
        return AudioChunk(pcm.tobytes(), self._rate, pts)
