"""The state in one word: what is shown for every combination of user, assistant and engine."""

import pytest

from pipeline.conversation.assistant_state import AssistantState
from pipeline.errors import FaultCode
from pipeline.events import State
from pipeline.gemini.sdk_errors import make_engine_error


def standing(*, ready: bool = True) -> AssistantState:
    made = AssistantState()
    if ready:
        made.engine_ready()
    return made


def look(seen: AssistantState, doing: str) -> State | None:
    return seen.next_state(
        is_listening=doing == "listening",
        is_awaiting=doing in ("awaiting", "speaking"),
        is_speaking=doing == "speaking",
    )


@pytest.mark.parametrize(
    ("doing", "state"),
    [
        ("awaiting", State.THINKING),
        ("listening", State.LISTENING),
        ("nothing", State.IDLE),
        ("speaking", State.SPEAKING),
    ],
)
def test_with_an_engine_the_state_is_what_is_done(doing: str, state: State) -> None:
    assert look(standing(), doing) is state


@pytest.mark.parametrize("doing", ["awaiting", "listening", "nothing", "speaking"])
def test_before_the_first_session_it_connects_whatever_is_done(doing: str) -> None:
    seen = standing(ready=False)
    assert look(seen, doing) is None
    assert seen.state is State.CONNECTING


@pytest.mark.parametrize(
    ("doing", "state"),
    [
        ("awaiting", State.RECONNECTING),
        ("listening", State.RECONNECTING),
        ("nothing", State.IDLE),
        ("speaking", State.SPEAKING),
    ],
)
def test_a_session_that_is_replaced_shows_only_to_who_waits_for_it(doing: str, state: State) -> None:
    seen = standing()
    seen.engine_disconnected()
    assert look(seen, doing) is state


@pytest.mark.parametrize("doing", ["awaiting", "listening", "nothing", "speaking"])
def test_an_outage_shows_whatever_is_done_until_it_is_over(doing: str) -> None:
    seen = standing()
    seen.engine_failed()
    assert look(seen, doing) is State.RECONNECTING
    seen.engine_ready()
    assert look(seen, doing) is not State.RECONNECTING


def test_a_state_is_said_once() -> None:
    seen = standing()
    assert [look(seen, "awaiting"), look(seen, "awaiting"), look(seen, "speaking")] == [
        State.THINKING,
        None,
        State.SPEAKING,
    ]


def test_a_deferred_fault_is_taken_once_and_never_after_the_engine_is_back() -> None:
    error = make_engine_error(FaultCode.ENGINE_NETWORK)
    seen = standing()
    seen.defer(error)
    assert [seen.take_deferred(), seen.take_deferred()] == [error, None]
    seen.defer(error)
    seen.engine_ready()
    assert seen.take_deferred() is None
