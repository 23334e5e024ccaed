"""The AsyncAPI 3.0 document of the JSON messages, made from the models that read and render them."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from mediaserver.bad_messages import PER_MINUTE
from mediaserver.bounded_json import MAX_SEPARATORS
from mediaserver.messages.commands import COMMAND_MODELS
from mediaserver.messages.fields import (
    MAX_BAD_MESSAGES,
    MAX_FIRST_MESSAGE_BYTES,
    MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_TEXT,
)
from mediaserver.messages.refusals import action_of
from mediaserver.messages.server import EVENT_MODELS, SERVER_MODELS
from mediaserver.messages.websocket import WEBSOCKET_MODELS
from mediaserver.session_limits import MAX_INSTRUCTIONS
from pipeline.codecs.image_decoder import MAX_PIXELS
from pipeline.errors import FaultCode, Severity

Json = dict[str, Any]

_MIB = 1 << 20
_SCHEMA = "#/components/schemas/{model}"
_ABOUT = (
    "A voice assistant that sees the screen you share, as JSON messages. The JSON WebSocket at `/ws/livekit` carries a "
    "whole conversation, media included. WebRTC clients (`POST /whip`) exchange the same events and commands on the "
    "data channel `events`, LiveKit clients as data packets of topic `events`. `/openapi.json` describes the HTTP "
    "interface."
)
_WEBSOCKET = (
    "Text frames, one JSON object each; `action` tells what it is. Authenticate with `Authorization: Bearer <access "
    "token>` at the handshake, with `?token=<access token>`, or with `token` in start_session. One session at a time: "
    "start_session first, end_session last. Unknown fields are ignored. A bad message is answered with `error` and "
    f"never ends the session; {MAX_BAD_MESSAGES} in a row close the socket with 1008, and so "
    f"do more than {PER_MINUTE} a minute from one address.\n\n"
    f"Limits: a message {MAX_MESSAGE_BYTES // _MIB} MiB, before the first session {MAX_FIRST_MESSAGE_BYTES} bytes "
    f"(else the socket is closed with 1009), and {MAX_SEPARATORS} commas and opening brackets outside strings; a "
    f"picture {MAX_FRAME_BYTES // _MIB} MiB decoded from base64 "
    f"and {MAX_PIXELS // 1_000_000} megapixels; a typed question {MAX_TEXT} characters; instructions "
    f"{MAX_INSTRUCTIONS} characters; audio of 8 to 48 kHz with 1 or 2 channels, 10 ms to 10 s in a message. Audio may "
    "come faster than real time: the server reads at most 2 s ahead."
)
_EVENTS = (
    "The WebRTC data channel `events` of a connection made with `POST /whip`, and LiveKit data packets of topic "
    "`events`: the same messages as on the JSON WebSocket, without the session's start and without media, which has "
    "tracks of its own. `tracks` names the video tracks. `sessionId` may be left out."
)
_SEVERITIES = {
    Severity.REPORT: "reported; the conversation goes on",
    Severity.TURN: "the reply falls silent; the next turn is answered",
    Severity.FATAL: "the session ends",
}


def asyncapi_document(*, version: str) -> Json:
    """Describe every message of both channels, ready to be rendered as JSON."""
    clients = tuple(dict.fromkeys((*WEBSOCKET_MODELS, *COMMAND_MODELS)))
    pairs: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in clients]
    pairs += [(model, "serialization") for model in SERVER_MODELS]
    _, definitions = models_json_schema(pairs, ref_template=_SCHEMA)
    schemas: Json = definitions["$defs"]
    schemas["FaultCode"]["description"] = _fault_codes()
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Mediaserver messages", "version": version, "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {
            "websocket": {
                "address": "/ws/livekit",
                "title": "JSON WebSocket",
                "description": _WEBSOCKET,
                "servers": [{"$ref": "#/servers/plain"}, {"$ref": "#/servers/tls"}],
                "messages": _references((*WEBSOCKET_MODELS, *SERVER_MODELS)),
                "bindings": {"ws": _handshake()},
            },
            "events": {
                "address": "events",
                "title": "Data channel and data topic",
                "description": _EVENTS,
                "servers": [{"$ref": "#/servers/whip"}, {"$ref": "#/servers/livekit"}],
                "messages": _references((*COMMAND_MODELS, *EVENT_MODELS)),
            },
        },
        "operations": {
            "receiveMessage": _operation("receive", "websocket", WEBSOCKET_MODELS, "Messages of the client"),
            "sendEvent": _operation("send", "websocket", SERVER_MODELS, "Events, and the assistant's speech"),
            "receiveCommand": _operation("receive", "events", COMMAND_MODELS, "Commands of the client"),
            "sendEventOnDataChannel": _operation("send", "events", EVENT_MODELS, "Events"),
        },
        "components": {
            "messages": {action_of(model): _message(model, schemas) for model in (*clients, *SERVER_MODELS)},
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "query": {
                    "type": "httpApiKey",
                    "in": "query",
                    "name": "token",
                    "description": "The access token, for browsers, which cannot set headers on a WebSocket.",
                },
                "livekit": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A LiveKit token, from `POST /api/v1/livekit/token`.",
                },
            },
        },
    }


def _servers() -> Json:
    either = [{"$ref": "#/components/securitySchemes/bearer"}, {"$ref": "#/components/securitySchemes/query"}]
    bearer = [{"$ref": "#/components/securitySchemes/bearer"}]
    livekit = [{"$ref": "#/components/securitySchemes/livekit"}]
    return {
        "plain": _server("ws", "Without TLS. The token may come in start_session instead.", either),
        "tls": _server("wss", "With TLS. The token may come in start_session instead.", either),
        "whip": _server("webrtc", "A WebRTC connection, made by WHIP (RFC 9725).", bearer, pathname="/whip"),
        "livekit": _server("livekit", "A LiveKit room.", livekit, pathname="/rtc"),
    }


def _server(protocol: str, description: str, security: list[Json], **more: str) -> Json:
    return {
        "host": "{host}",
        "protocol": protocol,
        "description": description,
        "variables": {"host": {"default": "localhost:8000", "description": "The server's name and port."}},
        "security": security,
        **more,
    }


def _handshake() -> Json:
    token = {"type": "string", "description": "An access token, instead of the header."}
    header = {"type": "string", "description": "`Bearer <access token>`."}
    return {
        "method": "GET",
        "query": {"type": "object", "properties": {"token": token}},
        "headers": {"type": "object", "properties": {"Authorization": header}},
    }


def _operation(action: str, channel: str, models: Sequence[type[BaseModel]], summary: str) -> Json:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{action_of(model)}"} for model in models],
    }


def _references(models: Iterable[type[BaseModel]]) -> Json:
    return {action_of(model): {"$ref": f"#/components/messages/{action_of(model)}"} for model in models}


def _message(model: type[BaseModel], schemas: Json) -> Json:
    schema = schemas[model.__name__]
    return {
        "name": action_of(model),
        "summary": schema["description"],
        "payload": {"$ref": _SCHEMA.format(model=model.__name__)},
        "examples": [{"payload": example} for example in schema["examples"]],
    }


def _fault_codes() -> str:
    lines = ["The closed list of error codes, by their severity:"]
    for severity, meaning in _SEVERITIES.items():
        codes = ", ".join(code.value for code in FaultCode if code.severity is severity)
        lines.append(f"- {severity.value} ({meaning}): {codes}")
    return "\n".join(lines)
