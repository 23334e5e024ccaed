import asyncio
import json
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession
from websockets.asyncio.client import connect

from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Responder, Speech
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.responder.voice.voices import VoiceUnavailableError
from mediaserver.localengine.server import LocalEngine
from pipeline.audio.vad import VadModel
from pipeline.errors import EngineError, FaultCode, Severity
from pipeline.gemini.sdk_errors import engine_error

SCRIPT = """
rules:
  - {when: {text: endless}, answer: [{call: {name: point_at, args: {label: Save}}}, {say: on and on, seconds: 600}]}
  - {when: {text: nothing}, answer: [delay: 600]}
  - {when: {text: long}, answer: [{say: at length, seconds: 4}]}
  - {when: {text: point}, answer: [{call: {name: point_at, args: {label: Save}}}, {say: Here., seconds: 0.2}]}
  - {when: {screen: true}, answer: [{say: I see it., seconds: 0.2}]}
  - {when: spoken, heard: hello, answer: [{say: Hello to you., seconds: 0.6}]}
  - {when: anything, answer: [{say: You typed., seconds: 0.2}]}
"""
SPEECH = Path(__file__).parents[3] / "data" / "go-forward-ten-meters.wav"  # a man, 2.8 s
POINT = {"function_declarations": [{"name": "point_at", "behavior": "NON_BLOCKING"}]}
MANUAL = types.RealtimeInputConfig(automatic_activity_detection=types.AutomaticActivityDetection(disabled=True))
SECOND = bytes(32_000)


@pytest.fixture
async def engine(vad: VadModel) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(parse_script(SCRIPT), vad=vad) as engine:
        yield engine


@asynccontextmanager
async def open_session(engine: LocalEngine, **config: object) -> AsyncIterator[AsyncSession]:
    options = {
        "base_url": engine.base_url,
        "api_version": "v1beta",
        "async_client_args": {"ssl": engine.client_ssl, "proxy": None},
    }
    client = genai.Client(api_key="any", http_options=options)  # type: ignore[arg-type]
    wanted = {
        "response_modalities": ["AUDIO"],
        "realtime_input_config": MANUAL,
        "input_audio_transcription": {},
        "output_audio_transcription": {},
        **config,
    }
    async with client.aio.live.connect(model="local", config=wanted) as session:  # type: ignore[arg-type]
        yield session


def kinds(message: types.LiveServerMessage) -> list[str]:
    """What one message says, in short."""
    content = message.server_content or types.LiveServerContent()
    said = ["call"] if message.tool_call else []
    said += ["cancelled"] if message.tool_call_cancellation else []
    said += [f"in:{content.input_transcription.text}"] if content.input_transcription else []
    said += [f"out:{content.output_transcription.text}"] if content.output_transcription else []
    said += ["audio"] if content.model_turn else []
    said += [name for name in ("interrupted", "generation_complete", "turn_complete") if getattr(content, name)]
    return said


async def turn(session: AsyncSession) -> list[str]:
    """Everything up to the end of the turn."""
    return [said async for message in session.receive() for said in kinds(message)]


async def until(session: AsyncSession, kind: str) -> types.LiveServerMessage:
    async for message in session.receive():
        if kind in kinds(message):
            return message
    raise AssertionError(f"the turn ended without {kind}")


async def speak(session: AsyncSession, pcm: bytes = SECOND) -> None:
    """One utterance between the client's own signals."""
    await session.send_realtime_input(activity_start=types.ActivityStart())
    await session.send_realtime_input(audio=types.Blob(data=pcm, mime_type="audio/pcm;rate=16000"))
    await session.send_realtime_input(activity_end=types.ActivityEnd())


ANSWER_TO_TEXT = ["out:You ", "audio", "out:typed. ", "audio", "generation_complete", "turn_complete"]


