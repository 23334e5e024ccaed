import asyncio
import base64
import json
from dataclasses import replace

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from pipeline.engine import (
    EngineDisconnected,
    EngineDowngraded,
    EngineEvent,
    EngineReady,
    EngineUnavailable,
    ReplyAudio,
    ReplyEnded,
    ReplyGenerated,
    ReplyText,
    ToolCall,
    ToolCallCancelled,
    UserText,
)
from pipeline.errors import EngineError, FaultCode
from pipeline.events import Role
from pipeline.gemini.bridge import GeminiBridge
from pipeline.tools.toolbox import POINT_AT
from tests.support.fake_engine import (
    CONFIG,
    QUICK,
    VOICE,
    WAIT,
    EventRecorder,
    FakeEngine,
    FakeSession,
    bridged,
    encoded_frame,
    fake_engine,
    speech,
    voice,
)

pytestmark = pytest.mark.one_python

CALM = replace(QUICK, stable=0.0)
"""Every session counts as stable, so that one test may lose several."""


async def give_up(engine: FakeEngine, *, model: str = CONFIG.model) -> list[FaultCode]:
    """Run a bridge until it raises; returns the codes of its events and of the error, in order."""
    listener = EventRecorder()
    config = replace(CONFIG, model=model)
    bridge = GeminiBridge(engine.client(), config, listener=listener, timeouts=QUICK, jitter=lambda: 0.0)
    with pytest.raises(EngineError) as raised:
        async with asyncio.timeout(WAIT):
            await bridge.run()
    codes = [event.error.code for event in listener.events if isinstance(event, EngineUnavailable | EngineDowngraded)]
    return [*codes, raised.value.code]


async def stuff(session: FakeSession, bridge: GeminiBridge) -> None:
    """Send more than the socket takes to an engine that has stopped reading."""
    session.freeze()
    bridge.start_utterance(1)
    for _ in range(200):
        bridge.push_audio(speech(1.0))
        await asyncio.sleep(0)
    bridge.end_utterance()


async def test_the_engine_is_called_at_the_path_that_google_documents_with_the_key_in_a_header() -> None:
    async with fake_engine() as engine, bridged(engine) as (_, recorder):
        await recorder.next()
    assert engine.paths == ["/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"]
    assert engine.keys == ["a key"]


async def test_the_setup_disables_engine_vad_and_asks_for_both_transcripts() -> None:
    async with fake_engine() as engine, bridged(engine, config=replace(CONFIG, tools=(POINT_AT,))) as (_, recorder):
        assert await recorder.next() == EngineReady("gemini-3.8-live")
        setup = engine.setups[0]
    assert setup["model"] == "models/gemini-3.8-live"
    assert setup["generationConfig"] == {
        "responseModalities": ["AUDIO"],
        "mediaResolution": "MEDIA_RESOLUTION_MEDIUM",
        "speechConfig": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}},
    }
    assert setup["realtimeInputConfig"] == {
        "automatic_activity_detection": {"disabled": True},
        "activity_handling": "START_OF_ACTIVITY_INTERRUPTS",
        "turn_coverage": "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO",
    }
    assert setup["inputAudioTranscription"] == setup["outputAudioTranscription"] == {}
    assert setup["contextWindowCompression"]["trigger_tokens"] > 0
    assert "'en'" in setup["systemInstruction"]["parts"][0]["text"]
    (declaration,) = setup["tools"][0]["functionDeclarations"]
    assert declaration["name"] == "point_at"
    assert declaration["behavior"] == "NON_BLOCKING"
    assert declaration["parameters"]["properties"]["box_2d"]["type"] == "ARRAY"


async def test_an_utterance_goes_up_as_start_audio_frames_end() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.push_frame(encoded_frame(1))
        bridge.start_utterance(1)
        bridge.push_frame(encoded_frame(2))
        bridge.push_audio(speech())
        bridge.push_frame(encoded_frame(3))
        bridge.end_utterance()
        assert await session.heard_kinds(5) == ["video", "activityStart", "audio", "video", "activityEnd"]


