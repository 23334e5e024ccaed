import base64
import contextlib
import json

import pytest
from google import genai
from google.genai import live, types
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.localengine.protocol.codec import INVALID, WireError, parse
from mediaserver.localengine.protocol.messages import (
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioStreamEnd,
    Behavior,
    ClientContent,
    ContentTurn,
    ContextUpdate,
    Detection,
    FunctionDeclaration,
    FunctionResponse,
    GenerationComplete,
    ImageInput,
    InputTranscription,
    Interrupted,
    OutputTranscription,
    RealtimeInput,
    ServerMessage,
    Setup,
    SetupComplete,
    SpokenAudio,
    TextInput,
    ToolCall,
    ToolCallCancellation,
    ToolResponse,
    TurnComplete,
    Usage,
)
from mediaserver.localengine.protocol.rendering import render

PCM = bytes([251, 255, 190, 3, 1])  # has both signs in which the two base64 alphabets differ


def parsed(message: object) -> object:
    return parse(json.dumps(message))


def audio(data: str, mime: str = "audio/pcm;rate=16000") -> object:
    return parsed({"realtimeInput": {"audio": {"data": data, "mimeType": mime}}})


def refusal(frame: str | bytes) -> WireError:
    with pytest.raises(WireError) as caught:
        parse(frame)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        '{"realtimeInput": {"audio": {"data": "AAA=", "mimeType": "audio/pcm"}, "activityStart": {}}}',
        '{"realtime_input": {"audio": {"data": "AAA=", "mime_type": "audio/pcm"}, "activity_start": {}}}',
        '{"realtime_input": {"audio": {"data": "AAA=", "mimeType": "audio/pcm"}, "activityStart": {}}}',
    ],
)
def test_snake_camel_and_mixed_names_say_the_same(text: str) -> None:
    assert parse(text) == RealtimeInput((ActivityStart(), Audio(b"\0\0", 16_000)))


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("padding", ["", "="])
def test_both_base64_alphabets_are_read_with_and_without_padding(encode: type, padding: str) -> None:
    data = encode(PCM).decode().rstrip("=") + padding
    assert audio(data) == RealtimeInput((Audio(PCM, 16_000),))


@pytest.mark.parametrize("data", ["A", "A A=", "AA*A", "AA=A", "AAAA****", "ÄÄÄÄ"])
def test_broken_base64_is_refused(data: str) -> None:
    with pytest.raises(WireError, match="base64"):
        audio(data)


def test_text_and_binary_frames_say_the_same() -> None:
    text = '{"realtimeInput": {"text": "grüß dich"}}'
    assert parse(text) == parse(text.encode()) == RealtimeInput((TextInput("grüß dich"),))


@pytest.mark.parametrize(
    ("mime", "rate"),
    [("audio/pcm", 16_000), ("audio/pcm;rate=8000", 8_000), ("audio/pcm; rate=48000", 48_000), ("AUDIO/L16", 16_000)],
)
def test_audio_says_its_rate_and_16_khz_is_meant_without(mime: str, rate: int) -> None:
    assert audio("AAA=", mime) == RealtimeInput((Audio(b"\0\0", rate),))


@pytest.mark.parametrize("mime", ["audio/pcm;rate=0", "audio/pcm;rate=x", "audio/pcm;rate=999999", "audio/opus", ""])
def test_audio_that_cannot_be_heard_is_refused(mime: str) -> None:
    with pytest.raises(WireError) as caught:
        audio("AAA=", mime)
    assert caught.value.code == INVALID


def test_one_message_takes_effect_from_start_to_end() -> None:
    blob = {"data": "AAA=", "mimeType": "audio/pcm"}
    message = {
        "activityEnd": {},
        "audioStreamEnd": True,
        "text": "hi",
        "video": {"data": "/9g=", "mimeType": "image/jpeg"},
        "mediaChunks": [blob],
        "activityStart": {},
    }
    heard = Audio(b"\0\0", 16_000)
    items = (ActivityStart(), heard, ImageInput(b"\xff\xd8"), TextInput("hi"), AudioStreamEnd(), ActivityEnd())
    assert parsed({"realtimeInput": message}) == RealtimeInput(items)


