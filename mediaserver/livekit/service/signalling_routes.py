"""LiveKit's signalling routes: `/rtc/v1` for one peer connection, `/rtc` for two, and token validation."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from livekit.protocol.models import DisconnectReason

from mediaserver.auth.users import is_guest
from mediaserver.bad_messages import BadMessageBudget
from mediaserver.caller import Caller, network_of_request
from mediaserver.half_open import RETRY_AFTER as RETRY_HALF_OPEN
from mediaserver.half_open import HalfOpenConnection, HalfOpenConnections, TooManyConnections
from mediaserver.http_errors import HttpError, bearer
from mediaserver.livekit.protocol.access_token import (
    AccessTokenClaims,
    ApiKeys,
    GrantError,
    UserExists,
    check_join,
)
from mediaserver.livekit.protocol.join_request import Join, JoinError, parse_join
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.livekit.room.participant import MAX_METADATA, TooLong, checked_details
from mediaserver.livekit.room.room import RoomFull, leave_response
from mediaserver.livekit.service.live_room import RoomClosed, RoomNotOwned, RoomRuntime
from mediaserver.livekit.service.participant_session import ParticipantSession
from mediaserver.livekit.service.room_registry import RoomRegistry
from mediaserver.livekit.service.signal_socket import HandleRequest, SignalSocket
from mediaserver.rate_limiter import RateLimiter
from mediaserver.registry import RETRY_AFTER as RETRY_FULL
from mediaserver.registry import RETRY_DRAINING, Draining, Full
from pipeline.peer import ConversationPort

SINGLE, DUAL = "/rtc/v1", "/rtc"


class Signalling:
    """Serves GET on both paths and `/validate` below them; the page answers the clients' `HEAD /`."""

    def __init__(
        self,
        rooms: RoomRegistry,
        keys: ApiKeys,
        limiter: RateLimiter,
        limits: RoomLimits,
        *,
        half_open: HalfOpenConnections,
        bad_messages: BadMessageBudget,
        user_exists: UserExists,
    ):
        self._rooms = rooms
        self._keys = keys
        self._limiter = limiter
        self._limits = limits
        self._half_open = half_open
        self._bad_messages = bad_messages
        self._user_exists = user_exists

    def add_routes(self, app: web.Application) -> None:
        """Register the routes."""
        for path in (SINGLE, DUAL):
            app.router.add_get(path, self.connect, allow_head=False)
            app.router.add_get(f"{path}/validate", self.validate)

    async def validate(self, request: web.Request) -> web.Response:
        """Answer 200 `success` or the refusal of a socket, whose reason browsers cannot read."""
        try:
            grant = self._grant(request)
            await self._check_user(grant)
            room = self._rooms.find(grant.room)
            if room is not None:
                room.check_owner(grant)
        except RoomNotOwned:
            return _not_owned().response
        except _Refused as refused:
            return refused.response
        return web.Response(text="success")

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve a signalling socket until it closes."""
        if not web.WebSocketResponse().can_prepare(request).ok:
            return web.Response(status=404, text="not found: this address takes websockets")
        try:
            grant = self._rate_limited_grant(request)
            join = self._join(request)
            await self._check_user(grant)
            target = None if join.is_reconnect else await self._target(grant, join, _caller(grant, request))
        except _Refused as refused:
            return refused.response
        socket = SignalSocket(self._limits, partial(self._bad_messages.spend, request.remote or ""))
        sessions: list[ParticipantSession] = []

        async def begin() -> HandleRequest:
            session = self._resumable(grant, join) if target is None else self._admit(grant, join, target)
            if session is None:
                socket.put(leave_response(DisconnectReason.STATE_MISMATCH, "RECONNECT"))
                socket.close("nothing to resume")
                return _ignore
            sessions.append(session)
            if target is None:
                await session.resume(socket, join)
            else:
                await session.open(socket, join, target.conversation)
            return session.on_signal_request

        try:
            await socket.prepare(request)
            return await socket.run(begin)
        finally:
            if target is not None and not sessions:
                target.half_open.release()
            for session in sessions:
                session.on_socket_lost(socket)

    def _admit(self, grant: AccessTokenClaims, join: Join, target: "_JoinTarget") -> ParticipantSession | None:
        if target.conversation.is_ending:
            return None  # it has ended since it was found, so no assistant would answer
        try:
            return target.room.admit(grant, join, target.half_open)
        except (RoomClosed, RoomFull):
            return None

    def _resumable(self, grant: AccessTokenClaims, join: Join) -> ParticipantSession | None:
        room = self._rooms.find(grant.room)
        session = room.session(join.participant_sid) if room is not None else None
        return session if session is not None and session.is_resumable(grant) else None

    async def _target(self, grant: AccessTokenClaims, join: Join, caller: Caller) -> "_JoinTarget":
        try:
            checked_details(grant, join)
            half_open = await self._half_open.admit(caller)
        except TooLong:
            raise _Refused(400, f"metadata and all attributes must have at most {MAX_METADATA} bytes each") from None
        except TooManyConnections as error:
            raise _Refused(429, error.message, {"Retry-After": str(RETRY_HALF_OPEN)}) from None
        with ExitStack() as stack:
            stack.callback(half_open.release)
            room = await self._rooms.get_or_create(grant.room)
            conversation = await self._prepare(room, grant, join, caller)
            stack.pop_all()  # the session releases it
        return _JoinTarget(room, conversation, half_open)

    async def _prepare(
        self, room: RoomRuntime, grant: AccessTokenClaims, join: Join, caller: Caller
    ) -> ConversationPort:
        try:
            return await room.prepare(grant, join, caller)
        except RoomNotOwned:
            raise _not_owned() from None
        except RoomFull:
            raise _Refused(429, "the room is full") from None
        except Full as full:
            headers = {"Retry-After": str(RETRY_FULL)}
            raise _Refused(429 if full.is_personal else 503, full.message, headers) from None
        except Draining:
            raise _Refused(503, "the server is restarting", {"Retry-After": str(RETRY_DRAINING)}) from None

    def _rate_limited_grant(self, request: web.Request) -> AccessTokenClaims:
        try:
            try:
                grant = self._grant(request)
            except _Refused:
                self._limiter.admit(network_of_request(request))
                raise
            self._limiter.admit(_caller(grant, request).counted_as)
        except HttpError as error:
            raise _Refused(error.status, error.message, error.headers) from None
        return grant

    def _grant(self, request: web.Request) -> AccessTokenClaims:
        try:
            grant = self._keys.read(_token(request))
            check_join(grant, request.query.get("room"))
        except GrantError as error:
            raise _Refused(error.status, error.message) from None
        return grant

    async def _check_user(self, grant: AccessTokenClaims) -> None:
        if not grant.is_external and not await self._user_exists(grant.owner):
            raise _Refused(401, "invalid authorization token: its user was deleted")

    def _join(self, request: web.Request) -> Join:
        try:
            return parse_join(request.query, is_dual=request.path != SINGLE)
        except JoinError as error:
            raise _Refused(400, str(error)) from None


@dataclass(frozen=True, slots=True)
class _JoinTarget:
    """The room and the conversation of a join, and its place among the half-open connections."""

    room: RoomRuntime
    conversation: ConversationPort
    half_open: HalfOpenConnection


class _Refused(Exception):
    """A socket was refused; clients show the text."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None):
        super().__init__(text)
        self.response = web.Response(status=status, text=text, headers=headers)


def _not_owned() -> _Refused:
    return _Refused(403, "permissions denied: the room is another user's, who can get you a token for it")


def _caller(grant: AccessTokenClaims, request: web.Request) -> Caller:
    return Caller(grant.owner, is_guest(grant.owner), request.remote or "")


def _token(request: web.Request) -> str:
    try:
        token = bearer(request) if "Authorization" in request.headers else request.query.get("access_token", "")
    except HttpError as error:
        raise GrantError(401, error.message) from None
    if not token:
        raise GrantError(401, "no authorization token: send it as a bearer, or as `access_token` in the query")
    return token


async def _ignore(_: object) -> None:
    return