async def test_audio_keeps_every_sample_and_its_rate() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.start_utterance(1)
        for _ in range(3):
            bridge.push_audio(speech(0.032))
        bridge.end_utterance()
        messages = [await session.heard() for _ in range(4)]
    assert [message["audio"]["mime_type"] for message in messages[1:3]] == ["audio/pcm;rate=16000"] * 2
    base64_length = sum(len(message["audio"]["data"]) for message in messages[1:3])
    assert base64_length == pytest.approx(3 * 1024 * 4 / 3, abs=8)


@pytest.mark.parametrize(
    ("model", "scores", "confidence"),
    [
        ("local", [0.84], 0.84),
        ("local", [7.0], 1.0),
        ("local", [], None),
        ("local", None, None),
        ("gemini-3.8-live", [0.84], None),
    ],
)
async def test_the_confidence_of_a_transcript_is_the_local_engines_alone(
    model: str, scores: list[float] | None, confidence: float | None
) -> None:
    async with fake_engine() as engine, bridged(engine, config=replace(CONFIG, model=model)) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.start_utterance(1)
        bridge.end_utterance()
        supports = [{"segment": {"text": "stop"}, "confidenceScores": scores}]
        await session.content(inputTranscription={"text": "stop"}, groundingMetadata={"groundingSupports": supports})
        assert await recorder.next() == UserText(1, "stop", is_restart=True, confidence=confidence)


async def test_a_reply_is_told_in_order_with_its_turn() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.start_utterance(7)
        bridge.push_audio(speech())
        bridge.end_utterance()
        await session.content(inputTranscription={"text": "where is save"})
        await session.content(outputTranscription={"text": "At the"})
        await session.speak()
        await session.content(outputTranscription={"text": " top."})
        await session.speak()
        await session.content(generationComplete=True)
        usage = {"totalTokenCount": 30, "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}]}
        await session.say(serverContent={"turnComplete": True}, usageMetadata=usage)
        events = [await recorder.next() for _ in range(7)]
    match events:
        case [
            UserText(7, "where is save", is_restart=True),
            ReplyText(7, "At the"),
            ReplyAudio(7, first),
            ReplyText(7, " top."),
            ReplyAudio(7, second),
            ReplyGenerated(7),
            ReplyEnded(7, usage_told, None),
        ]:
            assert first.pcm == second.pcm == VOICE
            assert (first.rate, first.pts, second.pts) == (24_000, 0.0, 0.01)
            assert usage_told.tokens == {"total": 30, "response_audio": 5}
        case _:
            pytest.fail(str(events))


async def test_one_message_may_carry_everything_and_several_parts() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        parts = [voice()["modelTurn"]["parts"][0], {"text": "hm", "thought": True}, voice()["modelTurn"]["parts"][0]]  # type: ignore[index]
        await session.say(
            serverContent={
                "modelTurn": {"parts": parts},
                "outputTranscription": {"text": "Hello."},
                "generationComplete": True,
                "turnComplete": True,
            },
            usageMetadata={"totalTokenCount": 3},
        )
        events = [await recorder.next() for _ in range(5)]
    kinds = [type(event) for event in events]
    assert kinds == [ReplyText, ReplyAudio, ReplyAudio, ReplyGenerated, ReplyEnded]


async def test_parts_that_are_no_voice_are_not_heard() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
        thought = {**voice()["modelTurn"]["parts"][0], "thought": True}  # type: ignore[index]
        await session.content(
            modelTurn={"parts": [{"text": "**Thinking**"}, picture, thought]}, generationComplete=True
        )
        assert isinstance(await recorder.next(), ReplyGenerated)


async def test_a_proxy_for_the_internet_does_not_take_a_loopback_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    async with fake_engine() as engine, bridged(engine) as (_, recorder):
        assert isinstance(await recorder.next(), EngineReady)


async def test_the_key_is_not_written_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with fake_engine() as engine, bridged(engine) as (_, recorder):
        assert isinstance(await recorder.next(), EngineReady)
    client_lines = [line.getMessage() for line in caplog.records if line.name == "websockets.client"]
    assert not any("a key" in line for line in client_lines)


async def test_reading_goes_on_after_every_turn_of_the_model() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        for turn in range(1, 30):
            bridge.submit_text(turn, "again")
            await session.content(**voice(), turnComplete=True)
            assert isinstance(await recorder.next(), ReplyAudio)
            ended = await recorder.next()
            assert isinstance(ended, ReplyEnded)
            assert ended.turn == turn


async def test_a_barge_in_silences_the_old_turn_until_the_engine_has_closed_it() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "tell me a story")
        await session.speak()
        await recorder.next()
        bridge.start_utterance(2)
        bridge.push_audio(speech())
        await session.speak()
        bridge.end_utterance()
        await session.speak()
        await session.content(interrupted=True)
        await session.content(turnComplete=True)
        await session.speak()
        await session.content(turnComplete=True)
        events = [await recorder.next() for _ in range(2)]
    assert [(type(event), event.turn) for event in events] == [(ReplyAudio, 2), (ReplyEnded, 2)]  # type: ignore[union-attr]
    assert [event.turn for event in recorder.of(ReplyAudio)] == [1, 2]


