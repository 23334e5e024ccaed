"""One set of limits for the options of a session, on every transport."""

import json
from typing import Any

import pytest
from livekit.protocol.models import ClientInfo
from pydantic import ValidationError

from mediaserver.api.user_schemas import UserSettings
from mediaserver.http_errors import HttpError
from mediaserver.jsonws.codec import BadMessage, StartSession, parse
from mediaserver.livekit.agent.runtime_config import parse_runtime_config
from mediaserver.livekit.agent.session_options import session_options
from mediaserver.livekit.protocol.access_token import AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.protocol.rpc import RpcFailure
from mediaserver.session_factory import SessionOptions
from mediaserver.session_limits import MAX_INSTRUCTIONS, MAX_SILENCE_MS, MIN_SILENCE_MS
from mediaserver.webrtc.query import parse_options

REFUSED = object()

CASES = [
    ("model", "gemini-3.8-live", "gemini-3.8-live"),
    ("model", "models/a:b_c", "models/a:b_c"),
    ("model", "m" * 128, "m" * 128),
    ("model", "m" * 129, REFUSED),
    ("model", "a b", REFUSED),
    ("model", "m\n", REFUSED),
    ("language", "en", "en"),
    ("language", "pt-BR", "pt-BR"),
    ("language", "pt_BR", "pt-BR"),
    ("language", "zh-Hant-TW", "zh-Hant-TW"),
    ("language", "e", REFUSED),
    ("language", "en\n", REFUSED),
    ("language", "en-" + "a" * 9, REFUSED),
    ("voice", "Kore", "Kore"),
    ("voice", "en-US Chirp_3.1", "en-US Chirp_3.1"),
    ("voice", "v" * 65, REFUSED),
    ("voice", "<script>", REFUSED),
    ("voice", "\ud800", REFUSED),
]


def by_json_websocket(name: str, value: Any) -> Any:
    try:
        start = parse(json.dumps({"action": "start_session", "config": {name: value}}).encode()).message
    except BadMessage:
        return REFUSED
    assert isinstance(start, StartSession)
    return getattr(start.options, name)


def by_whip(name: str, value: Any) -> Any:
    try:
        return getattr(parse_options({name: value}), name)
    except HttpError:
        return REFUSED


def by_livekit(name: str, value: Any) -> Any:
    grant = AccessTokenClaims("ann", "ann", "devkey", 0.0, attributes={name: value})
    options: SessionOptions = session_options("room", grant, Join(is_dual=True, client=ClientInfo()))
    return REFUSED if getattr(options, name) is None else getattr(options, name)


def by_settings(name: str, value: Any) -> Any:
    try:
        return getattr(UserSettings.model_validate({name: value}).preferences(), name)
    except ValidationError:
        return REFUSED


@pytest.mark.parametrize("read", [by_json_websocket, by_whip, by_livekit, by_settings])
@pytest.mark.parametrize(("name", "value", "read_as"), CASES)
def test_every_transport_accepts_the_same(read: Any, name: str, value: str, read_as: object) -> None:
    assert read(name, value) == read_as


@pytest.mark.parametrize("read", [by_json_websocket, by_settings])
def test_instructions_have_one_length(read: Any) -> None:
    assert read("instructions", "x" * MAX_INSTRUCTIONS) == "x" * MAX_INSTRUCTIONS
    assert read("instructions", "x" * (MAX_INSTRUCTIONS + 1)) is REFUSED


def vad_by_json_websocket(silence_ms: int) -> Any:
    try:
        start = parse(json.dumps({"action": "start_session", "config": {"vad": {"silence_ms": silence_ms}}}).encode())
    except BadMessage:
        return REFUSED
    assert isinstance(start.message, StartSession)
    return start.message.options.silence_ms


def vad_by_rpc(silence_ms: int) -> Any:
    try:
        return parse_runtime_config(json.dumps({"vad": {"silence_ms": silence_ms}})).silence_ms
    except RpcFailure:
        return REFUSED


@pytest.mark.parametrize("read", [vad_by_json_websocket, vad_by_rpc, lambda value: by_settings("silence_ms", value)])
def test_silence_has_one_range(read: Any) -> None:
    assert [read(MIN_SILENCE_MS), read(MAX_SILENCE_MS)] == [MIN_SILENCE_MS, MAX_SILENCE_MS]
    assert read(MIN_SILENCE_MS - 1) is read(MAX_SILENCE_MS + 1) is REFUSED
