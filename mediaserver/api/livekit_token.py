"""Issues access tokens for LiveKit's clients, with the claims of LiveKit's own servers."""

import uuid
from collections.abc import Mapping
from typing import Annotated, Protocol

from aiohttp import web
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from mediaserver.api.authentication import authenticate
from mediaserver.api.json_http import json_response, read_body, read_query
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.users import User, Verifier
from mediaserver.http_errors import HttpError
from mediaserver.http_route import Route

TOKEN_SECONDS = 3600
MAX_TOKEN = 6_000
"""Characters: browsers send the token with an offer in a query, and a request line has 8190 bytes."""

ASSISTANT = "assistant"
"""The identity reserved for the assistant in every room."""

_PATH = "/api/v1/livekit/token"


def _reject_assistant(value: str | None) -> str | None:
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
    Label, AfterValidator(_reject_assistant), Field(description=f"1 to 128 printable characters, not {ASSISTANT}")
]
Text = Annotated[
    Annotated[str, StringConstraints(max_length=2048)] | None,
    BeforeValidator(_none_if_empty),
    Field(description="at most 2048 characters"),
]
Attribute = Annotated[str, StringConstraints(max_length=512)]
Attributes = Annotated[dict[Attribute, Attribute], Field(max_length=32)]


class LiveKitQuery(BaseModel):
    """Parameters of LiveKit's token endpoints, or `room`, `identity` and `name` in short; all are optional."""

    room_name: Label = None
    participant_identity: Identity = None
    participant_name: Label = None
    participant_metadata: Text = None
    room: Label = None
    identity: Identity = None
    name: Label = None


class LiveKitBody(LiveKitQuery):
    """The same parameters in JSON, with attributes."""

    participant_attributes: Attributes | None = Field(
        None, description="at most 32 strings by name, each of at most 512 characters"
    )


class LiveKitResponse(BaseModel):
    """Address and token to connect with; `url` and `token` repeat `server_url` and `participant_token`."""

    server_url: str
    participant_token: str
    token: str
    url: str
    room: str
    identity: str
    expires_in: int = Field(description="seconds")


class TokenIssuer(Protocol):
    """Signs LiveKit's access tokens."""

    def issue(
        self,
        *,
        owner: str,
        room: str,
        identity: str,
        name: str,
        metadata: str,
        attributes: Mapping[str, str],
        lifetime: float,
    ) -> str:
        """Sign a join token for a user, good for `lifetime` seconds."""
        ...


class LiveKitTokens:
    """Handles POST and GET /api/v1/livekit/token; 404 without an issuer, which means that LiveKit is off."""

    def __init__(self, verifier: Verifier, limiter: SlidingWindowRateLimiter, issuer: TokenIssuer | None):
        self._verifier = verifier
        self._limiter = limiter
        self._issuer = issuer

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
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
        """Issue the token that the body requests."""
        user = authenticate(request, self._verifier, self._limiter)
        return self._respond(request, user, await read_body(request, LiveKitBody))

    async def get(self, request: web.Request) -> web.Response:
        """Issue the token that the query requests."""
        user = authenticate(request, self._verifier, self._limiter)
        query = read_query(request, LiveKitQuery)
        return self._respond(request, user, LiveKitBody(**query.model_dump()))

    def _respond(self, request: web.Request, user: User, requested: LiveKitBody) -> web.Response:
        if self._issuer is None:
            raise HttpError(
                404, "NOT_FOUND", "LiveKit is off on this server; LIVEKIT_API_KEY and LIVEKIT_API_SECRET turn it on."
            )
        room = requested.room_name or requested.room or uuid.uuid4().hex
        identity = requested.participant_identity or requested.identity or (user.id if user.is_guest else user.username)
        token = self._issuer.issue(
            owner=user.id,
            room=room,
            identity=identity,
            name=requested.participant_name or requested.name or user.username,
            metadata=requested.participant_metadata or "",
            attributes=requested.participant_attributes or {},
            lifetime=TOKEN_SECONDS,
        )
        if len(token) > MAX_TOKEN:
            raise _token_too_long()
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
    """Build this server's WebSocket URL from the request; a proxy sets X-Forwarded-Proto if it terminates TLS."""
    is_secure = request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"
    return f"{'wss' if is_secure else 'ws'}://{request.host}"


def _token_too_long() -> HttpError:
    names = ("participant_metadata", "participant_attributes")
    message = f"Accepts no more than makes a token of {MAX_TOKEN} characters."
    fields = [{"field": name, "message": message} for name in names]
    return HttpError(422, "INVALID_FIELDS", f"Metadata and attributes: {message.lower()}", details={"fields": fields})