async def test_a_phantom_interruption_is_ignored() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        await session.content(interrupted=True)
        await session.speak()
        await session.content(interrupted=True)
        await session.speak()
        await session.content(turnComplete=True)
        events = [await recorder.next() for _ in range(3)]
    assert [type(event) for event in events] == [ReplyAudio, ReplyAudio, ReplyEnded]


async def test_what_follows_an_early_end_is_heard_as_a_remark_of_its_own() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        await session.content(**voice(), turnComplete=True)
        await session.content(**voice(), turnComplete=True)
        events = [await recorder.next() for _ in range(4)]
    assert [event.turn for event in events] == [1, 1, 101, 101]  # type: ignore[union-attr]


async def test_stopping_tells_the_engine_where_it_can_be_told() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "tell me a story")
        await session.heard()
        await session.speak()
        await recorder.next()
        bridge.interrupt_reply()
        assert await session.heard() == {"turnComplete": False}
        await session.speak()
        await session.content(interrupted=True)
        await session.content(turnComplete=True)
        bridge.submit_text(2, "something else")
        assert await session.heard() == {"text": "something else"}
        await session.speak()
        assert [(type(event), event.turn) for event in [await recorder.next()]] == [(ReplyAudio, 2)]  # type: ignore[union-attr]


async def test_stopping_only_falls_silent_where_the_engine_cannot_be_told() -> None:
    config = replace(CONFIG, model="gemini-3.1-flash-live-preview")
    async with fake_engine() as engine, bridged(engine, config=config) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "tell me a story")
        bridge.interrupt_reply()
        bridge.submit_text(2, "something else")
        assert [await session.heard() for _ in range(2)] == [{"text": "tell me a story"}, {"text": "something else"}]
        await session.content(**voice(), turnComplete=True)
        await session.content(**voice(), turnComplete=True)
        assert (await recorder.next()).turn == 2  # type: ignore[union-attr]


async def test_a_cancelled_utterance_gets_no_reply() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.start_utterance(1)
        bridge.push_audio(speech())
        bridge.cancel_utterance()
        bridge.cancel_utterance()
        assert await session.heard_kinds(4) == ["activityStart", "audio", "activityEnd", "turnComplete"]
        await session.speak()
        await session.content(interrupted=True, turnComplete=True)
        await session.content(**voice(b"\0\0"))  # later, a remark
        event = await recorder.next()
        assert isinstance(event, ReplyAudio)
        assert (event.turn, event.chunk.pcm) == (101, b"\0\0")


async def test_a_question_typed_while_speaking_ends_the_utterance() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.start_utterance(1)
        bridge.push_audio(speech())
        bridge.submit_text(2, "where is save")
        kinds = await session.heard_kinds(5)
        assert kinds == ["activityStart", "audio", "activityEnd", "turnComplete", "text"]


async def test_a_call_is_told_and_its_answer_is_silent() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "where is save")
        await session.heard()
        await session.say(toolCall={"functionCalls": [{"id": "c1", "name": "point_at", "args": {"label": "Save"}}]})
        call = await recorder.next()
        assert call == ToolCall(1, "c1", "point_at", {"label": "Save"})
        bridge.send_tool_response(call, {"result": "shown"}, is_silent=True)
        bridge.send_tool_response(call, {"result": "shown twice"}, is_silent=True)
        bridge.submit_text(2, "thanks")
        (response,) = (await session.heard())["functionResponses"]
        assert response == {"id": "c1", "name": "point_at", "response": {"result": "shown"}, "scheduling": "SILENT"}
        assert await session.heard_kinds(2) == ["turnComplete", "text"]


