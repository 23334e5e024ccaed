"""With NO_INTERRUPTION the user waits for the end of the turn (statement 20)."""

import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.genai import types

from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LocalEngine
from pipeline.audio.vad import VadModel
from tests.support.live_client import MANUAL, SECOND, open_session, speak, turn, until

SCRIPT = parse_script("""
rules:
  - {when: {text: long}, answer: [{call: {name: f}}, {say: one two three four five, seconds: 1}]}
  - {when: spoken, heard: hello, answer: [{say: Hello to you., seconds: 0.2}]}
  - {when: anything, answer: [{say: You typed., seconds: 0.2}]}
""")
TOOLS = [{"function_declarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}]
SPEECH = Path(__file__).parents[3] / "data" / "go-forward-ten-meters.wav"  # a man, 2.8 s
WORDS = ["one ", "two ", "three ", "four ", "five "]


def uninterrupted(*, automatic: bool) -> types.RealtimeInputConfig:
    detection = None if automatic else MANUAL.automatic_activity_detection
    return types.RealtimeInputConfig(
        automatic_activity_detection=detection, activity_handling=types.ActivityHandling.NO_INTERRUPTION
    )


@pytest.fixture
async def engine(vad: VadModel) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(SCRIPT, vad=vad) as engine:
        yield engine


async def test_speaking_over_an_answer_cuts_nothing_and_is_answered_next(engine: LocalEngine) -> None:
    config = uninterrupted(automatic=False)
    async with open_session(engine, realtime_input_config=config, tools=TOOLS) as session:
        await session.send_realtime_input(text="long")
        await until(session, "audio")
        await speak(session)
        said = await turn(session)
        assert [text.removeprefix("out:") for text in said if text.startswith("out:")] == WORDS[1:]
        assert said[-2:] == ["generation_complete", "turn_complete"]
        assert not {"interrupted", "cancelled"} & set(said)  # the call that nobody has answered stays open
        assert (await turn(session))[0] == "in:hello"


async def test_speech_that_the_engine_finds_itself_cuts_nothing_either(engine: LocalEngine) -> None:
    with wave.open(str(SPEECH)) as file:
        pcm = file.readframes(file.getnframes())
    async with open_session(engine, realtime_input_config=uninterrupted(automatic=True)) as session:
        await session.send_realtime_input(text="long")
        await until(session, "audio")
        for data in (SECOND, pcm, SECOND):
            await session.send_realtime_input(audio=types.Blob(data=data, mime_type="audio/pcm;rate=16000"))
        said = await turn(session)
        assert "interrupted" not in said
        assert said[-2:] == ["generation_complete", "turn_complete"]
        assert (await turn(session))[0] == "in:hello"


async def test_several_questions_are_answered_in_their_order(engine: LocalEngine) -> None:
    async with open_session(engine, realtime_input_config=uninterrupted(automatic=False)) as session:
        await session.send_realtime_input(text="long")
        await speak(session)
        await session.send_realtime_input(text="hi")
        assert "out:one " in await turn(session)
        assert "out:Hello " in await turn(session)
        assert "out:typed. " in await turn(session)


async def test_client_content_interrupts_all_the_same(engine: LocalEngine) -> None:
    # activityHandling is about what is spoken; client content always takes the turn (ai.google.dev/api/live).
    async with open_session(engine, realtime_input_config=uninterrupted(automatic=False)) as session:
        await session.send_realtime_input(text="long")
        await until(session, "audio")
        await session.send_client_content(turns=types.Content(role="user", parts=[types.Part(text="hi")]))
        assert (await turn(session))[-2:] == ["interrupted", "turn_complete"]
        assert "out:typed. " in await turn(session)