def test_client_content_is_read_with_its_pictures() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "/9g"}}
    turns = [{"role": "model", "parts": [{"text": "a"}, {"text": "b"}]}, {"parts": [{"text": "c"}, picture]}]
    assert parsed({"clientContent": {"turns": turns, "turnComplete": True}}) == ClientContent(
        (ContentTurn("model", "ab", None), ContentTurn("user", "c", b"\xff\xd8")), is_complete=True
    )


def test_answers_to_function_calls_are_read() -> None:
    answer = {"id": "i1", "name": "f", "response": {"ok": True}, "scheduling": "SILENT", "will_continue": False}
    assert parsed({"tool_response": {"functionResponses": [answer, {"name": "f"}]}}) == ToolResponse(
        (FunctionResponse("i1", {"ok": True}, "SILENT"), FunctionResponse(None, {}, None))
    )


def test_new_tools_in_mid_session_are_read() -> None:
    tools = {"tools": [{"functionDeclarations": [{"name": "f"}]}]}
    assert parsed({"contextUpdate": {"tools": tools}}) == ContextUpdate({"f": FunctionDeclaration()})
    assert parsed({"contextUpdate": {"tools": {"tools": []}}}) == ContextUpdate({})
    assert parsed({"contextUpdate": {}}) == ContextUpdate(None)


def test_a_rich_setup_is_read_as_the_sdk_writes_it() -> None:
    setup = {
        "model": "models/local",
        "generationConfig": {
            "responseModalities": ["AUDIO"],
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
            "speechConfig": {"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}, "language_code": "de"},
            "thinkingConfig": {"include_thoughts": False, "thinking_budget": 0},
            "enableAffectiveDialog": True,
        },
        "systemInstruction": {"parts": [{"text": "..."}], "role": "user"},
        "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}],
        "sessionResumption": {},
        "inputAudioTranscription": {"language_codes": ["en-US"]},
        "outputAudioTranscription": {},
        "realtimeInputConfig": {
            "automatic_activity_detection": {"disabled": True, "prefix_padding_ms": 20, "silence_duration_ms": 100},
            "activity_handling": "NO_INTERRUPTION",
        },
        "contextWindowCompression": {"trigger_tokens": 25600, "sliding_window": {"target_tokens": 12800}},
        "proactivity": {"proactive_audio": True},
        "historyConfig": {"initial_history_in_client_content": True},
        "labels": {"a": "b"},
    }
    assert parsed({"setup": setup}) == Setup(
        model="models/local",
        modalities=("AUDIO",),
        media_resolution="MEDIA_RESOLUTION_LOW",
        language="de",
        has_thinking_budget=True,
        affective=True,
        proactive=True,
        functions={"f": FunctionDeclaration(Behavior.NON_BLOCKING)},
        instructions="...",
        transcribe_input=True,
        transcribe_output=True,
        detection=Detection(automatic=False, silence_ms=100, prefix_ms=20),
        resumption="",
        seeds_history=True,
        may_interrupt=False,
    )


@pytest.mark.parametrize(
    ("frame", "named"),
    [
        ('{"setup": {"modle": "x"}}', "modle"),
        ('{"setup": {"generationConfig": {"temprature": 1}}}', "temprature"),
        ('{"setup": {"realtimeInputConfig": {"vad": {}}}}', "vad"),
        ('{"realtimeInput": {"audoi": {}}}', "audoi"),
        ('{"hello": {}}', "hello"),
        ('{"setup": {"model": 1}}', "model"),
        ('{"setup": {"tools": {}}}', "tools"),
        ('{"setup": []}', "setup"),
        ('{"clientContent": {"turnComplete": 1}}', "turnComplete"),
        ('{"setup": {"realtimeInputConfig": {"automaticActivityDetection": {"silenceDurationMs": -1}}}}', "silence"),
        ('{"toolResponse": {"functionResponses": [{"response": 1}]}}', "response"),
        ('{"realtimeInput": {"text": "\\ud800"}}', "text"),
    ],
)
def test_a_refusal_names_the_field(frame: str, named: str) -> None:
    error = refusal(frame)
    assert error.code == INVALID
    assert named in error.reason


@pytest.mark.parametrize("frame", ["", "{", b"\xff\xfe\xfd", "[]", "null", "{}", "[" * 100_000, "1" * 5_000])
def test_what_is_no_message_is_refused(frame: str | bytes) -> None:
    assert refusal(frame).code == INVALID


def test_a_reason_fits_into_a_close_frame() -> None:
    assert len(WireError(INVALID, "ü" * 200).reason.encode()) <= 123


@given(st.binary() | st.text())
def test_any_frame_gives_a_message_or_a_wire_error(frame: str | bytes) -> None:
    accept_or_refuse(frame)


MESSAGES = ["setup", "clientContent", "realtimeInput", "realtime_input", "toolResponse", "contextUpdate"]
NAMES = [
    *("model", "generationConfig", "speechConfig", "languageCode", "tools", "functionDeclarations", "name"),
    *("realtimeInputConfig", "automaticActivityDetection", "disabled", "silenceDurationMs", "audio", "video", "text"),
    *("mediaChunks", "data", "mimeType", "turns", "parts", "inlineData", "turnComplete", "functionResponses", "id"),
]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "AAA=", "audio/pcm;rate=24000", "image/png"])
    | st.text(max_size=5)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
)