@pytest.mark.parametrize("model", ["gemini-3.1-flash-live-preview", "gemini-3.8-live-extended-thinking"])
async def test_a_model_that_takes_no_scheduling_of_answers_is_sent_none(model: str) -> None:
    async with fake_engine() as engine, bridged(engine, config=replace(CONFIG, model=model)) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "where is save")
        await session.heard()
        await session.say(toolCall={"functionCalls": [{"id": "c1", "name": "point_at"}]})
        call = await recorder.next()
        assert isinstance(call, ToolCall)
        bridge.send_tool_response(call, {"result": "shown"}, is_silent=True)
        (response,) = (await session.heard())["functionResponses"]
    assert response == {"id": "c1", "name": "point_at", "response": {"result": "shown"}}


async def test_a_call_nobody_answers_is_answered_with_an_error() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=replace(QUICK, tool_call=0.01)) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "where is save")
        await session.heard()
        await session.say(toolCall={"functionCalls": [{"id": "c1", "name": "point_at", "args": {}}]})
        (response,) = (await session.heard())["functionResponses"]
    assert "error" in response["response"]


async def test_a_call_of_a_dead_turn_is_refused_and_not_told() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "where is save")
        bridge.interrupt_reply()
        await session.heard_kinds(2)
        await session.say(toolCall={"functionCalls": [{"id": "c1", "name": "point_at"}, {"name": "no id"}]})
        (response,) = (await session.heard())["functionResponses"]
    assert "error" in response["response"]
    assert not recorder.of(ToolCall)


async def test_a_cancelled_call_is_told_once_and_never_answered() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "where is save")
        await session.heard()
        await session.say(toolCall={"functionCalls": [{"id": "c1", "name": "point_at"}]})
        call = await recorder.next()
        assert isinstance(call, ToolCall)
        await session.say(toolCallCancellation={"ids": ["c1", "unknown"]})
        assert await recorder.next() == ToolCallCancelled(("c1",))
        bridge.send_tool_response(call, {"result": "shown"}, is_silent=True)
        bridge.interrupt_reply()
        assert await session.heard() == {"turnComplete": False}


async def test_a_blocked_turn_ends_with_the_reason() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "something bad")
        await session.content(turnComplete=True, turnCompleteReason="PROHIBITED_INPUT_CONTENT")
        ended = await recorder.next()
    assert isinstance(ended, ReplyEnded)
    assert ended.blocked is not None
    assert ended.blocked.code is FaultCode.ENGINE_CONTENT_BLOCKED


async def test_a_model_that_thinks_is_done_when_it_is_idle() -> None:
    config = replace(CONFIG, model="gemini-3.8-live-extended-thinking")
    async with fake_engine() as engine, bridged(engine, config=config) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "think")
        filler = {**voice(), "generationComplete": True, "turnComplete": True, "interactionStatus": "IN_PROGRESS"}
        await session.content(**filler)
        await session.content(**voice(), turnComplete=True, interactionStatus="IDLE")
        events = [await recorder.next() for _ in range(3)]
    assert [type(event) for event in events] == [ReplyAudio, ReplyAudio, ReplyEnded]


