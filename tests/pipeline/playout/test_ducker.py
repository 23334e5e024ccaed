"""Ducking: a lower voice without clicks, and no work at full gain."""

import numpy as np

from pipeline.playout.ducker import DUCKED_GAIN, Ducker

LOUD = np.full(480, 10_000, "<i2").tobytes()


def samples(pcm: bytes) -> list[int]:
    return [int(value) for value in np.frombuffer(pcm, "<i2")]


def test_at_full_gain_a_frame_is_returned_as_it_is() -> None:
    assert Ducker().apply(LOUD) is LOUD


def test_the_voice_is_lowered_within_one_frame_and_raised_again_within_one() -> None:
    ducker = Ducker()
    ducker.is_ducked = True
    falling = samples(ducker.apply(LOUD))
    assert falling[0] == 10_000
    assert falling == sorted(falling, reverse=True)
    assert set(samples(ducker.apply(LOUD))) == {round(10_000 * DUCKED_GAIN)}
    ducker.is_ducked = False
    rising = samples(ducker.apply(LOUD))
    assert (rising[0], rising[-1]) == (round(10_000 * DUCKED_GAIN), 10_000)
    assert ducker.apply(LOUD) is LOUD


def test_reset_is_at_once() -> None:
    ducker = Ducker()
    ducker.is_ducked = True
    ducker.apply(LOUD)
    ducker.reset()
    assert ducker.apply(LOUD) is LOUD
