"""The assistant's speech, handed out in 20 ms frames: speech or silence, and how much of it was heard."""

from collections import deque

import numpy as np

from pipeline.errors import AudioError
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE

MAX_QUEUED_SECONDS = 120.0
"""Seconds of speech that may wait to be heard."""

FRAME_SAMPLES = SPEECH_SAMPLE_RATE // 50
FRAME_BYTES = FRAME_SAMPLES * SAMPLE_BYTES
SILENCE = bytes(FRAME_BYTES)
"""20 ms of silence. `Playout.pull` gives this very object, so `is` tells it from speech."""

# 5 ms, from 1 down to 0: short enough to say nothing, long enough not to click.
_FADE = np.linspace(1.0, 0.0, SPEECH_SAMPLE_RATE // 200)


class Playout:
    """One turn's speech at a time: pushed as it comes from the engine, pulled as it is due.

    Pushed samples are handed out in order and unchanged, but for the 5 ms after a seam (a turn that replaces one being
    heard, speech that resumes after it ran dry), which are bent to begin where the sound was left.
    """

    def __init__(self, rate: int = SPEECH_SAMPLE_RATE, *, limit: float = MAX_QUEUED_SECONDS):
        """Queue up to `limit` seconds at `rate` Hz; a frame is 480 samples, which is 20 ms at 24 kHz."""
        self.turn: int | None = None
        """The open turn."""
        self.played_samples = 0
        """Samples of the open turn, or the last one, that `pull` has handed out."""
        self._rate = rate
        self._limit = limit
        self._frames: deque[bytes] = deque()
        self._partial = b""
        self._queued_samples = 0  # in frames and the partial one
        self._is_finished = False
        self._is_seam = False
        self._last = SILENCE  # what pull handed out

    @property
    def queued(self) -> float:
        """Seconds of speech waiting to be heard."""
        return self._queued_samples / self._rate

    @property
    def is_audible(self) -> bool:
        """Whether the open turn can be heard now: it has a frame to give or gave one at the last pull."""
        return self.turn is not None and (bool(self._frames) or self._last is not SILENCE)

    @property
    def is_drained(self) -> bool:
        """Whether the open turn is finished and was handed out to its last sample."""
        return self._is_finished and not self._queued_samples

    def open(self, turn: int) -> None:
        """Begin a turn; what is queued of the one before is dropped."""
        self.close()
        self.turn = turn
        self.played_samples = 0
        self._is_seam = not _is_at_rest(self._last)

    def push(self, turn: int, pcm: bytes) -> None:
        """Queue 16-bit PCM unless its turn is over; raise `AudioError` if it is malformed or there is too much."""
        if turn != self.turn or self._is_finished:
            return
        if len(pcm) % SAMPLE_BYTES:
            raise AudioError("The speech ends in the middle of a 16-bit sample.", where="playout")
        samples = len(pcm) // SAMPLE_BYTES
        if self._queued_samples + samples > self._limit * self._rate:
            raise AudioError(f"More than {self._limit:g} s of speech are waiting to be heard.", where="playout")
        self._queued_samples += samples
        pcm = b"".join((self._partial, pcm))  # never SILENCE itself, which + could return
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self._partial = pcm[whole:]
        self._frames.extend(pcm[start : start + FRAME_BYTES] for start in range(0, whole, FRAME_BYTES))

    def finish(self, turn: int) -> None:
        """Say that no more of this turn will come."""
        if turn != self.turn or self._is_finished:
            return
        self._is_finished = True
        if self._partial:
            self._frames.append(self._partial.ljust(FRAME_BYTES, b"\0"))
            self._partial = b""

    def close(self) -> None:
        """Fall silent now: nothing that is queued or still comes for this turn is heard."""
        self.turn = None
        self._frames.clear()
        self._partial = b""
        self._queued_samples = 0
        self._is_finished = False

    def pull(self) -> bytes:
        """Return the 960 bytes due now; never raises, never waits."""
        if self._frames:
            frame = self._frames.popleft()
            samples = min(FRAME_SAMPLES, self._queued_samples)
            self._queued_samples -= samples
            self.played_samples += samples
            if self._is_seam:
                self._is_seam = False
                frame = _fade(frame, self._last)
            self._last = frame
            return frame
        if self._last is not SILENCE:
            self._is_seam = self.turn is not None and self.played_samples > 0
            self._last = SILENCE if _is_at_rest(self._last) else _fade(SILENCE, self._last)
        return self._last


def _is_at_rest(last: bytes) -> bool:
    return last.endswith(b"\0\0")


def _fade(frame: bytes, last: bytes) -> bytes:
    # Shift the first 5 ms, less and less, so that they begin at the last sample heard.
    samples = np.frombuffer(frame, "<i2").astype(np.float64)
    step = int.from_bytes(last[-SAMPLE_BYTES:], "little", signed=True) - samples[0]
    samples[: len(_FADE)] += step * _FADE
    return samples.clip(-32768, 32767).astype("<i2").tobytes()
