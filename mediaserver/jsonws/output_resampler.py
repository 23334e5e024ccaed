"""Resamples the assistant's speech to the client's sample rate."""

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from pipeline.errors import AudioError
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE


class OutputResampler:
    """Resamples 24 kHz mono speech, as one stream for each reply."""

    def __init__(self, rate: int):
        self._rate = rate
        self.reset()

    def push(self, pcm: bytes) -> bytes:
        """Push 16-bit PCM and return the output that is ready; raises `AudioError`."""
        if self._filter is None:
            return pcm
        frame = AudioFrame("s16", "mono", len(pcm) // SAMPLE_BYTES)
        frame.sample_rate = SPEECH_SAMPLE_RATE
        frame.planes[0].update(pcm)
        return self._convert(self._filter, frame)

    def close(self) -> bytes:
        """Flush the end of the reply, about 1 ms, and start a new stream; raises `AudioError`."""
        resampler = self._filter
        self.reset()
        return b"" if resampler is None else self._convert(resampler, None)

    def reset(self) -> None:
        """Start a new stream."""
        self._filter = None if self._rate == SPEECH_SAMPLE_RATE else AudioResampler("s16", "mono", self._rate)

    def _convert(self, resampler: AudioResampler, frame: AudioFrame | None) -> bytes:
        try:
            frames = resampler.resample(frame)
        except (FFmpegError, ValueError) as error:
            raise AudioError("Speech could not be resampled.", where="jsonws") from error
        # A plane is padded past its samples.
        return b"".join(bytes(frame.planes[0])[: frame.samples * SAMPLE_BYTES] for frame in frames)
