"""The resampler: any rate to 16 kHz mono, in time that is counted from samples."""

import os
from itertools import pairwise

import numpy as np
import pytest
from av.error import InvalidDataError
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.resampler import Resampler
from pipeline.errors import AudioError, FaultCode
from pipeline.media import INPUT_SAMPLE_RATE, AudioChunk

RATES = [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000]


def tone(rate: int, seconds: float, hertz: float = 440.0) -> bytes:
    time = np.arange(round(rate * seconds)) / rate
    return (8_000 * np.sin(2 * np.pi * hertz * time)).astype("<i2").tobytes()


def pushed(resampler: Resampler, *chunks: AudioChunk) -> list[AudioChunk]:
    return [out for chunk in chunks for out in resampler.push(chunk)]


def sliced(pcm: bytes, rate: int, size: int, pts: float = 0.0) -> list[AudioChunk]:
    return [
        AudioChunk(pcm[start : start + 2 * size], rate, pts + start / 2 / rate)
        for start in range(0, len(pcm), 2 * size)
    ]


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_pitch_its_loudness_and_its_time(rate: int) -> None:
    out = pushed(Resampler(), *sliced(tone(rate, 1.0), rate, rate // 50, pts=3.0))
    heard = np.frombuffer(b"".join(chunk.pcm for chunk in out), "<i2").astype(float)
    meant = np.frombuffer(tone(INPUT_SAMPLE_RATE, 1.0), "<i2").astype(float)[: len(heard)]
    assert len(heard) >= INPUT_SAMPLE_RATE - 40  # the filter holds back a millisecond or two
    assert np.abs(heard - meant)[100:].max() < 80  # 1 % of the amplitude; at the very start the filter settles
    assert out[0].pts == 3.0
    assert {chunk.rate for chunk in out} == {INPUT_SAMPLE_RATE}


@pytest.mark.parametrize("rate", RATES)
def test_chunks_in_a_row_come_out_in_a_row(rate: int) -> None:
    out = pushed(Resampler(), *sliced(tone(rate, 0.5), rate, rate // 50))
    for before, after in pairwise(out):
        assert after.pts == pytest.approx(before.pts + before.duration, abs=1e-9)


@given(rate=st.sampled_from(RATES), sizes=st.lists(st.integers(min_value=1, max_value=2_000), min_size=1, max_size=12))
def test_any_chunking_gives_the_same_samples(rate: int, sizes: list[int]) -> None:
    pcm = tone(rate, sum(sizes) / rate)
    whole = pushed(Resampler(), AudioChunk(pcm, rate, 0.0))
    resampler, parts, taken = Resampler(), [], 0
    for size in sizes:
        parts += pushed(resampler, AudioChunk(pcm[2 * taken : 2 * (taken + size)], rate, taken / rate))
        taken += size
    assert b"".join(chunk.pcm for chunk in parts) == b"".join(chunk.pcm for chunk in whole)


def test_audio_that_is_already_16_khz_is_passed_on_without_a_copy() -> None:
    pcm = tone(INPUT_SAMPLE_RATE, 0.02)
    (out,) = pushed(Resampler(), AudioChunk(pcm, INPUT_SAMPLE_RATE, 1.0))
    assert out.pcm is pcm


def test_a_gap_shifts_what_follows_to_its_own_time() -> None:
    resampler = Resampler()
    before = pushed(resampler, AudioChunk(tone(48_000, 0.02), 48_000, 0.0))
    after = pushed(resampler, AudioChunk(tone(48_000, 0.02), 48_000, 0.5))
    assert sum(chunk.duration for chunk in [*before, after[0]]) == pytest.approx(0.02)  # the filter's tail first
    assert after[1].pts == 0.5


def test_a_jitter_of_one_sample_is_no_gap() -> None:
    resampler = Resampler()
    pushed(resampler, AudioChunk(tone(48_000, 0.02), 48_000, 0.0))
    (out,) = pushed(resampler, AudioChunk(tone(48_000, 0.02), 48_000, 0.02 + 0.9 / 48_000))
    assert out.pts == pytest.approx(304 / INPUT_SAMPLE_RATE)  # the filter held 16 of 320 samples back


def test_time_that_jumps_back_goes_on_where_the_last_audio_ended() -> None:
    resampler = Resampler()
    first = pushed(resampler, AudioChunk(tone(INPUT_SAMPLE_RATE, 0.02), INPUT_SAMPLE_RATE, 10.0))
    second = pushed(resampler, AudioChunk(tone(INPUT_SAMPLE_RATE, 0.02), INPUT_SAMPLE_RATE, 2.0))
    third = pushed(resampler, AudioChunk(tone(INPUT_SAMPLE_RATE, 0.02), INPUT_SAMPLE_RATE, 2.02))
    assert [chunk.pts for chunk in (*first, *second, *third)] == pytest.approx([10.0, 10.02, 10.04])


@given(
    st.lists(
        st.tuples(
            st.sampled_from([8_000, 16_000, 44_100, 48_000]),
            st.integers(min_value=0, max_value=1_000),
            st.floats(min_value=-2.0, max_value=2.0),
        ),
        max_size=12,
    )
)
def test_no_moment_is_ever_yielded_twice(steps: list[tuple[int, int, float]]) -> None:
    resampler, end, clock = Resampler(), float("-inf"), 5.0
    for rate, samples, jump in steps:
        for out in pushed(resampler, AudioChunk(bytes(2 * samples), rate, clock + jump)):
            assert out.pts >= end - 1e-9
            end = out.pts + out.duration
        clock += samples / rate


def test_the_rate_may_change_in_mid_stream() -> None:
    resampler = Resampler()
    out = pushed(
        resampler,
        *sliced(tone(48_000, 0.1), 48_000, 960),
        *sliced(tone(16_000, 0.1), 16_000, 320, pts=0.1),
        *sliced(tone(8_000, 0.1), 8_000, 160, pts=0.2),
    )
    assert sum(chunk.duration for chunk in out) == pytest.approx(0.3, abs=0.003)
    assert out[-1].pts + out[-1].duration == pytest.approx(0.3, abs=0.003)


def test_reset_forgets_the_tail_and_the_time() -> None:
    resampler = Resampler()
    fresh = pushed(Resampler(), AudioChunk(tone(48_000, 0.02), 48_000, 0.0))
    pushed(resampler, AudioChunk(tone(48_000, 0.02, hertz=3_000), 48_000, 9.0))
    resampler.reset()
    assert pushed(resampler, AudioChunk(tone(48_000, 0.02), 48_000, 0.0)) == fresh


def test_an_empty_chunk_yields_nothing() -> None:
    assert pushed(Resampler(), AudioChunk(b"", 48_000, 0.0)) == []


@pytest.mark.parametrize(
    "chunk",
    [AudioChunk(b"\0\0\0", 16_000, 0.0), AudioChunk(bytes(4), 7_999, 0.0), AudioChunk(bytes(4), 96_000, 0.0)],
    ids=["half a sample", "too low a rate", "too high a rate"],
)
def test_what_is_no_audio_is_an_audio_error(chunk: AudioChunk) -> None:
    with pytest.raises(AudioError) as raised:
        pushed(Resampler(), chunk)
    assert raised.value.code is FaultCode.AUDIO_PROCESSING_ERROR


def test_a_failure_of_the_library_is_an_audio_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def push(self, frame: object) -> None:
            raise InvalidDataError(1, "broken")

    monkeypatch.setattr("pipeline.audio.resampler._make_filter", lambda _: Broken())
    with pytest.raises(AudioError):
        pushed(Resampler(), AudioChunk(bytes(1_920), 48_000, 0.0))


def test_no_microphone_keeps_a_thread() -> None:
    before = len(os.listdir("/proc/self/task"))
    microphones = [Resampler() for _ in range(5)]
    for microphone in microphones:
        pushed(microphone, AudioChunk(bytes(1_920), 48_000, 0.0))
    assert len(os.listdir("/proc/self/task")) == before


def test_what_is_16_khz_already_is_handed_on_as_it_is() -> None:
    resampler = Resampler()
    for number in range(3):
        chunk = AudioChunk(tone(INPUT_SAMPLE_RATE, 0.02), INPUT_SAMPLE_RATE, 1.0 + number * 0.02)
        (out,) = resampler.push(chunk)
        assert out.pcm is chunk.pcm
        assert out.pts == pytest.approx(chunk.pts)
