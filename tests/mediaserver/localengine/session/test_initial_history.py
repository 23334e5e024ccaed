"""A session is told of an earlier conversation before it begins (statement 21, historyConfig)."""

from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from google.genai import errors, types
from google.genai.live import AsyncSession

from mediaserver.localengine.responder.interface import MAX_ENTRIES, MAX_ENTRY_LENGTH, Memory, Question, Speech
from mediaserver.localengine.responder.local import LocalMemory, LocalResponder
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LocalEngine
from pipeline.audio.vad import VadModel
from pipeline.screen.layout import ScreenLayout
from pipeline.screen.read_text import ReadText
from tests.support.live_client import closing, dial, open_session, reply, said_by, setup, turn

SCRIPT = parse_script("""
rules:
  - {when: {text: what, remembers: blue}, answer: [{say: Blue., seconds: 0.2}]}
  - {when: {text: what, screen: true}, answer: [{say: A picture., seconds: 0.2}]}
  - {when: anything, answer: [{say: No idea., seconds: 0.2}]}
""")
HISTORY = {"initial_history_in_client_content": True}


@pytest.fixture
async def engine(vad: VadModel) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(SCRIPT, vad=vad) as engine:
        yield engine


def content(role: str, text: str) -> types.Content:
    return types.Content(role=role, parts=[types.Part(text=text)])


async def ask(session: AsyncSession, text: str) -> str:
    await session.send_realtime_input(text=text)
    return await said_by(session)


@pytest.mark.parametrize("role", ["model", "user"])
async def test_the_first_content_is_remembered_and_not_answered(engine: LocalEngine, role: str) -> None:
    async with open_session(engine, history_config=HISTORY) as session:
        await session.send_client_content(
            turns=[content("user", "hello"), content(role, "The sky is blue.")], turn_complete=True
        )
        assert await ask(session, "What?") == "Blue. "  # the first thing that is said


async def test_history_may_come_in_several_messages(engine: LocalEngine) -> None:
    async with open_session(engine, history_config=HISTORY) as session:
        await session.send_client_content(turns=content("user", "The sky is blue."), turn_complete=False)
        await session.send_client_content(turns=content("model", "Indeed."), turn_complete=False)
        await session.send_client_content(turn_complete=True)
        assert await ask(session, "What?") == "Blue. "


async def test_a_picture_of_the_history_is_seen(engine: LocalEngine) -> None:
    async with open_session(engine, history_config=HISTORY) as session:
        picture = types.Part(inline_data=types.Blob(data=b"\xff\xd8", mime_type="image/jpeg"))
        await session.send_client_content(turns=types.Content(role="user", parts=[picture]), turn_complete=True)
        assert await ask(session, "What?") == "A picture. "


async def test_the_content_after_the_history_is_answered(engine: LocalEngine) -> None:
    async with open_session(engine, history_config=HISTORY) as session:
        await session.send_client_content(turns=content("user", "The sky is blue."), turn_complete=True)
        await session.send_client_content(turns=content("user", "What?"), turn_complete=True)
        assert await said_by(session) == "Blue. "


async def test_without_the_configuration_the_first_content_is_answered(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_client_content(turns=content("user", "The sky is blue."), turn_complete=True)
        assert await said_by(session) == "No idea. "
        assert await ask(session, "What?") == "Blue. "


async def test_nobody_may_speak_before_the_history_is_complete(engine: LocalEngine) -> None:
    async with open_session(engine, history_config=HISTORY) as session:
        await session.send_client_content(turns=content("user", "The sky is blue."), turn_complete=False)
        await session.send_realtime_input(text="What?")
        with pytest.raises(errors.APIError, match="initial history") as caught:
            await turn(session)
        assert caught.value.code == 1007


async def test_a_resumed_session_is_not_told_again(engine: LocalEngine) -> None:
    history = {"initialHistoryInClientContent": True}
    async with dial(engine) as peer:
        await peer.send(setup(sessionResumption={}, historyConfig=history))
        await reply(peer)
        handle = (await reply(peer))["sessionResumptionUpdate"]["newHandle"]
    async with dial(engine) as peer:
        await peer.send(setup(sessionResumption={"handle": handle}, historyConfig=history))
        await peer.send('{"realtimeInput": {"text": "What?"}}')  # which would be refused before a history
        while "turnComplete" not in (await reply(peer)).get("serverContent", {}):
            pass


async def test_on_a_model_that_takes_content_as_history_only_other_content_is_refused(engine: LocalEngine) -> None:
    async with open_session(engine, model="gemini-3.1-flash-live-preview", history_config=HISTORY) as session:
        await session.send_client_content(turns=content("user", "The sky is blue."), turn_complete=True)
        assert await ask(session, "What?") == "Blue. "
        await session.send_client_content(turns=content("user", "What?"), turn_complete=True)
        with pytest.raises(errors.APIError) as caught:
            await turn(session)
        assert caught.value.code == 1007


async def test_content_with_a_model_that_takes_none_at_all_is_refused_from_the_start(engine: LocalEngine) -> None:
    async with dial(engine) as peer:
        await peer.send(setup("models/gemini-3.1-flash-live-preview"))
        await peer.send('{"clientContent": {"turns": [{"parts": [{"text": "hi"}]}]}}')
        assert (await closing(peer))[0] == 1007


class Blind:
    """A reader without a screen."""

    async def read(self, jpeg: bytes, /) -> tuple[ReadText, ...]:
        raise AssertionError("there is nothing to read")

    async def layout(self, jpeg: bytes, /) -> ScreenLayout:
        raise AssertionError("there is nothing to read")


def test_what_is_kept_of_a_conversation_is_bounded() -> None:
    memory = Memory()
    for number in range(MAX_ENTRIES + 5):
        memory.append("user", f"{number} " + "x" * 10_000)
    memory.append("model", "  ")
    assert len(memory.history) == MAX_ENTRIES
    assert memory.history[0].text.startswith("5 ")
    assert len(memory.history[0].text) == MAX_ENTRY_LENGTH


async def test_the_local_responder_can_repeat_what_was_said_before_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    responder = LocalResponder(Blind())
    said: list[str] = []

    async def say(text: str, *, language: str, speed: float) -> AsyncGenerator[Speech, None]:
        said.append(text)
        yield Speech(b"", ())

    monkeypatch.setattr(responder._text_to_speech, "stream", say)
    memory = LocalMemory()
    memory.append("model", "Save is at the top.")
    memory.append("user", "say that again")
    async for _ in responder.answer(Question(b"", "Say that again", None), memory):
        pass
    assert said == ["Save is at the top."]