@given(st.dictionaries(st.sampled_from(MESSAGES), VALUES, min_size=1, max_size=2))
def test_any_json_gives_a_message_or_a_wire_error(message: object) -> None:
    accept_or_refuse(json.dumps(message))


def accept_or_refuse(frame: str | bytes) -> None:
    # Any other exception fails the test.
    with contextlib.suppress(WireError):
        parse(frame)


class OneFrame:
    """A socket on which one message and the end of its turn arrive."""

    def __init__(self, message: ServerMessage):
        self._frames = [render(message), render(TurnComplete(Usage({}, {})))]

    async def recv(self, *, decode: bool) -> bytes:
        return self._frames.pop(0)


async def sdk_reads(message: ServerMessage) -> types.LiveServerMessage:
    client = genai.Client(api_key="any")
    session = live.AsyncSession(api_client=client._api_client, websocket=OneFrame(message))  # type: ignore[arg-type]
    return await anext(session.receive())


async def test_the_sdk_reads_every_message_as_it_was_meant() -> None:
    ready = (await sdk_reads(SetupComplete("local-1"))).setup_complete
    assert ready is not None
    assert ready.session_id == "local-1"

    content = (await sdk_reads(SpokenAudio(PCM))).server_content
    assert content is not None
    assert content.model_turn is not None
    assert content.model_turn.parts is not None
    blob = content.model_turn.parts[0].inline_data
    assert blob == types.Blob(data=PCM, mime_type="audio/pcm;rate=24000")

    content = (await sdk_reads(InputTranscription("grüß"))).server_content
    assert content == types.LiveServerContent(input_transcription=types.Transcription(text="grüß"))
    content = (await sdk_reads(OutputTranscription("Dich "))).server_content
    assert content == types.LiveServerContent(output_transcription=types.Transcription(text="Dich "))
    content = (await sdk_reads(Interrupted())).server_content
    assert content == types.LiveServerContent(interrupted=True)
    content = (await sdk_reads(GenerationComplete())).server_content
    assert content == types.LiveServerContent(generation_complete=True)

    call = (await sdk_reads(ToolCall("c1", "f", {"snake_arg": [1], "camelArg": None}))).tool_call
    assert call is not None
    assert call.function_calls == [types.FunctionCall(id="c1", name="f", args={"snake_arg": [1], "camelArg": None})]
    cancelled = (await sdk_reads(ToolCallCancellation(("c1", "c2")))).tool_call_cancellation
    assert cancelled == types.LiveServerToolCallCancellation(ids=["c1", "c2"])


async def test_the_sdk_reads_usage_beside_the_end_of_the_turn() -> None:
    message = await sdk_reads(TurnComplete(Usage({"TEXT": 4, "IMAGE": 256}, {"AUDIO": 50})))
    assert message.server_content == types.LiveServerContent(turn_complete=True)
    usage = message.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.response_token_count, usage.total_token_count) == (260, 50, 310)
    assert usage.prompt_tokens_details == [
        types.ModalityTokenCount(modality=types.MediaModality.TEXT, token_count=4),
        types.ModalityTokenCount(modality=types.MediaModality.IMAGE, token_count=256),
    ]
    assert usage.response_tokens_details == [
        types.ModalityTokenCount(modality=types.MediaModality.AUDIO, token_count=50)
    ]