async def test_an_engine_that_waits_for_a_function_is_given_longer() -> None:
    timeouts = replace(CALM, response=0.3, slow_response=10.0, tool_call=0.6)
    async with fake_engine() as engine, bridged(engine, timeouts=timeouts) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "where is save")
        await session.heard()
        await session.say(toolCall={"functionCalls": [{"id": "c1", "name": "point_at"}]})
        assert isinstance(await recorder.next(), ToolCall)
        assert "functionResponses" in await session.heard()
        await session.content(turnComplete=True)
        assert isinstance(await recorder.next(), ReplyEnded)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("abort", FaultCode.ENGINE_NETWORK),
        ("1011 Internal error encountered.", FaultCode.ENGINE_INTERNAL),
        ("1011 You exceeded your current quota, please check.", FaultCode.ENGINE_QUOTA),
        ("1008 Operation is not implemented, or supported, or enabled.", FaultCode.ENGINE_UNSUPPORTED_OP),
        ("1007 Request contains an invalid argument.", FaultCode.ENGINE_PROTOCOL),
        ("1000 ", FaultCode.ENGINE_NETWORK),
        ("1011 Deadline expired before operation could complete.", FaultCode.ENGINE_NETWORK),
        ("raw not JSON", FaultCode.ENGINE_PROTOCOL),
        ("raw \xff\xfe", FaultCode.ENGINE_PROTOCOL),
        ('raw ["a list"]', FaultCode.ENGINE_PROTOCOL),
        ('raw {"somethingNew": {}}', FaultCode.ENGINE_PROTOCOL),
        ('raw {"error": {"code": 500}}', FaultCode.ENGINE_PROTOCOL),
        ('raw {"code": 429, "message": "slow down"}', FaultCode.ENGINE_QUOTA),
        ('raw {"code": 503, "message": "later"}', FaultCode.ENGINE_INTERNAL),
        ('raw {"code": 400, "message": "what"}', FaultCode.ENGINE_PROTOCOL),
        ('raw {"serverContent": {"modelTurn": {"parts": 5}}}', FaultCode.ENGINE_PROTOCOL),
        (f"raw {json.dumps({'serverContent': voice(b'odd')})}", FaultCode.ENGINE_PROTOCOL),
        (f"raw {json.dumps({'serverContent': voice()}).replace('24000', '8000')}", FaultCode.ENGINE_PROTOCOL),
        (f"raw {'[' * 100_000}", FaultCode.ENGINE_PROTOCOL),
    ],
)
async def test_a_session_that_breaks_in_a_turn_is_told_once_and_made_anew(how: str, code: FaultCode) -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        await session.speak()
        await recorder.next()
        match how.split(" ", 1):
            case ["abort"]:
                session.abort()
            case ["raw", text]:
                await session.say_raw(text.encode("latin-1"))
            case [number, reason]:
                await session.close(int(number), reason)
        lost = await recorder.next()
        assert isinstance(lost, EngineUnavailable)
        assert lost.error.code is code
        assert lost.error.message
        assert await recorder.next() == EngineReady("gemini-3.8-live")
        session = await engine.session()
        bridge.submit_text(2, "again")
        assert await session.heard() == {"text": "again"}
        await session.content(**voice(), turnComplete=True)
        assert [(await recorder.next()).turn for _ in range(2)] == [2, 2]  # type: ignore[union-attr]
    assert [event.turn for event in recorder.of(ReplyAudio)] == [1, 2]
    assert len(recorder.of(EngineUnavailable)) == 1


async def test_an_engine_that_goes_mute_is_left() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=replace(CALM, response=0.05)) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        session.freeze()
        bridge.start_utterance(1)
        bridge.push_audio(speech())
        bridge.end_utterance()
        lost = await recorder.next()
        assert isinstance(lost, EngineUnavailable)
        assert lost.error.code is FaultCode.ENGINE_STALLED
        assert isinstance(await recorder.next(), EngineReady)


async def test_a_socket_that_is_stuck_drops_the_oldest_audio_and_is_aborted() -> None:
    async with (
        fake_engine() as engine,
        bridged(engine, timeouts=replace(CALM, response=0.2, close=0.05)) as (bridge, recorder),
    ):
        session = await engine.session()
        await recorder.next()
        await stuff(session, bridge)
        lost = await recorder.next()
        assert isinstance(lost, EngineUnavailable)
        assert bridge.dropped_seconds > 0
        assert isinstance(await recorder.next(), EngineReady)
        with pytest.raises(ConnectionClosedError) as raised:
            await session.thaw()
        assert raised.value.rcvd is None


async def test_why_no_session_could_be_made_is_kept_for_the_log() -> None:
    async with fake_engine() as engine:
        engine.refusals.append(503)
        async with bridged(engine) as (_, recorder):
            lost = await recorder.next()
    assert isinstance(lost, EngineUnavailable)
    assert isinstance(lost.error.__cause__, InvalidStatus)


