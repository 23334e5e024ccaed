"""The turn benchmark: what counts as a cut-off and as a wait, and the lengths of pauses."""

from itertools import islice

import numpy as np
import pytest

from bench.turn_fixture import Turn, pause_lengths
from bench.turns import Outcome, row, run_turn
from pipeline.audio.vad import WINDOW_BYTES, WINDOW_SECONDS, Window
from pipeline.config import TurnModel, TurnSettings

SMART = TurnSettings(model=TurnModel.SMART_TURN)
TURN = Turn("one", "synthetic", np.zeros(0, np.int16), ((1.28, 1.92),), 3.2)


def windows() -> list[Window]:
    """Speech up to 3.2 s, with a pause from 1.28 to 1.92 s."""
    return [
        Window(bytes(WINDOW_BYTES), pts, 0.05 if 1.28 <= pts + 0.001 < 1.92 or pts + 0.001 >= 3.2 else 0.9)
        for pts in (number * WINDOW_SECONDS for number in range(200))
    ]


@pytest.mark.parametrize(
    ("settings", "probability", "seconds", "expected"),
    [
        (TurnSettings(silence=0.5), None, 0.0, (1, 0.512)),
        (TurnSettings(silence=0.8), None, 0.0, (0, 0.8)),
        (SMART, 0.95, 0.09, (1, 0.32)),
        (SMART, 0.1, 0.09, (0, 1.504)),
        (SMART, 0.95, 9.0, (1, 0.512)),
    ],
)
def test_an_end_inside_a_pause_is_a_cut_off_and_the_wait_counts_from_the_last_word(
    settings: TurnSettings, probability: float | None, seconds: float, expected: tuple[int, float]
) -> None:
    def judge(_: bytes) -> tuple[float, float]:
        assert probability is not None
        return probability, seconds

    outcome = run_turn(TURN, windows(), settings, judge)
    assert (outcome.pauses, outcome.cut_offs) == (1, expected[0])
    assert outcome.wait == pytest.approx(expected[1])


def test_pauses_are_as_long_as_those_of_eot_bench() -> None:
    lengths = list(islice(pause_lengths(), 20))
    assert sum(length > 0.3 for length in lengths) / 20 == pytest.approx(0.556, abs=0.03)
    assert sum(length > 0.6 for length in lengths) / 20 == pytest.approx(0.217, abs=0.03)


def test_a_row_has_the_share_and_the_quantiles() -> None:
    outcomes = [Outcome(1, 0, 0.3), Outcome(1, 1, 0.5), Outcome(0, 0, 0.4)]
    assert row("silence", "recorded", outcomes) == "| silence | recorded | 1 of 2 | 50.0 % | 400 | 500 |"
