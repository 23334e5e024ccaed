"""The codec of the JSON WebSocket, without a socket."""

import json
from base64 import b64encode
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.jsonws.codec import (
    AudioInput,
    BadMessage,
    Envelope,
    Output,
    OutputFormat,
    ScreenFrameInput,
    SessionConfig,
    StartSession,
    encode,
    parse,
    render_audio,
)
from pipeline.codecs.audio_decoder import AudioFormat
from pipeline.errors import FaultCode
from pipeline.events import AudioEnd, EndSession, Interrupt, Ping, Playback, ScreenShareEnd, TextInput

DATA = b64encode(b"data").decode()


def read(**message: object) -> Envelope:
    return parse(json.dumps(message).encode())


def refusal(**message: object) -> BadMessage:
    with pytest.raises(BadMessage) as refused:
        read(**message)
    return refused.value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"action": "audio_input", "data": "ZGF0YQ==", "format": "wav", "sample_rate": 8000, "channels": 2}',
            AudioInput(b"data", AudioFormat.WAV, 8_000, 2),
        ),
        ('{"action": "audio_input", "data": "ZGF0YQ=="}', AudioInput(b"data", AudioFormat.WAV, 16_000, 1)),
        ('{"action": "audio_end"}', AudioEnd()),
        (
            '{"action": "screen_share_frame", "data": "ZGF0YQ==", "format": "png", "timestamp": "2024-01-01T12:00Z"}',
            ScreenFrameInput(b"data"),
        ),
        ('{"action": "screen_share_frame", "data": "ZGF0YQ==", "timestamp": 1704110400000}', ScreenFrameInput(b"data")),
        ('{"action": "screen_share_end"}', ScreenShareEnd()),
        ('{"action": "text_input", "text": "where is the save button?"}', TextInput("where is the save button?")),
        ('{"action": "interrupt"}', Interrupt()),
        ('{"action": "playback", "turn": 3, "played_ms": 1240}', Playback(3, 1240)),
        ('{"action": "ping", "t": 1}', Ping(1)),
        ('{"action": "end_session", "unknown": {"fields": ["are", "ignored"]}}', EndSession()),
    ],
)
def test_every_action_is_read(text: str, message: object) -> None:
    assert parse(text.encode()) == Envelope(None, message)  # type: ignore[arg-type]


def test_start_session_with_everything_in_it() -> None:
    start = read(
        action="start_session",
        userId="ann",
        sessionId="desk",
        token="Bearer secret",
        config={
            "model": "gemini-1.5-flash",
            "language": "pt_BR",
            "voice": "Kore",
            "instructions": " Be brief. ",
            "output": {"format": "pcm", "sample_rate": 48_000},
            "vad": {"threshold": 0.6, "silence_ms": 700},
            "audio": False,
        },
    )
    options = SessionConfig("desk", "gemini-1.5-flash", "pt-BR", "Kore", "Be brief.", 0.6, 700)
    assert start == Envelope("desk", StartSession("ann", "secret", options, Output(False, OutputFormat.PCM, 48_000)))
    assert "secret" not in repr(start)


@pytest.mark.parametrize("config", [None, {}, {"output": None, "vad": {}}])
def test_start_session_with_nothing_in_it(config: object) -> None:
    assert read(action="start_session", config=config).message == StartSession(None, None, SessionConfig(), Output())


