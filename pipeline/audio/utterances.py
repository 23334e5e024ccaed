"""One microphone: any PCM in, the utterances in it out."""

from collections.abc import Iterator

from pipeline.audio.resampler import Resampler
from pipeline.audio.turn_detector import TurnDetector, TurnSignal
from pipeline.audio.vad import SileroVad, VadModel
from pipeline.config import TurnSettings
from pipeline.media import AudioChunk


class UtteranceDetector:
    """Resampler, voice activity detection and turn detection in a row, with state of their own for each microphone."""

    def __init__(self, vad: VadModel, settings: TurnSettings):
        self._resampler = Resampler()
        self._vad = SileroVad(vad)
        self._detector = TurnDetector(settings)
        self.pts = 0.0
        """Session time (s) up to which this microphone has been judged."""
        self.windows = 0
        """How many VAD windows that were."""

    def push(self, chunk: AudioChunk, *, audible: bool) -> Iterator[TurnSignal]:
        """Yield the boundaries and the speech that this chunk completes; `audible`: the assistant is being heard."""
        for resampled in self._resampler.push(chunk):
            for window in self._vad.push(resampled):
                self.pts = window.end
                self.windows += 1
                yield from self._detector.push(window, audible=audible)

    def close(self) -> Iterator[TurnSignal]:
        """End an open utterance now."""
        return self._detector.close()

    def reset(self) -> None:
        """Forget an open utterance and all that was heard."""
        self._resampler.reset()
        self._vad.reset()
        self._detector.reset()
