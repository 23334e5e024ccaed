"""Turns lost, paused and repeated microphone audio into one gapless stream."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.media import AudioChunk

MAX_GAP = 2.0
"""Longest gap (s) that is filled with silence; after a longer one, time continues from where it was."""

FILL_STEP = 0.1
"""Length (s) of one chunk of silence while no audio arrives."""


class GapFiller:
    """Takes audio with RTP timestamps, and yields chunks whose `pts` counts samples.

    A gap in the timestamps is filled with silence. So is a gap in arrival, while it lasts: after `grace` seconds
    without audio, silence is yielded in real time for `MAX_GAP` seconds more, which ends an open utterance, and then
    nothing. Silence that was yielded is subtracted from the gap in the timestamps when audio arrives again.
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
        """The clock (s) at which `fill_silence` has silence to yield, or None until audio arrives."""
        if self._last_arrival is None or self._filled >= self._max_fill:
            return None
        return self._last_arrival + max(self._grace, self._filled / self._rate + FILL_STEP)

    def push(self, pcm: NDArray[np.int16], rate: int, stamp: int, now: float) -> Iterator[AudioChunk]:
        """Take mono `pcm` of `rate` whose first sample has RTP time `stamp`; `now` is the clock (s)."""
        if rate != self._rate:
            self._set_rate(rate)
        gap = 0 if self._expected is None else stamp - self._expected
        if -MAX_GAP * rate <= gap < 0:
            pcm, stamp, gap = pcm[-gap:], stamp - gap, 0  # a repeated part
        if not len(pcm):
            return
        if self._filled < gap <= MAX_GAP * rate:
            yield self._emit(np.zeros(gap - self._filled, np.int16))
        self._expected = stamp + len(pcm)
        self._filled = 0
        self._last_arrival = now
        yield self._emit(pcm)

    def fill_silence(self, now: float) -> Iterator[AudioChunk]:
        """Yield the silence that is due by now."""
        due = self.due
        if due is None or self._last_arrival is None or now < due:
            return
        due_samples = min(int((now - self._last_arrival) * self._rate), self._max_fill) - self._filled
        self._filled += due_samples
        yield self._emit(np.zeros(due_samples, np.int16))

    def restart(self) -> None:
        """Forget the timestamps, as the following ones are unrelated; `pts` continues."""
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
