"""What calls itself a stage is one: mypy holds the types to it, this test the behaviour they share."""

from pipeline.media import AudioChunk
from pipeline.resample import Resampler
from pipeline.stage import Stage
from pipeline.vad import SileroVad, VadModel, Window


def test_stages_push_without_waiting_and_begin_anew_after_reset() -> None:
    resampler: Stage[AudioChunk, AudioChunk] = Resampler()
    vad: Stage[AudioChunk, Window] = SileroVad(VadModel())
    chunk = AudioChunk(bytes(1024), 16_000, 0.0)
    first = [window for heard in resampler.push(chunk) for window in vad.push(heard)]
    resampler.reset()
    vad.reset()
    assert [window for heard in resampler.push(chunk) for window in vad.push(heard)] == first
    assert len(first) == 1
