"""Parsing of client frames, as strict as Gemini Live's server.

Follows proto3 JSON: camelCase and snake_case names, null as absence, both base64 alphabets.
"""

import base64
import binascii
import functools
import json
import re
from typing import Any

from mediaserver.localengine.protocol.fields import FIELDS
from mediaserver.localengine.protocol.json_schema import json_schema
from mediaserver.localengine.protocol.messages import (
    ActivityEnd,
    ActivityStart,
    Audio,
    AudioStreamEnd,
    Behavior,
    ClientContent,
    ClientMessage,
    ContentTurn,
    ContextUpdate,
    Detection,
    FunctionDeclaration,
    FunctionResponse,
    Functions,
    ImageInput,
    Input,
    RealtimeInput,
    Setup,
    TextInput,
    ToolResponse,
)
from pipeline.media import INPUT_SAMPLE_RATE

NORMAL = 1000
"""Close code of a normal end (RFC 6455)."""
GOING_AWAY = 1001
"""Close code of a server that stops (RFC 6455)."""
INVALID = 1007
"""Close code for data the server cannot accept (RFC 6455: invalid frame payload data)."""
POLICY = 1008
"""Close code for a resource this client may not use (RFC 6455: policy violation)."""
INTERNAL = 1011
"""Close code of the server's own failures (RFC 6455)."""

INVALID_ARGUMENT = "Request contains an invalid argument."
SESSION_NOT_FOUND = "BidiGenerateContent session not found"
"""The reason for refusing a handle that is unknown, too old, or another key's."""
REASON_BYTES = 123
"""Bytes of the longest close reason (RFC 6455 section 5.5: 125 bytes, two of them the code)."""
RATES = range(8_000, 48_001)
"""Sample rates (Hz) that audio may declare."""

_URL_SAFE = str.maketrans("-_", "+/")


class WireError(Exception):
    """A frame or request that ends the session, with the close code and reason for the client."""

    def __init__(self, code: int, reason: str):
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode(errors="replace")[:REASON_BYTES].decode(errors="ignore")


def parse(frame: str | bytes) -> ClientMessage:
    """Parse one client frame, or raise `WireError` and nothing else."""
    try:
        body = json.loads(frame)
    except (ValueError, RecursionError):
        raise WireError(INVALID, "Invalid JSON payload received.") from None
    message = _Object(body, "message", FIELDS["message"])
    if (setup := message.child("setup")) is not None:
        return _setup(setup)
    if (realtime := message.child("realtimeInput")) is not None:
        return _realtime_input(realtime)
    if (content := message.child("clientContent")) is not None:
        return _client_content(content)
    if (answers := message.child("toolResponse")) is not None:
        return _tool_response(answers)
    if (update := message.child("contextUpdate")) is not None:
        tools = update.child("tools", "updatedTools")
        return ContextUpdate(None if tools is None else _functions(tools.children("tools")))
    raise WireError(INVALID, INVALID_ARGUMENT)


class _Object:
    """A JSON object read by camelCase names, in either spelling."""

    def __init__(self, value: Any, where: str, names: str | None):
        if not isinstance(value, dict):
            raise WireError(INVALID, f"Invalid value at '{where}': an object is expected.")
        for name in value if names else ():
            if name not in _spellings(names or ""):
                raise WireError(INVALID, f"Unknown name \"{name[:60]}\" at '{where}': Cannot find field.")
        self._fields: dict[str, Any] = value
        self._where = where

    def has(self, name: str) -> bool:
        return self._value(name) is not None

    def child(self, name: str, kind: str | None = None) -> "_Object | None":
        value = self._value(name)
        return None if value is None else _Object(value, f"{self._where}.{name}", FIELDS.get(kind or name))

    def children(self, name: str) -> list["_Object"]:
        return [_Object(value, f"{self._where}.{name}", FIELDS.get(name)) for value in self._list(name)]

    def texts(self, name: str) -> tuple[str, ...]:
        return tuple(self._checked(value, name) for value in self._list(name))

    def text(self, name: str) -> str | None:
        value = self._value(name)
        return None if value is None else self._checked(value, name)

    def flag(self, name: str) -> bool | None:
        value = self._value(name)
        if value is None or isinstance(value, bool):
            return value
        raise self.wrong(name, "true or false")

    def count(self, name: str) -> int | None:
        value = self._value(name)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
            return value
        raise self.wrong(name, "an integer from 0")

    def mapping(self, name: str) -> dict[str, object]:
        value = self._value(name)
        if value is None:
            return {}
        if isinstance(value, dict):
            return value
        raise self.wrong(name, "an object")

    def data(self, name: str) -> bytes:
        text = (self.text(name) or "").translate(_URL_SAFE).rstrip("=")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            raise self.wrong(name, "base64") from None

    def _value(self, name: str) -> Any:
        value = self._fields.get(name)
        return self._fields.get(_snake(name)) if value is None else value

    def _list(self, name: str) -> list[Any]:
        value = self._value(name)
        if value is None:
            return []
        if isinstance(value, list):
            return value
        raise self.wrong(name, "a list")

    def _checked(self, value: Any, name: str) -> str:
        if isinstance(value, str) and (value.isascii() or _is_encodable(value)):
            return value
        raise self.wrong(name, "a string")

    def wrong(self, name: str, expected: str) -> WireError:
        return WireError(INVALID, f"Invalid value at '{self._where}.{name}': {expected} is expected.")


