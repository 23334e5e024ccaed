"""The codec between events or commands and the JSON that clients see."""

import contextlib
import json
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from mediaserver.event_codec import parse_command, render
from mediaserver.messages.fields import MAX_TEXT
from mediaserver.messages.server import ServerUnion
from pipeline.errors import FaultCode, ProtocolError
from pipeline.events import (
    AudioEnd,
    Command,
    EndReason,
    EndSession,
    Event,
    Fault,
    Guidance,
    Interrupt,
    Interrupted,
    NameTracks,
    Ping,
    Playback,
    Pointer,
    Pong,
    Resumed,
    Role,
    ScreenFrameSent,
    ScreenShareEnd,
    SeenReason,
    SessionEnded,
    SessionStarted,
    State,
    StateChanged,
    Step,
    StepState,
    TextInput,
    TextResponse,
    Transcript,
    TurnEnded,
    TurnStarted,
    TurnUsageReport,
    Usage,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
SERVER_MESSAGES: TypeAdapter[ServerUnion] = TypeAdapter(Annotated[ServerUnion, Field(discriminator="action")])
ACTIONS = st.sampled_from(["text_input", "interrupt", "playback", "ping", "tracks", "audio_end", "fly"])


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ('{"action": "text_input", "sessionId": "s", "text": " where is save? "}', TextInput("where is save?")),
        ('{"action": "interrupt"}', Interrupt()),
        ('{"action": "audio_end"}', AudioEnd()),
        ('{"action": "screen_share_end"}', ScreenShareEnd()),
        ('{"action": "playback", "turn": 3, "played_ms": 1240}', Playback(3, 1240)),
        ('{"action": "ping", "t": 1}', Ping(1)),
        ('{"action": "ping"}', Ping(None)),
        ('{"action": "end_session"}', EndSession()),
        ('{"action": "tracks", "mids": {"1": "screen", "2": "camera"}}', NameTracks({"1": "screen", "2": "camera"})),
    ],
)
def test_every_client_action_is_read(message: str, command: Command) -> None:
    assert parse_command(message) == command


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("", "not JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "no `action`"),
        ('{"action": "ping", "t": NaN}', "not JSON"),
        ('{"action": "ping", "t": {}}', "ping takes"),
        ('{"action": "ping", "t": true}', "ping takes"),
        ('{"action": "playback", "turn": true, "played_ms": 1}', "playback takes"),
        ('{"action": "playback", "turn": 1, "played_ms": 1%s}' % ("0" * 400), "playback takes"),
        ('{"action": "ping", "t": 1e999}', "ping takes"),
        ('{"action": "ping", "t": "\\ud800"}', "not JSON: .* hex escape"),
        ('{"action": "text_input"}', "text_input takes"),
        ('{"action": "text_input", "text": "  "}', "text_input takes"),
        ('{"action": "text_input", "text": "\\ud800 "}', "not JSON"),
        (json.dumps({"action": "text_input", "text": "x" * (MAX_TEXT + 1)}), "text_input takes"),
        ('{"action": "playback", "turn": 1, "played_ms": -1}', "playback takes"),
        ('{"action": "tracks", "mids": {"1": "kitchen"}}', "tracks takes"),
        ("[" * 1_000, "not JSON"),
        ("[" * 100_000, "more than 20000 commas and opening brackets"),
    ],
)
def test_a_bad_message_is_told_what_is_accepted(message: str, expected: str) -> None:
    with pytest.raises(ProtocolError, match=expected) as caught:
        parse_command(message)
    assert caught.value.code is FaultCode.INVALID_MESSAGE


def test_an_unknown_action_is_told_the_known_ones() -> None:
    with pytest.raises(ProtocolError, match="text_input, interrupt") as caught:
        parse_command('{"action": "fly"}')
    assert caught.value.code is FaultCode.UNKNOWN_ACTION


@given(st.binary())
def test_any_bytes_give_a_command_or_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        parse_command(data)


@given(ACTIONS, st.dictionaries(st.sampled_from(["text", "turn", "played_ms", "t", "mids"]), JSON))
def test_any_json_gives_a_command_that_can_be_said_again_or_a_protocol_error(
    action: str, fields: dict[str, object]
) -> None:
    try:
        command = parse_command(json.dumps({**fields, "action": action}))
    except ProtocolError:
        return
    if isinstance(command, TextInput):
        command.text.encode()
    if isinstance(command, Ping):
        json.dumps(render(Pong(command.t), "s"), ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    ("event", "action", "some"),
    [
        (
            SessionStarted("id1", "s", "local", "local", "gemini-1.5-flash", "en", {"idle_seconds": 600}),
            "session_started",
            {"id": "id1", "engine": "local", "requested_model": "gemini-1.5-flash", "limits": {"idle_seconds": 600}},
        ),
        (StateChanged(State.THINKING), "state", {"state": "thinking"}),
        (
            Transcript(3, Role.USER, "hi", final=True),
            "transcript",
            {"turn": 3, "role": "user", "text": "hi", "final": True, "confidence": None},
        ),
        (Transcript(3, Role.USER, "hi", final=True, confidence=0.84), "transcript", {"text": "hi", "confidence": 0.84}),
        (TextResponse(3, "I see.", None), "text_response", {"turn": 3, "text": "I see.", "confidence": None}),
        (Resumed(3, 1040), "resumed", {"from_ms": 1040}),
        (Interrupted(3, 1240, "I can"), "interrupted", {"heard_ms": 1240, "heard_text": "I can"}),
        (
            TurnEnded(3, 3100, {"speech_end_to_first_audio": 412}, Usage({"total": 9})),
            "turn_complete",
            {"heard_ms": 3100, "latency_ms": {"speech_end_to_first_audio": 412}, "usage": {"total": 9}},
        ),
        (ScreenFrameSent(17, 80, SeenReason.TURN), "screen_seen", {"frame": 17, "age_ms": 80, "reason": "turn"}),
        (
            Guidance("Save", (Step(1, "Open File", StepState.CURRENT),)),
            "guidance",
            {
                "title": "Save",
                "guide": None,
                "steps": [{"id": 1, "text": "Open File", "state": "current", "evidence": None}],
            },
        ),
        (
            Pointer(17, (120, 40, 160, 110), "Save"),
            "pointer",
            {"frame": 17, "box": [120, 40, 160, 110], "label": "Save"},
        ),
        (
            Fault(FaultCode.ENGINE_NETWORK, "gone", {"n": 1}),
            "error",
            {"code": "ENGINE_NETWORK", "message": "gone", "details": {"n": 1}, "fatal": False},
        ),
        (Pong("a"), "pong", {"t": "a"}),
        (SessionEnded(EndReason.IDLE), "session_ended", {"reason": "idle"}),
    ],
)
def test_every_event_is_said_as_promised(event: Event, action: str, some: dict[str, object]) -> None:
    message = render(event, "s")
    assert message is not None
    assert list(message)[:2] == ["action", "sessionId"]
    assert message["action"] == action
    assert message["sessionId"] == "s"
    assert some.items() <= message.items()
    json.dumps(message, allow_nan=False)
    SERVER_MESSAGES.validate_json(json.dumps(message), strict=True)


def test_text_that_is_no_utf_8_is_passed_on() -> None:
    message = render(Guidance("\ud800", (Step(1, "\ud800", StepState.CURRENT),)), "s")
    assert message is not None
    assert message["title"] == message["steps"][0]["text"] == "\ud800"


@pytest.mark.parametrize("event", [TurnStarted(1), TurnUsageReport(1, Usage())])
def test_what_is_no_json_event_is_not_said(event: Event) -> None:
    assert render(event, "s") is None
