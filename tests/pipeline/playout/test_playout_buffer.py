"""Playout: what was pushed is heard once and in order, and silence is the default."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.errors import AudioError, FaultCode
from pipeline.playout.playout_buffer import FRAME_BYTES, FRAME_SAMPLES, SILENCE, Playout

LOUD = np.full(FRAME_SAMPLES, 20_000, "<i2").tobytes()
BEND = 120  # samples in 5 ms


def values(pcm: bytes) -> list[int]:
    return [int(value) for value in np.frombuffer(pcm, "<i2")]


def pcm_of(samples: list[int]) -> bytes:
    return np.array(samples, "<i2").tobytes()


def steepest(pcm: bytes) -> int:
    return max(abs(after - before) for before, after in pairwise(values(pcm)))


def test_audio_of_a_closed_turn_is_never_heard() -> None:
    playout = Playout(rate=24_000)
    playout.open(turn=1)
    playout.close()
    playout.push(1, LOUD)
    assert playout.pull() == SILENCE


def test_without_a_turn_silence_itself_is_handed_out() -> None:
    assert Playout().pull() is SILENCE


def test_speech_is_handed_out_in_frames_as_it_was_pushed() -> None:
    playout = Playout()
    pcm = np.arange(3 * FRAME_SAMPLES, dtype="<i2").tobytes()
    playout.open(1)
    playout.push(1, pcm[:100])
    playout.push(1, pcm[100:2_500])
    playout.push(1, pcm[2_500:])
    assert playout.pull() + playout.pull() + playout.pull() == pcm
    assert playout.played_samples == 3 * FRAME_SAMPLES


def test_audio_of_another_turn_is_ignored() -> None:
    playout = Playout()
    playout.open(2)
    playout.push(1, LOUD)
    playout.push(3, LOUD)
    playout.finish(1)
    assert playout.pull() is SILENCE
    assert not playout.is_drained


def test_close_drops_everything_at_once_and_without_a_click() -> None:
    playout = Playout()
    playout.open(1)
    playout.push(1, LOUD * 50)
    heard = playout.pull()
    playout.close()
    assert not playout.is_audible
    assert playout.queued == 0.0
    ramp = playout.pull()
    assert steepest(heard + ramp) < 200
    assert values(ramp)[BEND:] == [0] * (FRAME_SAMPLES - BEND)
    assert sorted(values(ramp), reverse=True) == values(ramp)
    assert playout.pull() is SILENCE
    assert playout.played_samples == FRAME_SAMPLES


def test_close_where_the_sound_rests_is_silence_at_once() -> None:
    playout = Playout()
    playout.open(1)
    playout.push(1, LOUD[:-2] + b"\0\0" + LOUD)
    playout.pull()
    playout.close()
    assert playout.pull() is SILENCE


def test_the_last_frame_is_padded_only_when_the_turn_is_finished() -> None:
    playout = Playout()
    playout.open(1)
    playout.push(1, LOUD[:100])
    assert playout.pull() is SILENCE
    assert playout.played_samples == 0
    playout.finish(1)
    assert playout.pull() == LOUD[:100] + bytes(FRAME_BYTES - 100)
    assert playout.played_samples == 50
    assert playout.is_drained


def test_a_turn_is_over_when_it_is_finished_and_handed_out() -> None:
    playout = Playout()
    playout.open(1)
    playout.push(1, LOUD)
    playout.finish(1)
    assert not playout.is_drained
    playout.pull()
    assert playout.is_drained
    assert playout.turn == 1
    playout.close()
    assert playout.turn is None
    assert not playout.is_drained


def test_after_finish_no_more_is_taken() -> None:
    playout = Playout()
    playout.open(1)
    playout.finish(1)
    playout.push(1, LOUD)
    playout.finish(1)
    assert playout.is_drained
    assert playout.pull() is SILENCE


def test_running_dry_is_silence_that_does_not_count_as_heard_and_does_not_click() -> None:
    playout = Playout()
    playout.open(1)
    playout.push(1, LOUD)
    heard = playout.pull() + playout.pull()
    assert playout.pull() is SILENCE
    assert playout.played_samples == FRAME_SAMPLES
    playout.push(1, LOUD)
    heard += playout.pull()
    assert steepest(heard) < 200
    assert values(heard)[2 * FRAME_SAMPLES + BEND :] == values(LOUD)[BEND:]
    assert playout.played_samples == 2 * FRAME_SAMPLES


def test_a_turn_that_replaces_one_being_heard_does_not_click() -> None:
    playout = Playout()
    playout.open(1)
    playout.push(1, LOUD * 3)
    heard = playout.pull()
    playout.open(2)
    playout.push(2, pcm_of([-32_768] * FRAME_SAMPLES * 2))
    heard += playout.pull() + playout.pull()
    assert steepest(heard) < 500
    assert values(heard)[-FRAME_SAMPLES:] == [-32_768] * FRAME_SAMPLES
    assert playout.played_samples == 2 * FRAME_SAMPLES


def test_a_turn_is_audible_from_its_first_frame_to_the_pull_after_its_last() -> None:
    playout = Playout()
    playout.open(1)
    assert not playout.is_audible
    playout.push(1, LOUD)
    assert playout.is_audible
    playout.pull()
    assert playout.is_audible
    playout.pull()
    playout.pull()
    assert not playout.is_audible


def test_queued_is_in_seconds() -> None:
    playout = Playout()
    playout.open(1)
    playout.push(1, LOUD * 50 + LOUD[:480])
    assert playout.queued == pytest.approx(1.01)


def test_more_than_the_limit_is_an_audio_error_and_not_queued() -> None:
    playout = Playout(limit=1.0)
    playout.open(1)
    playout.push(1, LOUD * 50)
    with pytest.raises(AudioError) as raised:
        playout.push(1, LOUD[:2])
    assert raised.value.code is FaultCode.AUDIO_PROCESSING_ERROR
    assert playout.queued == 1.0
    playout.pull()
    playout.push(1, LOUD)


def test_half_a_sample_is_an_audio_error() -> None:
    playout = Playout()
    playout.open(1)
    with pytest.raises(AudioError):
        playout.push(1, b"\0\0\0")


def test_speech_that_is_silent_is_told_from_silence() -> None:
    playout = Playout()
    playout.open(1)
    playout.push(1, SILENCE)
    frame = playout.pull()
    assert frame == SILENCE
    assert frame is not SILENCE


@given(sizes=st.lists(st.integers(min_value=0, max_value=3_000), max_size=20))
def test_any_chunking_is_handed_out_as_one(sizes: list[int]) -> None:
    pcm = np.random.default_rng(7).bytes(2 * sum(sizes))
    playout, taken = Playout(), 0
    playout.open(1)
    for size in sizes:
        playout.push(1, pcm[taken : taken + 2 * size])
        taken += 2 * size
    playout.finish(1)
    heard = b""
    while not playout.is_drained:
        heard += playout.pull()
    assert heard[: len(pcm)] == pcm
    assert not any(heard[len(pcm) :])
    assert playout.played_samples * 2 == len(pcm)


def test_a_new_turn_after_silence_is_not_bent() -> None:
    playout = Playout()
    playout.open(1)
    playout.push(1, LOUD)
    playout.pull()
    playout.close()
    playout.pull()  # the ramp
    playout.open(2)
    playout.push(2, LOUD)
    assert playout.pull() == LOUD


class AnyInterleaving(RuleBasedStateMachine):
    """A second, slow playout to compare with; its samples are numbered and never 0."""

    def __init__(self) -> None:
        super().__init__()
        self.playout = Playout()
        self.turn = 0
        self.is_open = self.is_finished = False
        self.expected: list[int] = []
        self.heard = 0
        self.number = 0
        self.is_seam = False  # the next speech may be bent
        self.was_speech = False

    @rule()
    def open(self) -> None:
        self.turn += 1
        self.playout.open(self.turn)
        self.is_open, self.is_finished, self.expected, self.heard = True, False, [], 0
        self.is_seam = self.was_speech

    @rule(size=st.integers(min_value=0, max_value=1_200), stale=st.booleans())
    def push(self, size: int, stale: bool) -> None:
        samples = [1 + (self.number + i) % 30_000 for i in range(size)]
        self.number += size
        self.playout.push(self.turn - stale, pcm_of(samples))
        if self.is_open and not self.is_finished and not stale:
            self.expected += samples

    @precondition(lambda self: self.is_open)
    @rule()
    def finish(self) -> None:
        self.playout.finish(self.turn)
        self.is_finished = True

    @rule()
    def close(self) -> None:
        self.playout.close()
        self.is_open, self.is_finished, self.expected = False, False, []

    @rule()
    def pull(self) -> None:
        frame = self.playout.pull()
        assert len(frame) == FRAME_BYTES
        due = self.expected[:FRAME_SAMPLES]
        if len(due) == FRAME_SAMPLES or (due and self.is_finished):
            del self.expected[: len(due)]
            self.heard += len(due)
            padded = due + [0] * (FRAME_SAMPLES - len(due))
            start = BEND if self.is_seam else 0
            assert values(frame)[start:] == padded[start:]
            self.is_seam, self.was_speech = False, True
            return
        if self.was_speech:
            assert values(frame)[BEND:] == [0] * (FRAME_SAMPLES - BEND)
            self.is_seam = self.is_open and self.heard > 0
        else:
            assert frame is SILENCE
        self.was_speech = False

    @invariant()
    def counts_agree(self) -> None:
        assert self.playout.queued == pytest.approx(len(self.expected) / 24_000)
        assert self.playout.played_samples == self.heard
        assert self.playout.is_drained == (self.is_finished and not self.expected)
        assert self.playout.turn == (self.turn if self.is_open else None)


AnyInterleaving.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
test_any_interleaving_hands_out_what_was_pushed_in_order_and_is_silent_after_close = AnyInterleaving.TestCase
