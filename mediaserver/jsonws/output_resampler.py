"""The assistant's voice at the rate a client asked for."""

from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.error import FFmpegError

from pipeline.errors import AudioError
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE


class OutputResampler:
    """24 kHz mono speech to another rate, as one stream for each reply."""

    def __init__(self, rate: int):
        self._rate = rate
        self.reset()

    def push(self, pcm: bytes) -> bytes:
        """Take 16-bit PCM and give what is ready of it, or raise `AudioError`."""
        if self._filter is None:
            return pcm
        frame = AudioFrame("s16", "mono", len(pcm) // SAMPLE_BYTES)
        frame.sample_rate = SPEECH_SAMPLE_RATE
        frame.planes[0].update(pcm)
        return self._convert(self._filter, frame)

    def close(self) -> bytes:
        """Give the end of the reply, about 1 ms; the next one begins anew."""
        resampler = self._filter
        self.reset()
        return b"" if resampler is None else self._convert(resampler, None)

    def reset(self) -> None:
        """Begin a new reply."""
        self._filter = None if self._rate == SPEECH_SAMPLE_RATE else AudioResampler("s16", "mono", self._rate)

    def _convert(self, resampler: AudioResampler, frame: AudioFrame | None) -> bytes:
        try:
            frames = resampler.resample(frame)
        except (FFmpegError, ValueError) as error:
            raise AudioError("Speech could not be resampled.", where="jsonws") from error
        # A plane is padded past its samples.
        return b"".join(bytes(frame.planes[0])[: frame.samples * SAMPLE_BYTES] for frame in frames)