async def test_a_loss_is_told_before_the_dead_socket_has_been_closed() -> None:
    timeouts = replace(CALM, response=0.05, close=2 * WAIT)
    async with fake_engine() as engine, bridged(engine, timeouts=timeouts) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        await stuff(session, bridge)
        assert isinstance(await recorder.next(), EngineUnavailable)


async def test_what_is_said_while_there_is_no_session_goes_to_the_next_in_order_after_the_screen() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()

        def go_on(event: EngineEvent) -> None:
            if isinstance(event, EngineDisconnected):
                assert not bridge.is_ready
                bridge.push_audio(speech(0.04))
                bridge.end_utterance()
                bridge.push_frame(encoded_frame(1))
                bridge.submit_text(2, "typed")
            if isinstance(event, EngineReady):
                bridge.push_frame(encoded_frame(2))

        recorder.react = go_on
        bridge.start_utterance(1)
        bridge.push_audio(speech(0.04))
        session.abort()
        session = await engine.session()
        heard = [await session.heard() for _ in range(6)]
    kinds = [next(iter(message)) for message in heard]
    # The window opens with audio: no frame may come first inside it.
    assert kinds == ["video", "activityStart", "audio", "activityEnd", "turnComplete", "text"]
    assert len(base64.urlsafe_b64decode(heard[2]["audio"]["data"])) == 2 * 16_000 * 0.08
    assert heard[5]["text"] == "typed"
    assert not recorder.of(EngineUnavailable)


async def test_a_question_whose_session_dies_before_the_answer_is_asked_again_once() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        assert await session.heard() == {"text": "hello"}
        session.abort()
        session = await engine.session()
        assert isinstance(await recorder.next(), EngineReady)
        assert await session.heard() == {"text": "hello"}
        session.abort()
        lost = await recorder.next()
        assert isinstance(lost, EngineUnavailable)
        assert lost.is_turn_lost
        session = await engine.session()
        assert isinstance(await recorder.next(), EngineReady)
        bridge.submit_text(2, "another")
        assert await session.heard() == {"text": "another"}


async def test_an_utterance_spoken_before_the_first_session_is_heard() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        bridge.start_utterance(1)
        bridge.push_audio(speech(5.0))
        session = await engine.session()
        await recorder.next()
        bridge.push_audio(speech(0.1))
        bridge.end_utterance()
        assert await session.heard_kinds(4) == ["activityStart", "audio", "audio", "activityEnd"]
        await session.speak()
        event = await recorder.next()
        assert isinstance(event, ReplyAudio)
        assert event.turn == 1


async def test_an_utterance_that_was_cancelled_before_the_first_session_is_not_heard() -> None:
    async with fake_engine() as engine, bridged(engine) as (bridge, recorder):
        bridge.start_utterance(1)
        bridge.push_audio(speech())
        bridge.end_utterance()
        bridge.cancel_utterance()
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(2, "hello")
        assert await session.heard() == {"text": "hello"}


async def test_an_idle_session_that_must_go_is_replaced_without_a_word() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (_, recorder):
        session = await engine.session()
        await recorder.next()
        await session.say(goAway={"timeLeft": "50s"})
        await engine.session()
        await recorder.next()
    assert [type(event) for event in recorder.events] == [EngineReady, EngineDisconnected, EngineReady]


async def test_the_old_connection_is_closed_before_the_next_is_opened() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (_, recorder):
        session = await engine.session()
        await recorder.next()
        opened_early: list[bool] = []
        engine.on_upgrade = lambda: opened_early.append(not session.closed.is_set())
        await session.say(goAway={"timeLeft": "50s"})
        await engine.session()
    assert opened_early == [False]


async def test_a_warning_without_a_time_is_obeyed_at_once_and_what_was_asked_goes_along() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        await session.say(goAway={"timeLeft": "soon"})
        session = await engine.session()
        assert await session.heard() == {"text": "hello"}
    assert not recorder.of(EngineUnavailable)


async def test_a_session_that_must_go_is_left_when_the_turn_is_over() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        await session.say(goAway={"timeLeft": "50s"})
        await session.content(**voice(), turnComplete=True)
        await engine.session()
        events = [await recorder.next() for _ in range(3)]
    assert [type(event) for event in events] == [ReplyAudio, ReplyEnded, EngineReady]


