"""Tokens for LiveKit's clients, as LiveKit's own servers make them."""

import time
import uuid
from typing import Annotated

import jwt
from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from mediaserver.api.authentication import authenticate
from mediaserver.api.json_http import json_response, read_body, read_query
from mediaserver.api.rate_limit import Limiter
from mediaserver.auth.users import User, Verifier
from mediaserver.http_errors import HttpError
from mediaserver.http_route import Route

TOKEN_SECONDS = 3600
MAX_TOKEN = 6_000
"""Characters: browsers send the token in a query, beside an offer, and a request line has 8190 bytes."""

ASSISTANT = "assistant"
"""The identity of the assistant in every room, which nobody else may have."""

USER_CLAIM = "user"
"""The claim that says whose token it is: `sub` is only what the client wants to be called in the room."""

_PATH = "/api/v1/livekit/token"


def _not_the_assistants(value: str | None) -> str | None:
    if value == ASSISTANT:
        raise ValueError(f"is not {ASSISTANT}, which is taken in every room")
    return value


def _none_if_empty(value: object) -> object:
    return None if value == "" else value  # protobuf's JSON does not tell empty from absent


Label = Annotated[
    Annotated[str, StringConstraints(max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")] | None,
    BeforeValidator(_none_if_empty),
    Field(description="1 to 128 printable characters"),
]
Identity = Annotated[
    Label, AfterValidator(_not_the_assistants), Field(description=f"1 to 128 printable characters, not {ASSISTANT}")
]
Text = Annotated[
    Annotated[str, StringConstraints(max_length=2048)] | None,
    BeforeValidator(_none_if_empty),
    Field(description="at most 2048 characters"),
]
Attribute = Annotated[str, StringConstraints(max_length=512)]
Attributes = Annotated[dict[Attribute, Attribute], Field(max_length=32)]


class LiveKitQuery(BaseModel):
    """What LiveKit's token endpoints take, or `room`, `identity` and `name` in short; all may be left out."""

    room_name: Label = None
    participant_identity: Identity = None
    participant_name: Label = None
    participant_metadata: Text = None
    room: Label = None
    identity: Identity = None
    name: Label = None


class LiveKitBody(LiveKitQuery):
    """The same in JSON, with attributes."""

    participant_attributes: Attributes | None = Field(
        None, description="at most 32 strings by name, each of at most 512 characters"
    )


class LiveKitResponse(BaseModel):
    """Where to connect, with what; `url` and `token` are the same as `server_url` and `participant_token`."""

    server_url: str
    participant_token: str
    token: str
    url: str
    room: str
    identity: str
    expires_in: int = Field(description="seconds")


class LiveKitTokens:
    """POST and GET /api/v1/livekit/token; without key and secret LiveKit is off."""

    def __init__(self, verifier: Verifier, limiter: Limiter, *, api_key: str | None, api_secret: str | None):
        self._verifier = verifier
        self._limiter = limiter
        self._api_key = api_key
        self._api_secret = api_secret

    def routes(self) -> tuple[Route, ...]:
        """What is served."""
        posted = Route(
            method="POST",
            path=_PATH,
            handler=self.post,
            summary="Get a token for LiveKit's clients",
            tags=("livekit",),
            body=LiveKitBody,
            needs_token=True,
            answers={200: LiveKitResponse},
            errors=(404, 429),
        )
        got = Route(
            method="GET",
            path=_PATH,
            handler=self.get,
            summary="Get a token for LiveKit's clients",
            tags=("livekit",),
            query=LiveKitQuery,
            needs_token=True,
            answers={200: LiveKitResponse},
            errors=(404, 429),
        )
        return posted, got

    async def post(self, request: web.Request) -> web.Response:
        """A token for what the body asks."""
        user = authenticate(request, self._verifier, self._limiter)
        return self._respond(request, user, await read_body(request, LiveKitBody))

    async def get(self, request: web.Request) -> web.Response:
        """A token for what the query asks."""
        user = authenticate(request, self._verifier, self._limiter)
        query = read_query(request, LiveKitQuery)
        return self._respond(request, user, LiveKitBody(**query.model_dump()))

    def _respond(self, request: web.Request, user: User, wanted: LiveKitBody) -> web.Response:
        if self._api_key is None or self._api_secret is None:
            raise HttpError(
                404, "NOT_FOUND", "LiveKit is off on this server; LIVEKIT_API_KEY and LIVEKIT_API_SECRET turn it on."
            )
        room = wanted.room_name or wanted.room or uuid.uuid4().hex
        identity = wanted.participant_identity or wanted.identity or (user.id if user.is_guest else user.username)
        now = int(time.time())
        claims = {
            "iss": self._api_key,
            "sub": identity,
            "name": wanted.participant_name or wanted.name or user.username,
            "metadata": wanted.participant_metadata or "",
            "attributes": wanted.participant_attributes or {},
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "kind": "standard",
            "video": {
                "roomJoin": True,
                "room": room,
                "canPublish": True,
                "canSubscribe": True,
                "canPublishData": True,
                "canUpdateOwnMetadata": True,
            },
            USER_CLAIM: user.id,
        }
        token = jwt.encode(claims, self._api_secret, "HS256")
        if len(token) > MAX_TOKEN:
            raise _too_long()
        url = _socket_url(request)
        return json_response(
            LiveKitResponse(
                server_url=url,
                participant_token=token,
                token=token,
                url=url,
                room=room,
                identity=identity,
                expires_in=TOKEN_SECONDS,
            )
        )


def _socket_url(request: web.Request) -> str:
    """This server as the client has reached it; a proxy that ends TLS says so."""
    is_secure = request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
    return f"{'wss' if is_secure else 'ws'}://{request.host}"


def _too_long() -> HttpError:
    names = ("participant_metadata", "participant_attributes")
    message = f"Accepts no more than makes a token of {MAX_TOKEN} characters."
    fields = [{"field": name, "message": message} for name in names]
    return HttpError(422, "INVALID_FIELDS", f"Metadata and attributes: {message.lower()}", details={"fields": fields})
