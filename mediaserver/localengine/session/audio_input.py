"""Audio input: resampling to 16 kHz, and automatic activity detection."""

from collections.abc import Iterator

from mediaserver.localengine.protocol.messages import Audio, Detection
from pipeline.audio.resampler import Resampler
from pipeline.audio.turn_detector import TurnDetector, TurnSignal
from pipeline.audio.vad import SileroVad, VadModel
from pipeline.config import TurnSettings
from pipeline.media import SAMPLE_BYTES, AudioChunk

_SILENCE = 0.8  # Gemini's default silenceDurationMs, about


class AudioInputStream:
    """Resamples mono 16-bit PCM to 16 kHz; a sample split between two messages is joined."""

    def __init__(self) -> None:
        self._torn = b""
        self._end = 0.0
        self._resampler = Resampler()

    def push(self, audio: Audio) -> Iterator[AudioChunk]:
        """Resample the audio of one message."""
        pcm = self._torn + audio.pcm
        whole = len(pcm) - len(pcm) % SAMPLE_BYTES
        self._torn = pcm[whole:]
        chunk = AudioChunk(pcm[:whole], audio.rate, self._end)
        self._end += chunk.duration
        yield from self._resampler.push(chunk)


class Detector:
    """Automatic activity detection; yields the boundaries and audio of each utterance, in order."""

    def __init__(self, model: VadModel, detection: Detection):
        self._vad = SileroVad(model)
        start = TurnSettings().start if detection.prefix_ms is None else detection.prefix_ms / 1000
        silence = _SILENCE if detection.silence_ms is None else detection.silence_ms / 1000
        self._turn = TurnDetector(TurnSettings(start=start, silence=silence))

    def push(self, chunk: AudioChunk, *, audible: bool) -> Iterator[TurnSignal]:
        """Process 16 kHz audio; `audible` while the assistant speaks."""
        for window in self._vad.push(chunk):
            yield from self._turn.push(window, audible=audible)

    def flush(self) -> Iterator[TurnSignal]:
        """End the open utterance, if any, as the stream has ended."""
        self._vad.reset()
        yield from self._turn.close()