async def test_a_reply_that_is_being_sent_is_not_cut_by_a_session_that_must_go() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        await session.speak()
        await recorder.next()
        await session.say(goAway={"timeLeft": "5s"})
        await session.speak()
        assert isinstance(await recorder.next(), ReplyAudio)
        await session.content(generationComplete=True)
        assert [type(await recorder.next()) for _ in range(3)] == [ReplyGenerated, ReplyEnded, EngineReady]


async def test_a_reply_cut_by_the_end_of_its_session_is_said_to_be() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(1, "hello")
        await session.speak()
        await recorder.next()
        await session.say(goAway={"timeLeft": "5s"})
        await session.close(1011, "Deadline expired before operation could complete.")
        lost = await recorder.next()
        assert isinstance(lost, EngineUnavailable)
        assert (lost.is_turn_lost, lost.error.code) == (True, FaultCode.ENGINE_NETWORK)
        assert isinstance(await recorder.next(), EngineReady)


async def test_a_session_is_resumed_by_its_newest_handle() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (_, recorder):
        session = await engine.session()
        await recorder.next()
        await session.say(sessionResumptionUpdate={"newHandle": "h1", "resumable": True})
        await session.say(sessionResumptionUpdate={"newHandle": "", "resumable": False})
        await session.say(sessionResumptionUpdate={"newHandle": "h2", "resumable": False})
        await session.content(inputTranscription={"text": "x"})
        session.abort()
        await engine.session()
        await recorder.next()
    assert [setup["sessionResumption"] for setup in engine.setups] == [{}, {"handle": "h1"}]


async def test_a_fresh_session_is_seeded_once_with_what_was_said() -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (bridge, recorder):
        session = await engine.session()
        await recorder.next()
        bridge.add_transcript(1, Role.USER, "where is save")
        bridge.add_transcript(1, Role.ASSISTANT, "At the top.")
        session.abort()
        session = await engine.session()
        await recorder.next()
        bridge.submit_text(2, "and then")
        seed = await session.heard()
        assert seed["turnComplete"] is True
        assert [(turn["role"], turn["parts"][0]["text"]) for turn in seed["turns"]] == [
            ("user", "where is save"),
            ("model", "At the top."),
        ]
        assert await session.heard() == {"text": "and then"}
    assert engine.setups[1]["historyConfig"] == {"initial_history_in_client_content": True}


@pytest.mark.parametrize("close", [(1001, ""), (1011, "Deadline expired before operation could complete.")])
async def test_an_idle_session_that_has_expired_is_replaced_without_a_word(close: tuple[int, str]) -> None:
    async with fake_engine() as engine, bridged(engine, timeouts=CALM) as (_, recorder):
        session = await engine.session()
        await recorder.next()
        await session.close(*close)
        await engine.session()
        await recorder.next()
    assert not recorder.of(EngineUnavailable)


@pytest.mark.parametrize(
    ("close", "code"),
    [
        ((1007, "API key not valid. Please pass a valid API key."), FaultCode.ENGINE_AUTH_INVALID),
        (
            (1008, "models/x is not found for API version v1beta, or is not supported for bidiGenerateContent"),
            FaultCode.ENGINE_MODEL_UNAVAILABLE,
        ),
        ((1008, "Requested entity was not found."), FaultCode.ENGINE_MODEL_UNAVAILABLE),
    ],
)
async def test_a_setup_that_cannot_work_is_not_tried_again(close: tuple[int, str], code: FaultCode) -> None:
    async with fake_engine() as engine:
        engine.closes.append(close)
        assert await give_up(engine) == [code]
        assert engine.tries == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, FaultCode.ENGINE_AUTH_INVALID),
        (403, FaultCode.ENGINE_AUTH_INVALID),
        (404, FaultCode.ENGINE_MODEL_UNAVAILABLE),
    ],
)
async def test_a_refused_upgrade_that_cannot_work_is_not_tried_again(status: int, code: FaultCode) -> None:
    async with fake_engine() as engine:
        engine.refusals.append(status)
        assert await give_up(engine) == [code]
        assert engine.tries == 1


