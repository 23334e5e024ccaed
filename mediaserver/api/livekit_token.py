"""Issues access tokens for LiveKit's clients, with the claims of LiveKit's own servers."""

import re
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Annotated, Protocol

from aiohttp import web
from limits import parse
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from mediaserver.api.authentication import authenticate
from mediaserver.api.json_http import json_response, read_body, read_query
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.api.users import store_errors_as_http
from mediaserver.auth.users import User, Verifier
from mediaserver.caller import network_of_request
from mediaserver.http_errors import HttpError
from mediaserver.http_route import Route

TOKEN_SECONDS = 3600
MAX_TOKEN = 6_000
"""Characters: browsers send the token with an offer in a query, and a request line has 8190 bytes."""

ASSISTANT = "assistant"
"""The identity reserved for the assistant in every room."""

REVOCATION_RATE = parse("100/hour")
"""The rate of tokens that a user, or the guests of one network, can take back."""

_PATH = "/api/v1/livekit/token"
_TOKEN_ID = re.compile(r"[0-9a-f]{32}")


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
    token_id: str = Field(description="names the token and all that are refreshed from it, to take them back")
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
        login: str,
        token_id: str,
        room: str,
        identity: str,
        name: str,
        metadata: str,
        attributes: Mapping[str, str],
        lifetime: float,
    ) -> str:
        """Sign a join token for a user's login, good for `lifetime` seconds."""
        ...

    def revocation_id(self, owner: str, token_id: str) -> str:
        """Return the id under which a user's token is revoked; a user can revoke none but their own."""
        ...


Revoke = Callable[[Collection[str]], Awaitable[None]]
"""Puts ids on the revocation list and in the store; raises `StoreError`."""


class LiveKitTokens:
    """Handles POST, GET and DELETE at /api/v1/livekit/token; 404 without an issuer, which means that LiveKit is off."""

    def __init__(
        self, verifier: Verifier, limiter: SlidingWindowRateLimiter, issuer: TokenIssuer | None, revoke: Revoke
    ):
        self._verifier = verifier
        self._limiter = limiter
        self._issuer = issuer
        self._revoke = revoke
        self._revocation_limiter = SlidingWindowRateLimiter(REVOCATION_RATE)

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
        taken_back = Route(
            method="DELETE",
            path=f"{_PATH}/{{token_id}}",
            handler=self.take_back,
            summary="Take a token back, with all that were refreshed from it",
            tags=("livekit",),
            needs_token=True,
            answers={204: None},
            errors=(404, 429, 503),
            parameters={"token_id": "the `token_id` of an answer with a token of yours"},
        )
        return posted, got, taken_back

    async def post(self, request: web.Request) -> web.Response:
        """Issue the token that the body requests."""
        user = authenticate(request, self._verifier, self._limiter)
        return self._respond(request, user, await read_body(request, LiveKitBody))

    async def get(self, request: web.Request) -> web.Response:
        """Issue the token that the query requests."""
        user = authenticate(request, self._verifier, self._limiter)
        query = read_query(request, LiveKitQuery)
        return self._respond(request, user, LiveKitBody(**query.model_dump()))

    async def take_back(self, request: web.Request) -> web.Response:
        """Revoke a token by its id; 204 too if it is none of this user's, which has no effect."""
        user = authenticate(request, self._verifier, self._limiter)
        issuer = self._require_issuer()
        token_id = request.match_info["token_id"]
        if _TOKEN_ID.fullmatch(token_id) is None:
            raise HttpError(404, "NOT_FOUND", "A token's id has 32 hexadecimal digits.")
        # A guest costs nothing, so guests are counted by address: each revocation is kept for a day.
        self._revocation_limiter.admit(network_of_request(request) if user.is_guest else user.id)
        with store_errors_as_http():
            await self._revoke((issuer.revocation_id(user.id, token_id),))
        return web.Response(status=204)

    def _require_issuer(self) -> TokenIssuer:
        if self._issuer is None:
            raise HttpError(
                404, "NOT_FOUND", "LiveKit is off on this server; LIVEKIT_API_KEY and LIVEKIT_API_SECRET turn it on."
            )
        return self._issuer

    def _respond(self, request: web.Request, user: User, requested: LiveKitBody) -> web.Response:
        issuer, token_id = self._require_issuer(), uuid.uuid4().hex
        room = requested.room_name or requested.room or uuid.uuid4().hex
        identity = requested.participant_identity or requested.identity or (user.id if user.is_guest else user.username)
        token = issuer.issue(
            owner=user.id,
            login=user.login,
            token_id=token_id,
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
                token_id=token_id,
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
