"""One microphone's time."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.gap_filler import MAX_GAP, GapFiller
from pipeline.media import AudioChunk

RATE = 48_000
FRAME = 960
LOUD = np.full(FRAME, 1_000, np.int16)


def total(chunks: Iterable[AudioChunk]) -> int:
    """Samples in all."""
    return sum(len(chunk.pcm) // 2 for chunk in chunks)


def frames(continuity: GapFiller, *stamps: int, now: float = 0.0, rate: int = RATE) -> list[AudioChunk]:
    """Push one loud frame for each stamp."""
    return [chunk for stamp in stamps for chunk in continuity.push(LOUD, rate, stamp, now)]


def test_running_audio_passes_as_it_is() -> None:
    chunks = frames(GapFiller(grace=0.5), 7_000, 7_960, 8_920)
    assert [chunk.pts for chunk in chunks] == pytest.approx([0.0, 0.02, 0.04])
    assert all(chunk.pcm == LOUD.tobytes() for chunk in chunks)


def test_a_hole_is_filled_with_silence() -> None:
    chunks = frames(GapFiller(grace=0.5), 0, 3 * FRAME)
    assert chunks[1].pcm == bytes(2 * FRAME * 2)
    assert chunks[2].pts == pytest.approx(0.06)


def test_a_long_hole_is_not_filled_and_time_goes_on() -> None:
    chunks = frames(GapFiller(grace=0.5), 0, int(MAX_GAP * RATE) + 2 * FRAME, int(MAX_GAP * RATE) + 3 * FRAME)
    assert [chunk.pts for chunk in chunks] == pytest.approx([0.0, 0.02, 0.04])


def test_what_was_heard_before_is_dropped_to_the_sample() -> None:
    chunks = frames(GapFiller(grace=0.5), 0, FRAME, 0, FRAME, FRAME + 240, 2 * FRAME + 240)
    assert [len(chunk.pcm) // 2 for chunk in chunks] == [FRAME, FRAME, 240, FRAME]


def test_a_far_jump_back_is_a_new_beginning() -> None:
    chunks = frames(GapFiller(grace=0.5), 100 * RATE, 0, FRAME)
    assert [chunk.pts for chunk in chunks] == pytest.approx([0.0, 0.02, 0.04])


def test_another_rate_goes_on_at_the_same_session_time() -> None:
    continuity = GapFiller(grace=0.5)
    frames(continuity, 0, FRAME)
    (chunk,) = frames(continuity, 5, rate=8_000)
    assert chunk.rate == 8_000
    assert chunk.pts == pytest.approx(0.04)


def test_nothing_is_due_before_the_first_audio() -> None:
    continuity = GapFiller(grace=0.5)
    assert continuity.due is None
    assert not list(continuity.fill_silence(100.0))


def test_a_pause_is_fed_in_real_time_and_then_no_more() -> None:
    continuity = GapFiller(grace=0.5)
    frames(continuity, 0, now=10.0)
    assert continuity.due == pytest.approx(10.5)
    assert not list(continuity.fill_silence(10.4))
    assert total(continuity.fill_silence(10.5)) == RATE // 2
    assert continuity.due == pytest.approx(10.6)
    assert total(continuity.fill_silence(10.6)) == pytest.approx(RATE // 10, abs=1)
    assert total(continuity.fill_silence(99.0)) == pytest.approx((MAX_GAP - 0.1) * RATE, abs=1)
    assert continuity.due is None
    assert not list(continuity.fill_silence(200.0))


def test_silence_that_was_fed_is_taken_off_the_hole() -> None:
    continuity = GapFiller(grace=0.5)
    frames(continuity, 0, now=0.0)
    fed = total(continuity.fill_silence(0.6))
    hole = RATE  # 1 s, and 0.6 s of it were fed
    silence, speech = frames(continuity, FRAME + hole, now=1.0)
    assert total([silence]) == hole - fed
    assert speech.pts == pytest.approx(1.02)


def test_audio_that_was_only_late_is_kept_whole() -> None:
    continuity = GapFiller(grace=0.5)
    frames(continuity, 0, now=0.0)
    fed = total(continuity.fill_silence(0.8))
    chunks = frames(continuity, FRAME, 2 * FRAME, now=0.81)
    assert [chunk.pcm for chunk in chunks] == [LOUD.tobytes()] * 2
    assert chunks[0].pts == pytest.approx((FRAME + fed) / RATE)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), st.integers(-5 * RATE, 5 * RATE) | st.integers(-2 * FRAME, 2 * FRAME) | st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 5 * RATE)),
    ),
    max_size=40,
)


@given(STEPS)
def test_chunks_are_gapless_and_no_sound_is_heard_twice(steps: list[tuple[str, int]]) -> None:
    continuity = GapFiller(grace=0.5)
    now, stamp, heard = 0.0, 0, 0
    last: int | None = None  # stamp after the last sound that was taken
    for kind, amount in steps:
        if kind == "wait":
            now += amount / RATE
            chunks = list(continuity.fill_silence(now))
            assert total(chunks) <= (MAX_GAP + 0.5) * RATE
        else:
            stamp += amount
            hole = 0 if last is None else stamp - last
            chunks = list(continuity.push(LOUD, RATE, stamp, now))
            sound = sum(np.count_nonzero(np.frombuffer(chunk.pcm, np.int16)) for chunk in chunks)
            is_repeat = -MAX_GAP * RATE <= hole < 0
            assert sound == (max(0, FRAME + hole) if is_repeat else FRAME)
            assert total(chunks) - sound <= max(0, hole)
            if sound:
                last = stamp + FRAME
            stamp += FRAME
        for chunk in chunks:
            assert chunk.pts == pytest.approx(heard / RATE)
            heard += total([chunk])


@given(st.lists(st.integers(0, 30), min_size=2, max_size=40))
def test_session_time_is_rtp_time_whatever_is_lost(lost: list[int]) -> None:
    continuity = GapFiller(grace=60.0)
    stamp = 0
    for missing in lost:
        stamp += missing * FRAME
        chunks = frames(continuity, 12_345 + stamp)
        if stamp == lost[0] * FRAME:
            first = stamp
        assert chunks[-1].pts == pytest.approx((stamp - first) / RATE)
        stamp += FRAME
