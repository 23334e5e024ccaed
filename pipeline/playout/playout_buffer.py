"""The playout buffer: queues the assistant's speech, and returns it in 20 ms frames with silence between."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from pipeline.errors import AudioError
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE

MAX_QUEUED_SECONDS = 120.0
"""Most seconds of speech that may be queued."""

FRAME_SAMPLES = SPEECH_SAMPLE_RATE // 50
FRAME_BYTES = FRAME_SAMPLES * SAMPLE_BYTES
SILENCE = bytes(FRAME_BYTES)
"""20 ms of silence. `Playout.pull` returns this very object, so `is` distinguishes it from speech."""

MAX_REWIND = 100
"""Frames played last that can be played again: 2 s."""

# 5 ms, from 1 down to 0: too short to be noticed, long enough not to click.
_FADE = np.linspace(1.0, 0.0, SPEECH_SAMPLE_RATE // 200)


@dataclass(frozen=True, slots=True)
class HeldSpeech:
    """The rest of a turn's speech, to be played later; `played_samples` come before it."""

    turn: int
    played_samples: int
    queued_samples: int
    frames: tuple[bytes, ...] = field(repr=False)
    partial: bytes = field(repr=False)


class Playout:
    """Buffers one turn's speech: pushed as it arrives from the engine, pulled as it is due.

    Pushed samples are returned in order and unchanged, except for the 5 ms after a seam (a turn that replaces an
    audible one, or speech that resumes after the buffer ran dry). Those fade from the last sample played.
    """

    def __init__(self, rate: int = SPEECH_SAMPLE_RATE, *, limit: float = MAX_QUEUED_SECONDS):
        """Queue up to `limit` seconds at `rate` Hz; a frame is 480 samples, which is 20 ms at 24 kHz."""
        self.turn: int | None = None
        """The open turn."""
        self.played_samples = 0
        """Samples of the open turn, or of the last one, that `pull` has returned."""
        self._rate = rate
        self._limit = limit
        self._frames: deque[bytes] = deque()
        self._recent: deque[bytes] = deque(maxlen=MAX_REWIND)
        self._partial = b""
        self._queued_samples = 0  # in frames and the partial one
        self._is_finished = False
        self._is_seam = False
        self._last = SILENCE  # returned by the last pull

    @property
    def queued(self) -> float:
        """Seconds of speech in the queue."""
        return self._queued_samples / self._rate

    @property
    def is_audible(self) -> bool:
        """Whether the open turn is audible now: a frame is queued, or the last pull returned one."""
        return self.turn is not None and (bool(self._frames) or self._last is not SILENCE)

    @property
    def is_drained(self) -> bool:
        """Whether the open turn is finished and was pulled to its last sample."""
        return self._is_finished and not self._queued_samples

    def open(self, turn: int) -> None:
        """Begin a turn; queued speech of the one before is dropped."""
        self.close()
        self.turn = turn
        self.played_samples = 0
        self._recent.clear()
        self._is_seam = not _is_at_rest(self._last)

    def hold(self, *, rewind: int) -> HeldSpeech | None:
        """Return a copy of the queue, with the last `rewind` frames (up to 100) before it; None without a turn."""
        if self.turn is None:
            return None
        again = tuple(self._recent)[max(0, len(self._recent) - rewind) :]
        samples = min(len(again) * FRAME_SAMPLES, self.played_samples)
        return HeldSpeech(
            self.turn,
            self.played_samples - samples,
            self._queued_samples + samples,
            again + tuple(self._frames),
            self._partial,
        )

    def restore(self, held: HeldSpeech) -> None:
        """Begin the held turn again where its speech was held."""
        self.open(held.turn)
        self.played_samples = held.played_samples
        self._queued_samples = held.queued_samples
        self._frames.extend(held.frames)
        self._partial = held.partial
        self._is_seam = True  # it begins in the middle of a sound

    def push(self, turn: int, pcm: bytes) -> None:
        """Queue 16-bit PCM unless its turn is over; raise `AudioError` if it is malformed or too long."""
        if turn != self.turn or self._is_finished:
            return
        if len(pcm) % SAMPLE_BYTES:
            raise AudioError("The speech ends in the middle of a 16-bit sample.", where="playout")
        samples = len(pcm) // SAMPLE_BYTES
        if self._queued_samples + samples > self._limit * self._rate:
            raise AudioError(f"More than {self._limit:g} s of speech are queued.", where="playout")
        self._queued_samples += samples
        pcm = b"".join((self._partial, pcm))  # never SILENCE itself, which + could return
        whole = len(pcm) - len(pcm) % FRAME_BYTES
        self._partial = pcm[whole:]
        self._frames.extend(pcm[start : start + FRAME_BYTES] for start in range(0, whole, FRAME_BYTES))

    def finish(self, turn: int) -> None:
        """Mark the speech of this turn as complete."""
        if turn != self.turn or self._is_finished:
            return
        self._is_finished = True
        if self._partial:
            self._frames.append(self._partial.ljust(FRAME_BYTES, b"\0"))
            self._partial = b""

    def close(self) -> None:
        """Drop the queue; speech that still arrives for this turn is ignored."""
        self.turn = None
        self._frames.clear()
        self._partial = b""
        self._queued_samples = 0
        self._is_finished = False

    def pull(self) -> bytes:
        """Return the 960 bytes due now; never raises, never waits."""
        if self._frames:
            frame = self._frames.popleft()
            self._recent.append(frame)
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
    # Shift the first 5 ms by a decreasing offset, so that they begin at the last sample played.
    samples = np.frombuffer(frame, "<i2").astype(np.float64)
    step = int.from_bytes(last[-SAMPLE_BYTES:], "little", signed=True) - samples[0]
    samples[: len(_FADE)] += step * _FADE
    return samples.clip(-32768, 32767).astype("<i2").tobytes()
