"""Finds the utterances of one microphone in PCM of any rate."""

from collections.abc import Iterator
from math import inf

from pipeline.audio.pause_rule import Pause
from pipeline.audio.resampler import Resampler
from pipeline.audio.turn_detector import TurnDetector, TurnSignal
from pipeline.audio.vad import SileroVad, VadModel
from pipeline.config import TurnSettings
from pipeline.media import AudioChunk

FORGET_AFTER = 20.0
"""Seconds without an utterance after which the VAD begins anew."""


class UtteranceDetector:
    """Chains resampler, VAD and turn detector, with their own state for each microphone."""

    def __init__(self, vad: VadModel, settings: TurnSettings):
        self._resampler = Resampler()
        self._vad = SileroVad(vad)
        self._detector = TurnDetector(settings)
        self.pts = 0.0
        """Session time (s) up to which this microphone's audio has been processed."""
        self.windows = 0
        """Number of VAD windows processed."""
        self._quiet_since = 0.0

    @property
    def may_be_speech(self) -> bool:
        """Whether the last windows are speech that may start an utterance."""
        return self._detector.may_be_speech

    def push(self, chunk: AudioChunk, *, audible: bool) -> Iterator[TurnSignal]:
        """Yield the boundaries and speech this chunk completes; `audible` while the assistant can be heard."""
        for resampled in self._resampler.push(chunk):
            for window in self._vad.push(resampled):
                self.pts = window.end
                self.windows += 1
                yield from self._detector.push(window, audible=audible)
                self._forget_noise()

    def _forget_noise(self) -> None:
        # Silero's state carries on what it has heard: after minutes of room noise it hears a sentence 100 ms later
        # (`python -m bench.vad_drift`). Not in an utterance, nor where one may be beginning.
        if self._detector.is_open:
            self._quiet_since = -inf
        elif self.pts - self._quiet_since >= FORGET_AFTER and not self._detector.may_be_speech:
            self._vad.forget()
            self._quiet_since = self.pts

    def take_verdict(self, pause: Pause, probability: float) -> None:
        """Take the verdict on a pause; ignored if the speaker has gone on or the utterance is over."""
        self._detector.take_verdict(pause, probability)

    def close(self, *, awaits_pause: bool = False) -> Iterator[TurnSignal]:
        """End an open utterance now; `awaits_pause`: what goes on after it starts no other one."""
        return self._detector.close(awaits_pause=awaits_pause)

    def reset(self) -> None:
        """Forget all audio and the open utterance."""
        self._resampler.reset()
        self._vad.reset()
        self._quiet_since = self.pts
        self._detector.reset()