async def test_a_typed_question_is_answered_at_once(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ANSWER_TO_TEXT


async def test_a_spoken_question_is_answered_when_its_window_ends(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await speak(session)
        said = await turn(session)
        assert said[0] == "in:hello"
        assert [text for text in said if text.startswith("out")] == ["out:Hello ", "out:to ", "out:you. "]
        assert said[-3:] == ["audio", "generation_complete", "turn_complete"]


async def test_transcripts_are_sent_only_if_configured(engine: LocalEngine) -> None:
    async with open_session(engine, input_audio_transcription=None, output_audio_transcription=None) as session:
        await speak(session)
        assert set(await turn(session)) == {"audio", "generation_complete", "turn_complete"}


async def test_audio_outside_a_window_is_ignored(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_realtime_input(audio=types.Blob(data=SECOND, mime_type="audio/pcm"))
        await session.send_realtime_input(activity_end=types.ActivityEnd())
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ANSWER_TO_TEXT


async def test_audio_is_24_khz_in_40_to_200_ms(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await speak(session)
        blobs = [
            part.inline_data
            async for message in session.receive()
            if message.server_content and message.server_content.model_turn
            for part in message.server_content.model_turn.parts or []
        ]
    assert all(blob and blob.mime_type == "audio/pcm;rate=24000" for blob in blobs)
    sizes = [len(blob.data) for blob in blobs if blob and blob.data]
    assert sum(sizes) == 28_800  # 0.6 s
    assert all(size % 1_920 == 0 and size <= 9_600 for size in sizes)


async def test_speaking_over_an_answer_silences_it(engine: LocalEngine) -> None:
    async with open_session(engine, tools=[POINT]) as session:
        await session.send_realtime_input(text="endless")
        await until(session, "audio")
        await speak(session)
        cut = await turn(session)
        assert cut[cut.index("interrupted") :] == ["interrupted", "cancelled", "turn_complete"]
        assert "generation_complete" not in cut
        assert (await turn(session))[0] == "in:hello"


async def test_an_answer_is_interrupted_also_before_its_first_sound(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_realtime_input(text="nothing")
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ["interrupted", "turn_complete"]
        assert await turn(session) == ANSWER_TO_TEXT


async def test_an_answer_that_is_complete_can_still_be_interrupted_while_it_plays(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_realtime_input(text="long")
        await until(session, "generation_complete")
        await session.send_realtime_input(activity_start=types.ActivityStart())
        assert await turn(session) == ["interrupted", "turn_complete"]


async def test_complete_content_interrupts_and_is_answered(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_realtime_input(text="nothing")
        await session.send_client_content(
            turns=types.Content(role="user", parts=[types.Part(text="hi")]), turn_complete=True
        )
        assert await turn(session) == ["interrupted", "turn_complete"]
        assert await turn(session) == ANSWER_TO_TEXT


async def test_incomplete_content_stops_an_answer_and_starts_none(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        note = types.Content(role="user", parts=[types.Part(text="[cut off]")])
        await session.send_client_content(turns=note, turn_complete=False)
        await session.send_realtime_input(text="nothing")
        await session.send_client_content(turns=note, turn_complete=False)
        assert await turn(session) == ["interrupted", "turn_complete"]
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ANSWER_TO_TEXT


async def test_without_interruption_a_question_waits_for_the_end_of_the_turn(engine: LocalEngine) -> None:
    config = types.RealtimeInputConfig(
        automatic_activity_detection=MANUAL.automatic_activity_detection,
        activity_handling=types.ActivityHandling.NO_INTERRUPTION,
    )
    async with open_session(engine, realtime_input_config=config) as session:
        await session.send_realtime_input(text="hi")
        await speak(session)
        assert await turn(session) == ANSWER_TO_TEXT
        assert (await turn(session))[0] == "in:hello"


async def test_the_newest_picture_is_seen(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_realtime_input(video=types.Blob(data=b"\xff\xd8", mime_type="image/jpeg"))
        await session.send_realtime_input(text="hi")
        assert "out:see " in await turn(session)


async def test_usage_counts_each_turn_by_kind(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_realtime_input(video=types.Blob(data=b"\xff\xd8", mime_type="image/jpeg"))
        for seconds in (1, 2):
            await speak(session, SECOND * seconds)
            usage = (await until(session, "turn_complete")).usage_metadata
            assert usage is not None
            prompt = {detail.modality: detail.token_count for detail in usage.prompt_tokens_details or []}
            response = {detail.modality: detail.token_count for detail in usage.response_tokens_details or []}
            assert prompt == {types.MediaModality.AUDIO: 25 * seconds, types.MediaModality.IMAGE: 256}
            assert response == {types.MediaModality.AUDIO: 5}  # 0.2 s
            assert usage.total_token_count == 25 * seconds + 256 + 5


async def test_a_call_does_not_hold_up_speech_and_its_silent_answer_is_not_spoken_of(engine: LocalEngine) -> None:
    async with open_session(engine, tools=[POINT]) as session:
        ids = []
        for _ in range(2):
            await session.send_realtime_input(text="point")
            message = await until(session, "call")
            assert message.tool_call is not None
            (call,) = message.tool_call.function_calls or []
            assert (call.name, call.args) == ("point_at", {"label": "Save"})
            ids.append(call.id)
            for call_id in (call.id, "unknown"):
                answer = types.FunctionResponse(
                    id=call_id, name="point_at", response={}, scheduling=types.FunctionResponseScheduling.SILENT
                )
                await session.send_tool_response(function_responses=answer)
            assert await turn(session) == ["out:Here. ", "audio", "generation_complete", "turn_complete"]
        assert len(set(ids)) == 2


async def test_a_function_that_was_not_declared_is_not_called(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_realtime_input(text="point")
        assert "call" not in await turn(session)


async def test_an_answered_call_is_not_cancelled(engine: LocalEngine) -> None:
    async with open_session(engine, tools=[POINT]) as session:
        await session.send_realtime_input(text="endless")
        message = await until(session, "call")
        assert message.tool_call is not None
        (call,) = message.tool_call.function_calls or []
        await session.send_tool_response(function_responses=types.FunctionResponse(id=call.id, name="f", response={}))
        await session.send_realtime_input(activity_start=types.ActivityStart())
        cut = await turn(session)
        assert cut[-2:] == ["interrupted", "turn_complete"]


async def test_by_default_the_server_finds_utterances_itself(engine: LocalEngine) -> None:
    with wave.open(str(SPEECH)) as file:
        pcm = file.readframes(file.getnframes())
    async with open_session(engine, realtime_input_config=None) as session:
        for data in (SECOND, pcm, SECOND):
            await session.send_realtime_input(audio=types.Blob(data=data, mime_type="audio/pcm;rate=16000"))
        assert (await turn(session))[0] == "in:hello"
        await session.send_realtime_input(audio=types.Blob(data=pcm, mime_type="audio/pcm;rate=16000"))
        await session.send_realtime_input(audio_stream_end=True)
        assert (await turn(session))[0] == "in:hello"


@pytest.mark.parametrize(
    ("realtime", "sent", "reason"),
    [
        (None, {"activity_start": types.ActivityStart()}, "Precondition check failed"),
        (None, {"activity_end": types.ActivityEnd()}, "Precondition check failed"),
        (MANUAL, {"audio_stream_end": True}, "invalid argument"),
        (MANUAL, {"audio": types.Blob(data=b"", mime_type="audio/ogg")}, "Unsupported MIME type"),
    ],
)
async def test_what_has_no_place_closes_the_session(
    engine: LocalEngine, realtime: object, sent: dict[str, object], reason: str
) -> None:
    async with open_session(engine, realtime_input_config=realtime) as session:
        await session.send_realtime_input(**sent)  # type: ignore[arg-type]
        with pytest.raises(errors.APIError, match=reason) as caught:
            await turn(session)
        assert caught.value.code == 1007


async def test_text_may_not_open_a_window(engine: LocalEngine) -> None:
    async with open_session(engine) as session:
        await session.send_realtime_input(activity_start=types.ActivityStart())
        await session.send_realtime_input(text="hi")
        with pytest.raises(errors.APIError) as caught:
            await turn(session)
        assert caught.value.code == 1007


async def test_many_sessions_are_answered_side_by_side(engine: LocalEngine) -> None:
    async def one() -> list[str]:
        async with open_session(engine) as session:
            await session.send_realtime_input(text="hi")
            return await turn(session)

    assert await asyncio.gather(*(one() for _ in range(8))) == [ANSWER_TO_TEXT] * 8


async def test_pings_are_answered_while_an_answer_is_on_its_way(engine: LocalEngine) -> None:
    url = engine.base_url.replace("https", "wss")
    path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=any"
    async with connect(url + path, ssl=engine.client_ssl, proxy=None, max_queue=None) as peer:
        await peer.send(json.dumps({"setup": {"model": "models/local"}}))
        await peer.send(json.dumps({"realtimeInput": {"text": "endless"}}))
        await peer.recv()
        await peer.recv()
        async with asyncio.timeout(10):
            await (await peer.ping())


async def test_a_client_that_vanishes_ends_its_answer(vad: VadModel) -> None:
    responder = Held()
    async with LocalEngine(responder, vad=vad) as engine:
        async with open_session(engine) as session:
            await session.send_realtime_input(text="hi")
            await responder.asked.wait()
        await responder.ended.wait()


async def test_the_language_of_the_setup_reaches_the_responder(vad: VadModel) -> None:
    responder = Held()
    async with (
        LocalEngine(responder, vad=vad) as engine,
        open_session(engine, speech_config={"language_code": "de-DE"}) as session,
    ):
        await session.send_realtime_input(text="hi")
        await responder.asked.wait()
        assert responder.memories[0].language == "de-DE"


class Held:
    """A responder that never comes to an answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.ended = asyncio.Event()
        self.memories: list[Memory] = []

    def new_memory(self) -> Memory:
        self.memories.append(Memory())
        return self.memories[-1]

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        self.asked.set()
        try:
            await asyncio.Event().wait()
            yield Recognition("")
        finally:
            self.ended.set()


class Broken:
    """A responder that fails."""

    def __init__(self, error: Exception):
        self._error = error

    def new_memory(self) -> Memory:
        return Memory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        yield Recognition("hello")
        raise self._error


async def test_a_voice_that_does_not_work_is_named_to_the_client(vad: VadModel) -> None:
    reason = "the speech server did not accept the key (LOCAL_TTS_KEY)"
    responder: Responder = Broken(VoiceUnavailableError(reason, where="speech server"))
    async with LocalEngine(responder, vad=vad) as engine, open_session(engine) as session:
        await session.send_realtime_input(text="hi")
        with pytest.raises(errors.APIError) as caught:
            await turn(session)
    assert reason in str(caught.value.details)
    fault = engine_error(caught.value, is_ready=True, is_local=True)
    assert fault.code is FaultCode.ENGINE_VOICE_UNAVAILABLE
    assert fault.severity is Severity.TURN


@pytest.mark.parametrize("error", [EngineError(FaultCode.ENGINE_INTERNAL, "no voice"), ZeroDivisionError()])
async def test_a_responder_that_fails_closes_its_session_as_an_internal_error(vad: VadModel, error: Exception) -> None:
    responder: Responder = Broken(error)
    async with LocalEngine(responder, vad=vad) as engine, open_session(engine) as session:
        await session.send_realtime_input(text="hi")
        with pytest.raises(errors.APIError) as caught:
            await turn(session)
        assert caught.value.code == 1011
        assert engine.is_serving()
