"""Sentences that move or start a guide, and the server's notes, as the local engine takes them."""

import asyncio
from collections.abc import Mapping

import pytest

from mediaserver.localengine.responder.guided_answers import action_of, call_of, guided_answer
from mediaserver.localengine.responder.interface import Call, CallResult
from pipeline.events import GuideAction
from pipeline.guidance.notes import say_note


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("next", GuideAction.NEXT),
        ("Okay, next step please.", GuideAction.NEXT),
        ("done", GuideAction.DONE),
        ("I did that!", GuideAction.DONE),
        ("I've done it", GuideAction.DONE),
        ("go on", GuideAction.DONE),
        ("go back", GuideAction.BACK),
        ("previous step", GuideAction.BACK),
        ("skip this step", GuideAction.SKIP),
        ("repeat the step", GuideAction.REPEAT),
        ("Where am I?", GuideAction.WHERE),
        ("what now?", GuideAction.WHERE),
        ("What do I do next?", GuideAction.WHERE),
        ("start over", GuideAction.RESTART),
        ("I’m stuck", GuideAction.HINT),
        ("close the guide", GuideAction.CLOSE),
        ("only speak when I ask", GuideAction.REMARKS_OFF),
        ("you may speak", GuideAction.REMARKS_ON),
        ("where is next?", None),
        ("what is on my screen?", None),
        ("repeat", None),
        ("stop", None),
        ("help", None),
        ("next " * 100, None),
    ],
)
def test_words_move_the_plan(text: str, action: GuideAction | None) -> None:
    assert action_of(text) is action


@pytest.mark.parametrize(
    ("text", "request_made"),
    [
        ("Can you help me file an expense?", "file an expense"),
        ("walk me through a password reset, please", "a password reset"),
        ("how do I print this?", "print this"),
        ("guide two", "two"),
        ("start the guide", "guide"),
        ("Which guides do you have?", "guide"),
        ("where is the save button?", None),
        ("help me", None),
    ],
)
async def test_words_start_a_guide(text: str, request_made: str | None) -> None:
    call = call_of(text)
    assert (call and (call.name, call.args)) == (request_made and ("start_guide", {"request": request_made}))


async def said(text: str, response: Mapping[str, object]) -> list[str]:
    sentences = []
    async for piece in guided_answer(text):
        if isinstance(piece, Call):
            assert isinstance(piece.result, asyncio.Future)
            piece.result.set_result(CallResult(response))
        else:
            sentences.append(piece)
    return sentences


async def test_the_answer_of_the_server_is_spoken() -> None:
    assert await said("next", {"say": "Step 2 of 3. Press Save."}) == ["Step 2 of 3. Press Save."]


async def test_a_request_without_a_guide_is_left_to_the_other_answers() -> None:
    nothing = {"result": "no guide fits", "list": "I have these guides: 1, Save."}
    assert await said("help me find save", nothing) == []
    assert await said("which guides do you have", nothing) == ["I have these guides: 1, Save."]


async def test_a_client_without_the_function_is_answered_otherwise() -> None:
    assert await said("next", {"error": "The client has no function 'guide_command'."}) == []


async def test_a_note_of_the_server_is_spoken_as_it_is() -> None:
    assert await said(say_note('Press "Save".'), {}) == ['Press "Save".']
    assert await said("an older question\n" + say_note("Step 1."), {}) == ["Step 1."]


async def test_words_are_left_to_a_model_and_notes_are_not() -> None:
    assert [piece async for piece in guided_answer("next", is_for_model=True)] == []
    assert [piece async for piece in guided_answer(say_note("Step 1."), is_for_model=True)] == ["Step 1."]


@pytest.mark.parametrize("rest", ["", "Step 1.", "[1]", "[" * 5_000, '"open'])
async def test_a_note_that_is_none_is_not_spoken(rest: str) -> None:
    prefix = say_note("").removesuffix('""')
    assert await said(prefix + rest, {}) == []
