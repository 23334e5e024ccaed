import pytest

from mediaserver.localengine.responder.interface import Question, Recognition, Speech
from mediaserver.localengine.responder.tone import tone_responder
from mediaserver.localengine.session.pacing import pieces

SPOKEN = Question(bytes(3_200), None, None)


async def answer(seconds: float) -> tuple[Recognition, Speech]:
    responder = tone_responder(seconds)
    heard, speech = [piece async for piece in responder.answer(SPOKEN, responder.new_memory())]
    assert isinstance(heard, Recognition)
    assert isinstance(speech, Speech)
    return heard, speech


@pytest.mark.parametrize("seconds", [0.04, 2, 2.5])
async def test_every_utterance_is_answered_with_so_many_seconds_of_tone(seconds: float) -> None:
    heard, speech = await answer(seconds)
    assert heard == Recognition("tone")
    assert len(speech.pcm) == seconds * 48_000
    assert max(speech.pcm) > 0


async def test_the_words_leave_exactly_where_they_begin() -> None:
    _, speech = await answer(2)
    place, leaving = 0, []
    for text, pcm in pieces(speech):
        leaving += [(place / 48_000, text)] if text else []
        place += len(pcm)
    assert leaving == [(0, "1 "), (0.4, "2 "), (0.8, "3 "), (1.2, "4 "), (1.6, "5 ")]