def _setup(setup: _Object) -> Setup:
    generation = setup.child("generationConfig") or _Object({}, "setup.generationConfig", None)
    speech = generation.child("speechConfig")
    thinking = generation.child("thinkingConfig")
    proactivity = setup.child("proactivity")
    history = setup.child("historyConfig")
    realtime = setup.child("realtimeInputConfig") or _Object({}, "setup.realtimeInputConfig", None)
    instruction = setup.child("systemInstruction")
    texts = [part.text("text") or "" for part in instruction.children("parts")] if instruction else []
    if (compression := setup.child("contextWindowCompression")) is not None:
        compression.child("slidingWindow")
    return Setup(
        model=setup.text("model") or "",
        modalities=generation.texts("responseModalities"),
        media_resolution=generation.text("mediaResolution"),
        language=speech.text("languageCode") if speech else None,
        thinking_level=thinking.text("thinkingLevel") if thinking else None,
        has_thinking_budget=thinking is not None and thinking.has("thinkingBudget"),
        affective=generation.flag("enableAffectiveDialog") or False,
        proactive=proactivity.flag("proactiveAudio") if proactivity else None,
        functions=_functions(setup.children("tools")),
        instructions="\n".join(filter(None, texts)),
        transcribe_input=setup.child("inputAudioTranscription") is not None,
        transcribe_output=setup.child("outputAudioTranscription") is not None,
        detection=_detection(realtime.child("automaticActivityDetection")),
        resumption=_resumption(setup.child("sessionResumption")),
        seeds_history=bool(history and history.flag("initialHistoryInClientContent")),
        may_interrupt=realtime.text("activityHandling") != "NO_INTERRUPTION",
    )


def _resumption(config: _Object | None) -> str | None:
    if config is None:
        return None
    if config.flag("transparent"):
        raise WireError(INVALID, f"{INVALID_ARGUMENT} Transparent session resumption is not supported.")
    return config.text("handle") or ""


def _detection(config: _Object | None) -> Detection:
    if config is None:
        return Detection()
    return Detection(
        automatic=not config.flag("disabled"),
        silence_ms=config.count("silenceDurationMs"),
        prefix_ms=config.count("prefixPaddingMs"),
    )


def _functions(tools: list[_Object]) -> Functions:
    declarations = [declaration for tool in tools for declaration in tool.children("functionDeclarations")]
    return {declaration.text("name") or "": _declaration(declaration) for declaration in declarations}


def _declaration(declaration: _Object) -> FunctionDeclaration:
    return FunctionDeclaration(
        _behavior(declaration),
        declaration.text("description") or "",
        declaration.mapping("parametersJsonSchema") or json_schema(declaration.mapping("parameters")),
    )


def _behavior(declaration: _Object) -> Behavior:
    try:
        return Behavior(declaration.text("behavior") or Behavior.UNSPECIFIED)
    except ValueError:
        raise declaration.wrong("behavior", " or ".join(Behavior)) from None


def _realtime_input(realtime: _Object) -> RealtimeInput:
    items: list[Input] = []
    if realtime.child("activityStart") is not None:
        items.append(ActivityStart())
    items.extend(_media(blob) for blob in realtime.children("mediaChunks"))
    if (audio := realtime.child("audio")) is not None:
        items.append(_audio(audio))
    if (video := realtime.child("video")) is not None:
        items.append(_picture(video))
    if (text := realtime.text("text")) is not None:
        items.append(TextInput(text))
    if realtime.flag("audioStreamEnd"):
        items.append(AudioStreamEnd())
    if realtime.child("activityEnd") is not None:
        items.append(ActivityEnd())
    return RealtimeInput(tuple(items))


def _media(blob: _Object) -> Audio | ImageInput:
    kind, _ = _mime(blob)
    return _picture(blob) if kind.startswith("image/") else _audio(blob)


def _picture(blob: _Object) -> ImageInput:
    kind, _ = _mime(blob)
    if not kind.startswith("image/"):
        raise WireError(INVALID, f"{INVALID_ARGUMENT} Unsupported MIME type: {kind[:40]}")
    return ImageInput(blob.data("data"))


def _audio(blob: _Object) -> Audio:
    kind, parameters = _mime(blob)
    if kind not in ("audio/pcm", "audio/l16"):
        raise WireError(INVALID, f"{INVALID_ARGUMENT} Unsupported MIME type: {kind[:40]}")
    return Audio(blob.data("data"), _rate(parameters))


def _mime(blob: _Object) -> tuple[str, list[str]]:
    kind, *parameters = (blob.text("mimeType") or "").lower().replace(" ", "").split(";")
    return kind, parameters


def _rate(parameters: list[str]) -> int:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name == "rate":
            if not re.fullmatch("[0-9]{4,5}", value) or int(value) not in RATES:
                raise WireError(INVALID, f"{INVALID_ARGUMENT} Unsupported sample rate.")
            return int(value)
    return INPUT_SAMPLE_RATE


def _client_content(content: _Object) -> ClientContent:
    turns = tuple(_content_turn(turn) for turn in content.children("turns"))
    return ClientContent(turns, content.flag("turnComplete") or False)


def _content_turn(turn: _Object) -> ContentTurn:
    texts: list[str] = []
    picture: bytes | None = None
    for part in turn.children("parts"):
        if (text := part.text("text")) is not None:
            texts.append(text)
        blob = part.child("inlineData")
        if blob is not None and (blob.text("mimeType") or "").startswith("image/"):
            picture = blob.data("data")
    return ContentTurn(turn.text("role") or "user", "".join(texts), picture)


def _tool_response(answers: _Object) -> ToolResponse:
    return ToolResponse(
        tuple(
            FunctionResponse(answer.text("id"), answer.mapping("response"), answer.text("scheduling"))
            for answer in answers.children("functionResponses")
        )
    )


def _is_encodable(text: str) -> bool:
    # A lone surrogate passes JSON, but is no Unicode text.
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@functools.cache
def _spellings(names: str) -> frozenset[str]:
    return frozenset(names.split()) | {_snake(name) for name in names.split()}


@functools.cache
def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)
