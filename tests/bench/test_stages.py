"""Single stages, timed."""

import time

from bench.stages import ROUNDS, Stage, stages, table, timed


def test_every_stage_runs_on_its_material() -> None:
    found = stages()
    for stage in found:
        for _ in range(3):
            stage.call()
    assert len({stage.name for stage in found}) == len(found)


def test_the_cost_is_that_of_one_call_in_the_best_round() -> None:
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        if len(calls) <= 2:
            time.sleep(0.05)

    cost = timed(Stage("x", 50, 2, call))
    assert len(calls) == 2 * ROUNDS
    assert cost < 25_000


def test_the_table_says_what_a_session_needs() -> None:
    stage = Stage("decode", 50, 1, lambda: None)
    assert table([(stage, 20.0), (stage, 1234.0)]).splitlines()[2:] == [
        "| decode | 20.0 | 50 | 1.00 |",
        "| decode | 1234 | 50 | 61.70 |",
    ]
