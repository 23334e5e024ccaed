from pipeline.gemini.pending_input import (
    MAX_PENDING_INPUTS,
    MAX_PENDING_SECONDS,
    PendingInput,
    PendingText,
    PendingUtterance,
)
from tests.support.fake_engine import speech


def turns(kept: PendingInput) -> list[int]:
    return [act.turn for act in kept]


def seconds(kept: PendingInput) -> float:
    return sum(chunk.duration for act in kept if isinstance(act, PendingUtterance) for chunk in act.chunks)


def test_what_was_said_and_typed_is_kept_in_order() -> None:
    kept = PendingInput()
    kept.submit_text(1, "one")
    kept.start(2)
    kept.push_audio(speech(pts=1.0))
    kept.end()
    kept.push_audio(speech(pts=2.0))
    kept.submit_text(3, "three")
    first, second, third = kept
    assert isinstance(first, PendingText)
    assert isinstance(second, PendingUtterance)
    assert isinstance(third, PendingText)
    assert (first.text, third.text) == ("one", "three")
    assert [chunk.pts for chunk in second.chunks] == [1.0]
    assert not second.is_open


def test_a_new_utterance_completes_the_one_before_and_does_not_replace_it() -> None:
    kept = PendingInput()
    kept.start(1)
    kept.start(2)
    first, second = kept
    assert isinstance(first, PendingUtterance)
    assert isinstance(second, PendingUtterance)
    assert (first.is_open, second.is_open) == (False, True)


def test_a_reply_answers_all_that_was_complete_before_it() -> None:
    kept = PendingInput()
    kept.submit_text(1, "one")
    kept.submit_text(2, "two")
    kept.start(3)
    kept.on_answered(2)
    assert turns(kept) == [3]
    kept.on_answered(3)
    assert turns(kept) == [3]  # it is still being spoken
    kept.end()
    kept.on_answered(3)
    assert turns(kept) == []


def test_the_oldest_speech_and_the_oldest_acts_give_way_and_their_length_is_known() -> None:
    kept = PendingInput()
    kept.start(1)
    for number in range(int(MAX_PENDING_SECONDS) + 5):
        kept.push_audio(speech(1.0, pts=float(number)))
    (utterance,) = kept
    assert isinstance(utterance, PendingUtterance)
    assert utterance.chunks[0].pts == 5.0
    assert utterance.dropped_seconds == 5.0
    for turn in range(2, MAX_PENDING_INPUTS + 3):
        kept.submit_text(turn, "?")
    assert turns(kept) == list(range(3, MAX_PENDING_INPUTS + 3))
    kept.start(99)
    kept.push_audio(speech(MAX_PENDING_SECONDS))
    assert seconds(kept) == MAX_PENDING_SECONDS  # what was forgotten makes room


def test_a_cancelled_utterance_is_forgotten_and_a_question_is_not() -> None:
    kept = PendingInput()
    kept.submit_text(1, "one")
    kept.cancel()
    kept.start(2)
    kept.cancel()
    kept.cancel()
    assert turns(kept) == [1]


def test_when_no_answer_is_wanted_only_what_is_being_spoken_is_kept() -> None:
    kept = PendingInput()
    kept.submit_text(1, "one")
    kept.start(2)
    kept.discard_closed()
    assert turns(kept) == [2]


def test_what_dies_with_connections_too_often_is_given_up_but_never_what_is_being_spoken() -> None:
    kept = PendingInput()
    kept.submit_text(1, "one")
    assert kept.record_failed_attempt(2) is None
    kept.start(2)
    assert kept.record_failed_attempt(2) == 1
    assert kept.record_failed_attempt(2) is None
    assert turns(kept) == [2]
