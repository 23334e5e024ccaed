"""Any microphone rate to the one the pipeline hears: 16 kHz mono."""

from collections.abc import Iterator
from math import inf

from av.audio.frame import AudioFrame
from av.error import FFmpegError
from av.filter import Graph

from pipeline.errors import AudioError
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES, AudioChunk

MIN_RATE, MAX_RATE = 8_000, 48_000


class Resampler:
    """A stage from mono audio of any rate (8 to 48 kHz) to 16 kHz mono, its time counted from samples.

    The first chunk's pts is the base. A chunk more than one sample away from where it should be begins a new
    stretch at its own pts, or where the last output ended if that is later: no moment is ever yielded twice.
    """

    def __init__(self) -> None:
        self.reset()

    def push(self, chunk: AudioChunk) -> Iterator[AudioChunk]:
        """Yield what is ready of this chunk (about 1 ms stays in the filter), or raise `AudioError`."""
        if not MIN_RATE <= chunk.rate <= MAX_RATE:
            raise AudioError(f"Audio at {chunk.rate} Hz; {MIN_RATE} to {MAX_RATE} Hz is accepted.", where="resample")
        if len(chunk.pcm) % SAMPLE_BYTES:
            raise AudioError("The audio ends in the middle of a 16-bit sample.", where="resample")
        if not chunk.pcm:
            return
        if not self._follows(chunk):
            yield from self._finish()
            self._begin(chunk)
        self._input_samples += len(chunk.pcm) // SAMPLE_BYTES
        yield from self._stamped(chunk.pcm if self._filter is None else _convert(self._filter, chunk))

    def reset(self) -> None:
        """Forget everything heard so far; the next chunk's pts is the base."""
        self._rate = 0
        self._filter: Graph | None = None
        self._first_pts = 0.0  # pts of the stretch's first input sample
        self._input_samples = 0  # input samples since
        self._base = -inf  # session time of the stretch's first output sample
        self._output_samples = 0  # output samples since

    def _follows(self, chunk: AudioChunk) -> bool:
        if chunk.rate != self._rate:
            return False
        return abs((chunk.pts - self._first_pts) * chunk.rate - self._input_samples) <= 1.0

    def _begin(self, chunk: AudioChunk) -> None:
        self._base = max(chunk.pts, self._base + self._output_samples / INPUT_SAMPLE_RATE)
        self._output_samples = 0
        self._first_pts, self._input_samples = chunk.pts, 0
        self._rate = chunk.rate
        self._filter = None if chunk.rate == INPUT_SAMPLE_RATE else _make_filter(chunk.rate)

    def _finish(self) -> Iterator[AudioChunk]:
        # The filter's tail belongs to the time before the jump, so it cannot stay for the stretch that follows.
        if self._filter is not None:
            yield from self._stamped(_convert(self._filter, None))

    def _stamped(self, pcm: bytes) -> Iterator[AudioChunk]:
        if pcm:
            pts = self._base + self._output_samples / INPUT_SAMPLE_RATE
            self._output_samples += len(pcm) // SAMPLE_BYTES
            yield AudioChunk(pcm, INPUT_SAMPLE_RATE, pts)


def _make_filter(rate: int) -> Graph:
    # What av's AudioResampler makes, but for the thread that its graph would keep waiting for each microphone.
    graph = Graph()
    graph.threads = 1
    source = graph.add("abuffer", sample_rate=str(rate), sample_fmt="s16", channel_layout="mono", time_base=f"1/{rate}")
    target = graph.add("aformat", sample_rates=str(INPUT_SAMPLE_RATE), sample_fmts="s16", channel_layouts="mono")
    sink = graph.add("abuffersink")
    source.link_to(target)
    target.link_to(sink)
    graph.configure()
    return graph


def _convert(graph: Graph, chunk: AudioChunk | None) -> bytes:
    try:
        graph.push(None if chunk is None else _frame(chunk))
        frames = list(_ready_frames(graph))
    except (FFmpegError, ValueError) as error:
        raise AudioError("The audio could not be resampled.", where="resample") from error
    # A plane is padded past its samples.
    return b"".join(memoryview(frame.planes[0])[: frame.samples * SAMPLE_BYTES] for frame in frames)


def _ready_frames(graph: Graph) -> Iterator[AudioFrame]:
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):
            return
        if isinstance(frame, AudioFrame):
            yield frame


def _frame(chunk: AudioChunk) -> AudioFrame:
    frame = AudioFrame("s16", "mono", len(chunk.pcm) // SAMPLE_BYTES)
    frame.sample_rate = chunk.rate
    frame.planes[0].update(chunk.pcm)
    return frame
