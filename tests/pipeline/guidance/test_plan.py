"""The plan: exactly one current step until it is over, whatever is done to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.events import Evidence, EvidenceSource, StepState
from pipeline.guidance.guide import GuideStep
from pipeline.guidance.plan import Plan

SEEN = Evidence(EvidenceSource.SCREEN, "Saved", 7)
DONE, CURRENT, AHEAD = StepState.DONE, StepState.CURRENT, StepState.AHEAD


def plan(steps: int = 3) -> Plan:
    return Plan("goal", [GuideStep(f"step {number}") for number in range(1, steps + 1)])


def states(of: Plan) -> list[StepState]:
    return [step.state for step in of.event().steps]


Move = tuple[str, int]
MOVES = st.tuples(st.sampled_from(["complete", "go_to", "skip", "back", "tick"]), st.integers(1, 4))


def make(moved: Plan, move: Move) -> None:
    match move:
        case ("complete", number):
            moved.complete(number, SEEN)
        case ("go_to", number):
            moved.go_to(number)
        case ("skip", _):
            moved.skip()
        case ("back", _):
            moved.back()
        case _ if moved.current is not None:
            moved.complete(moved.current, SEEN)


@given(st.lists(MOVES, max_size=20))
def test_exactly_one_step_is_current_until_the_plan_is_over(moves: list[Move]) -> None:
    moved = plan(4)
    for move in moves:
        make(moved, move)
        event = moved.event()
        assert states(moved).count(CURRENT) == (0 if moved.current is None else 1)
        assert moved.current is None or event.steps[moved.current - 1].state is CURRENT
        assert all(step.evidence is not None for step in event.steps if step.state is DONE)
        assert all(step.evidence is None for step in event.steps if step.state is not DONE)


@given(st.lists(MOVES, max_size=20))
def test_a_plan_is_never_stuck(moves: list[Move]) -> None:
    moved = plan(4)
    for move in moves:
        make(moved, move)
    for _ in range(4):
        moved.skip()
    assert moved.current is None


def test_steps_are_done_one_after_the_other() -> None:
    followed = plan()
    followed.complete(1, SEEN)
    assert states(followed) == [DONE, CURRENT, AHEAD]
    assert followed.event().steps[0].evidence == SEEN


def test_a_step_that_was_skipped_stays_undone() -> None:
    followed = plan()
    followed.skip()
    followed.complete(2, SEEN)
    followed.complete(3, SEEN)
    assert (followed.current, states(followed)) == (None, [AHEAD, DONE, DONE])


def test_a_step_that_is_done_already_is_passed_over() -> None:
    followed = plan()
    followed.complete(2, SEEN)
    followed.complete(1, SEEN)
    assert states(followed) == [DONE, DONE, CURRENT]


def test_going_back_makes_what_follows_undone() -> None:
    followed = plan()
    for number in (1, 2, 3):
        followed.complete(number, SEEN)
    followed.back()
    assert states(followed) == [DONE, DONE, CURRENT]
    followed.go_to(1)
    followed.back()
    assert states(followed) == [CURRENT, AHEAD, AHEAD]


def test_a_plan_without_steps_is_none() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Plan("goal", [])
