"""Notices pauses in the user's speech before the client has decided that the turn is over."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.audio.turn_detector import HYSTERESIS
from pipeline.audio.vad import WINDOW_BYTES, WINDOW_SECONDS, SileroVad, VadModel
from pipeline.config import TurnSettings
from pipeline.media import AudioChunk

PAUSE = 0.19
"""Seconds without speech that make a pause: six windows of the VAD, about 200 ms."""


@dataclass(frozen=True, slots=True)
class PauseStarted:
    """The speaker pauses; `position` is the byte of the utterance's 16-bit PCM up to which this was heard."""

    position: int


@dataclass(frozen=True, slots=True)
class PauseEnded:
    """The speaker has gone on, or may have."""


class PauseDetector:
    """Takes the audio of one utterance, in 16 kHz chunks of any length; the same audio has the same pauses."""

    def __init__(self, model: VadModel):
        self._vad = SileroVad(model)
        self._threshold = TurnSettings().threshold
        self.reset()

    def reset(self) -> None:
        """Begin an utterance."""
        self._vad.reset()
        self._position = 0
        self._has_speech = False
        self._is_pausing = False
        self._silence = 0.0

    def push(self, chunk: AudioChunk) -> Iterator[PauseStarted | PauseEnded]:
        """Yield the boundaries of pauses that this chunk completes, or raise `AudioError`."""
        for window in self._vad.push(chunk):
            self._position += WINDOW_BYTES
            # A doubtful window is taken for speech: what the client's VAD hears must never count as a pause here.
            if window.probability >= self._threshold - HYSTERESIS:
                self._has_speech = self._has_speech or window.probability >= self._threshold
                self._silence = 0.0
                if self._is_pausing:
                    self._is_pausing = False
                    yield PauseEnded()
            elif self._has_speech and not self._is_pausing:
                self._silence += WINDOW_SECONDS
                if self._silence >= PAUSE:
                    self._is_pausing = True
                    yield PauseStarted(self._position)
