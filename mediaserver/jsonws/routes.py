"""The route `/ws/livekit`: authenticates sockets and opens their sessions."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_websocket import WSCloseCode

from mediaserver.auth.users import AuthError, User, Verifier
from mediaserver.caller import Caller, network_of_request
from mediaserver.http_errors import HttpError, bearer
from mediaserver.jsonws.codec import StartSession
from mediaserver.jsonws.connection import Connection, SessionRefused, SharedBounds, SocketLimits
from mediaserver.jsonws.media_input import MediaFeedback
from mediaserver.jsonws.send_queue import SendQueue
from mediaserver.jsonws.session import Session
from mediaserver.rate_limiter import RateLimiter
from mediaserver.registry import RETRY_DRAINING, Draining, Full
from mediaserver.session_factory import SessionFactoryPort
from pipeline.errors import FaultCode, MediaError, ProtocolError
from pipeline.peer import ConversationPort

PATH = "/ws/livekit"
MAX_DECODERS = 2
"""Pictures decoded at the same time on the whole server."""

_CLOSE_TIMEOUT = 10.0


class JsonSocket:
    """Serves GET /ws/livekit."""

    def __init__(
        self,
        session_factory: SessionFactoryPort,
        verifier: Verifier,
        limiter: RateLimiter,
        *,
        origin_is_allowed: Callable[[web.Request], bool],
        limits: SocketLimits | None = None,
        bounds: SharedBounds | None = None,
    ):
        self._session_factory = session_factory
        self._verifier = verifier
        self._limiter = limiter
        self._origin_is_allowed = origin_is_allowed
        self._limits = limits or SocketLimits()
        self._decoder_slots = asyncio.Semaphore(MAX_DECODERS)
        self._bounds = bounds or SharedBounds()
        self._connections: dict[Connection, asyncio.Event] = {}
        self._attached: dict[str, Session] = {}

    def add_routes(self, app: web.Application) -> None:
        """Register the route."""
        app.router.add_get(PATH, self.connect)

    def __len__(self) -> int:
        """Number of open sockets."""
        return len(self._connections)

    async def close(self) -> None:
        """Close every socket with 1001 and wait for them; sessions have ended before."""
        closed = list(self._connections.values())
        for connection in self._connections:
            connection.close("shutdown", WSCloseCode.GOING_AWAY)
        if closed:
            await asyncio.wait([asyncio.ensure_future(event.wait()) for event in closed], timeout=_CLOSE_TIMEOUT)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until it closes; raises `HttpError` 401, 403 or 429 before the handshake."""
        if not self._origin_is_allowed(request):
            raise HttpError(403, "FORBIDDEN", "Pages of this origin may not connect; see CORS_ORIGINS.")
        user = self._authenticate(request)
        address = request.remote or ""
        if user is None and self._bounds.bad_messages.is_spent(address):
            raise HttpError(429, "RATE_LIMITED", "Too many bad messages came from your address.", retry_after=60)
        connection = Connection(
            user,
            address,
            self._open_session,
            self._limits,
            self._bounds,
        )
        closed = self._connections[connection] = asyncio.Event()
        try:
            return await connection.run(request)
        finally:
            del self._connections[connection]
            closed.set()

    def _authenticate(self, request: web.Request) -> User | None:
        """Verify the handshake's token and count the request; without a token None, counted by address."""
        network = network_of_request(request)
        token = request.query.get("token")
        if token is None and "Authorization" not in request.headers:
            self._limiter.admit(network)
            return None
        try:
            user = self._verifier.verify(bearer(request) if "Authorization" in request.headers else token or "")
        except AuthError as error:
            self._limiter.admit(network)
            raise HttpError(401, "UNAUTHORIZED", str(error)) from None
        self._limiter.admit(Caller(user.id, user.is_guest, request.remote or "").counted_as)
        return user

    async def _open_session(
        self, connection: Connection, start: StartSession, send_queue: SendQueue, feedback: MediaFeedback
    ) -> Session:
        caller = self._authenticate_start(connection, start)
        conversation = await self._conversation(caller, start)
        if conversation.config.id in self._attached:
            raise SessionRefused(
                ProtocolError("That session is live on another socket.", code=FaultCode.SESSION_EXISTS)
            )

        def on_closed(session: Session) -> None:
            self._attached.pop(session.id, None)
            connection.on_session_closed(session)

        session = Session(
            conversation,
            send_queue,
            start.output,
            feedback,
            self._decoder_slots,
            counted_as=caller.counted_as,
            on_slow_consumer=connection.on_slow_consumer,
            on_closed=on_closed,
        )
        self._attached[session.id] = session
        return session

    def _authenticate_start(self, connection: Connection, start: StartSession) -> Caller:
        user = connection.user
        if user is None and not start.token:
            raise _unauthorized("Send a token: in the Authorization header, `?token=` or start_session.")
        try:
            if user is None:
                user = self._verifier.verify(start.token or "")
            else:
                self._verifier.check(user)  # the handshake may be long ago
        except AuthError as error:
            raise _unauthorized(str(error)) from None
        caller = Caller(user.id, user.is_guest, connection.address)
        if connection.user is None or connection.sessions:
            self._check_rate_limit(caller)  # the handshake counted the first session
        if start.user is not None and not user.is_guest and start.user not in (user.id, user.username):
            raise SessionRefused(MediaError(FaultCode.FORBIDDEN, "`userId` is not the token's user.", where="jsonws"))
        return caller

    def _check_rate_limit(self, caller: Caller) -> None:
        try:
            self._limiter.admit(caller.counted_as)
        except HttpError as error:
            retry = error.headers.get("Retry-After")
            details: dict[str, object] = {"retry_after": int(retry)} if retry else {}
            raise SessionRefused(
                MediaError(FaultCode.RATE_LIMITED, error.message, where="jsonws", details=details)
            ) from None

    async def _conversation(self, caller: Caller, start: StartSession) -> ConversationPort:
        try:
            return await self._session_factory.get_or_create(caller, start.options)
        except Full as full:
            error = MediaError(FaultCode.SESSION_LIMIT, full.message, where="jsonws", details=full.details)
            raise SessionRefused(error, WSCloseCode.TRY_AGAIN_LATER) from None
        except Draining:
            details: dict[str, object] = {"retry_after": RETRY_DRAINING}
            error = MediaError(FaultCode.SESSION_LIMIT, "The server is restarting.", where="jsonws", details=details)
            raise SessionRefused(error, WSCloseCode.SERVICE_RESTART) from None


def _unauthorized(message: str) -> SessionRefused:
    return SessionRefused(MediaError(FaultCode.UNAUTHORIZED, message, where="jsonws"))