@pytest.mark.parametrize(
    ("field", "config"),
    [
        ("config", "fast"),
        ("model", {"model": "no model"}),
        ("language", {"language": "the language of love"}),
        ("voice", {"voice": 3}),
        ("instructions", {"instructions": "x" * 8_001}),
        ("output", {"output": "wav"}),
        ("threshold", {"vad": {"threshold": 1.5}}),
        ("silence_ms", {"vad": {"silence_ms": True}}),
        ("turn_model", {"vad": {"turn_model": "clever"}}),
        ("audio", {"audio": "no"}),
    ],
)
def test_a_wrong_setting_is_named(field: str, config: object) -> None:
    error = refusal(action="start_session", sessionId="desk", config=config)
    assert (error.code, error.session) == (FaultCode.INVALID_MESSAGE, "desk")
    assert field in error.message


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (FaultCode.UNSUPPORTED_FORMAT, {"action": "audio_input", "data": DATA, "format": "flac"}),
        (FaultCode.UNSUPPORTED_FORMAT, {"action": "screen_share_frame", "data": DATA, "format": "gif"}),
        (FaultCode.UNSUPPORTED_FORMAT, {"action": "start_session", "config": {"output": {"format": "mp3"}}}),
        (FaultCode.UNSUPPORTED_FORMAT, {"action": "start_session", "config": {"output": {"sample_rate": 44_100}}}),
        (FaultCode.INVALID_MESSAGE, {"action": "audio_input", "data": DATA, "format": 3}),
        (FaultCode.INVALID_MESSAGE, {"action": "audio_input", "data": DATA, "sample_rate": "16000"}),
        (FaultCode.INVALID_MESSAGE, {"action": "audio_input", "data": "not base64!"}),
        (FaultCode.INVALID_MESSAGE, {"action": "audio_input", "data": "ZGF0YQ=="[:-1]}),
        (FaultCode.INVALID_MESSAGE, {"action": "audio_input", "data": "A" * 65_534 + "==" + "AAAA"}),
        (FaultCode.INVALID_MESSAGE, {"action": "audio_input", "data": "é"}),
        (FaultCode.INVALID_MESSAGE, {"action": "audio_input"}),
        (FaultCode.INVALID_MESSAGE, {"action": "screen_share_frame", "data": DATA, "timestamp": "yesterday"}),
        (FaultCode.INVALID_MESSAGE, {"action": "screen_share_frame", "data": DATA, "format": 1}),
        (FaultCode.INVALID_MESSAGE, {"action": "interrupt", "sessionId": 3}),
        (FaultCode.INVALID_MESSAGE, {"action": "start_session", "token": 3}),
        (FaultCode.INVALID_MESSAGE, {"action": 3}),
        (FaultCode.UNKNOWN_ACTION, {"action": "dance"}),
        (FaultCode.PAYLOAD_TOO_LARGE, {"action": "screen_share_frame", "data": "A" * (12 << 20)}),
        (FaultCode.PAYLOAD_TOO_LARGE, {"action": "screen_share_frame", "data": "A" * (11 << 20)}),
    ],
)
def test_what_is_wrong_has_its_code(code: FaultCode, message: dict[str, Any]) -> None:
    assert refusal(**message).code is code


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "NaN", '{"action": "ping", "t": 1e999}', "[" * 100_000])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        parse(text.encode())


def test_what_is_sent_is_always_utf_8() -> None:
    assert encode({"t": "\ud800"}).encode() == b'{"t":"\\ud800"}'
    assert encode({"t": "é"}).encode() == '{"t":"é"}'.encode()


def test_voice_is_rendered_as_documented() -> None:
    message = json.loads(render_audio(b"\1\0\2\0", "desk", turn=3, seq=0, output=Output(format=OutputFormat.PCM)))
    assert message == {
        "action": "audio_output",
        "sessionId": "desk",
        "turn": 3,
        "seq": 0,
        "data": "AQACAA==",
        "format": "pcm",
        "sample_rate": 16_000,
        "channels": 1,
    }


def check(data: bytes) -> None:
    with suppress(BadMessage):
        assert isinstance(parse(data), Envelope)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    check(data)


ACTIONS = [
    "start_session",
    "audio_input",
    "screen_share_frame",
    "text_input",
    "playback",
    "ping",
    "end_session",
    "tracks",
]
NAMES = ["sessionId", "userId", "token", "config", "data", "format", "timestamp", "sample_rate", "channels", "text"]
CONFIG = ["model", "language", "voice", "instructions", "output", "vad", "audio", "threshold", "silence_ms", "format"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(["wav", "png", DATA])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(CONFIG) | st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.sampled_from(ACTIONS) | VALUES, st.dictionaries(st.sampled_from([*NAMES, "turn", "played_ms", "t"]), VALUES))
def test_any_object_is_a_value_or_refused(action: object, fields: dict[str, object]) -> None:
    check(json.dumps({"action": action, **fields}).encode())