async def test_settings_that_are_refused_are_reduced_once_and_the_client_is_told() -> None:
    async with fake_engine() as engine:
        engine.closes.extend([(1007, "Request contains an invalid argument.")] * 2)
        assert await give_up(engine) == [FaultCode.ENGINE_CONFIG_REDUCED, FaultCode.ENGINE_CONFIG_REJECTED]
    assert ["speechConfig" in setup["generationConfig"] for setup in engine.setups] == [True, False]


async def test_a_model_that_is_gone_is_replaced_and_the_client_is_told() -> None:
    async with fake_engine() as engine:
        engine.closes.append((1008, "models/gemini-9-live is not found for API version v1beta"))
        config = replace(CONFIG, model="gemini-9-live", fallback="gemini-3.8-live")
        async with bridged(engine, config=config) as (_, recorder):
            reduced = await recorder.next()
            assert isinstance(reduced, EngineDowngraded)
            assert "gemini-9-live" in reduced.error.message
            assert await recorder.next() == EngineReady("gemini-3.8-live")
    assert [setup["model"] for setup in engine.setups] == ["models/gemini-9-live", "models/gemini-3.8-live"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(429, FaultCode.ENGINE_QUOTA), (503, FaultCode.ENGINE_INTERNAL), (418, FaultCode.ENGINE_PROTOCOL)],
)
async def test_an_engine_that_refuses_for_now_is_tried_three_times(status: int, code: FaultCode) -> None:
    async with fake_engine() as engine:
        engine.refusals.extend([status] * 5)
        assert await give_up(engine) == [code, FaultCode.ENGINE_FAILED]
        assert engine.tries == 3


async def test_an_engine_that_recovers_in_time_is_told_lost_once_and_ready_once() -> None:
    async with fake_engine() as engine:
        engine.refusals.append(503)
        engine.closes.append((1011, "Internal error encountered."))
        async with bridged(engine) as (_, recorder):
            await engine.session()
            assert isinstance(await recorder.next(), EngineUnavailable)
            assert isinstance(await recorder.next(), EngineReady)


@pytest.mark.parametrize("words", [b'{"sessionResumptionUpdate": {}}', b'{"error": {}}', b"hello", b"[]", b"5"])
async def test_an_engine_that_does_not_confirm_the_setup_is_not_understood(words: bytes) -> None:
    async with fake_engine() as engine:
        engine.first_words.extend([words] * 3)
        assert await give_up(engine) == [FaultCode.ENGINE_PROTOCOL, FaultCode.ENGINE_FAILED]


async def test_an_engine_that_never_confirms_the_setup_is_given_up() -> None:
    async with fake_engine() as engine:
        engine.is_mute_at_setup = True
        async with bridged(engine, timeouts=replace(QUICK, connect=0.5)) as (_, recorder):
            lost = await recorder.next()
            assert isinstance(lost, EngineUnavailable)
            assert lost.error.code is FaultCode.ENGINE_NETWORK
            engine.is_mute_at_setup = False
            assert isinstance(await recorder.next(), EngineReady)


@pytest.mark.parametrize(
    ("model", "code"), [("local", FaultCode.ENGINE_DOWN), ("gemini-3.8-live", FaultCode.ENGINE_NETWORK)]
)
async def test_nobody_listening_is_given_up(model: str, code: FaultCode) -> None:
    async with fake_engine() as engine:
        pass
    assert await give_up(engine, model=model) == [code, FaultCode.ENGINE_FAILED]


async def test_a_mistake_of_the_listener_rises() -> None:
    async with fake_engine() as engine:

        class Mistaken(EventRecorder):
            def on_engine_event(self, event: EngineEvent) -> None:
                if isinstance(event, ReplyAudio):
                    raise ValueError("a mistake")

        bridge = GeminiBridge(engine.client(), CONFIG, listener=Mistaken(), timeouts=QUICK)
        running = asyncio.create_task(bridge.run())
        session = await engine.session()
        await session.speak()
        with pytest.raises(ExceptionGroup) as raised:
            await running
    assert raised.group_contains(ValueError, match="a mistake")
