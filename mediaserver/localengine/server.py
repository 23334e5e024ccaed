"""The local engine: a server of the Gemini Live protocol for the google-genai SDK."""

import asyncio
import hmac
import logging
import re
import ssl
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from mediaserver.localengine.certificate import make_certificate
from mediaserver.localengine.fault_injection.faulty_socket import EngineConnection, FaultySocket, order_of, refused
from mediaserver.localengine.fault_injection.spec import HEADER, FaultError, Faults, InjectedFault, Injection
from mediaserver.localengine.fault_points import FaultPoint
from mediaserver.localengine.protocol.codec import (
    GOING_AWAY,
    INTERNAL,
    INVALID,
    INVALID_ARGUMENT,
    NORMAL,
    WireError,
    parse,
)
from mediaserver.localengine.protocol.messages import Setup
from mediaserver.localengine.protocol.model_rules import check
from mediaserver.localengine.responder.interface import Responder
from mediaserver.localengine.session.audio_input import Detector
from mediaserver.localengine.session.connection_lifetime import DEADLINE_EXPIRED, DEFAULT_LIFETIME, Lifetime
from mediaserver.localengine.session.context import Context
from mediaserver.localengine.session.pause_detector import PauseDetector
from mediaserver.localengine.session.resumption import DEFAULT_RESUMPTION, Handles, Resumption, SessionConnection
from mediaserver.localengine.session.session import EngineSession
from pipeline.audio.vad import VadModel
from pipeline.errors import FaultCode, MediaError, leaf_exceptions

LARGEST_MESSAGE = 4 << 20
"""Bytes of one client frame; a longer one closes the session with 1009."""

_SETUP_DEADLINE = 10.0
_CLOSE_DEADLINE = 2.0
_HANDSHAKE_DEADLINE = 5.0
# The SDK doubles the slash when its base address ends in one; short-lived keys use the Constrained method.
_PATH = re.compile(
    r"//?ws/google\.ai\.generativelanguage\.(v1|v1beta|v1alpha)\.GenerativeService\.BidiGenerateContent(Constrained)?"
)
_KEY_REJECTED = "API key not valid. Please pass a valid API key."
_INTERNAL = "Internal error encountered."
_LONGEST_REASON = 120  # characters; RFC 6455 section 5.5 leaves 123 bytes

# At DEBUG, websockets logs every header and path, keys included. The warnings left are bugs of a responder.
_logger = logging.getLogger("mediaserver.localengine.websockets")
_logger.setLevel(logging.WARNING)


class LocalEngine:
    """A TLS WebSocket server that answers with `responder`.

    `key` is the only accepted API key; None accepts any.
    `vad` detects activity for clients that leave it to the server; None loads the installed model at start.
    `lifetime` limits each connection, `resumption` the handles that continue its session on another one.
    `takes_faults` lets clients request faults by header (see `fault_injection.spec`).
    """

    def __init__(
        self,
        responder: Responder,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        key: str | None = None,
        vad: VadModel | None = None,
        lifetime: Lifetime = DEFAULT_LIFETIME,
        resumption: Resumption = DEFAULT_RESUMPTION,
        takes_faults: bool = False,
    ):
        self._responder = responder
        self._host = host
        self._port = port
        self._key = key
        self._vad = vad
        self._lifetime = lifetime
        self._handles = Handles(resumption)
        self._faults = Faults()
        self._takes_faults = takes_faults
        self._certificate = make_certificate(host)
        self._server: Server | None = None
        self._sessions: set[EngineSession] = set()

    async def start(self) -> None:
        """Start listening; `base_url` is valid from then on. Raises OSError (taken port) or ModelMissingError."""
        self._vad = self._vad or await asyncio.to_thread(VadModel)
        self._server = await serve(
            self._serve,
            self._host,
            self._port,
            ssl=self._certificate.server,
            process_request=self._upgrade,
            create_connection=EngineConnection,
            compression=None,
            max_size=LARGEST_MESSAGE,
            close_timeout=_CLOSE_DEADLINE,
            ssl_handshake_timeout=_HANDSHAKE_DEADLINE,
            server_header="mediaserver-local-engine",
            logger=_logger,
        )

    async def close(self) -> None:
        """Stop listening, send every session goAway and close it with 1001, within seconds; may be repeated."""
        server = self._server
        if server is None:
            return
        server.close(close_connections=False)
        await asyncio.sleep(0)  # its task closes the socket; later connections are aborted at once
        connections = [connection for connection in EngineConnection.alive if connection.server is server]
        await asyncio.gather(*(session.send_go_away(_CLOSE_DEADLINE) for session in self._sessions))
        await asyncio.gather(*(_close(connection, GOING_AWAY, "") for connection in connections))
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE):
                await server.wait_closed()
        except TimeoutError:
            # An answer whose responder ignored its cancellation: a second one may end it.
            unfinished = tuple(server.handler_tasks)
            for task in unfinished:
                task.cancel()
            if unfinished:
                await asyncio.wait(unfinished, timeout=_CLOSE_DEADLINE)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def inject(self, fault: InjectedFault) -> Injection:
        """Schedule a fault for the next connection, open or new, that reaches its point."""
        return self._faults.inject(fault)

    def is_serving(self) -> bool:
        """Whether new sessions are accepted."""
        return self._server is not None and self._server.is_serving()

    @property
    def sessions(self) -> int:
        """The number of open sessions."""
        return len(self._sessions)

    @property
    def base_url(self) -> str:
        """The address for the SDK's `base_url`, with the bound port; raises RuntimeError before `start`."""
        if self._server is None or not self._server.sockets:
            raise RuntimeError("the local engine is not serving")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"https://{host}:{self._server.sockets[0].getsockname()[1]}"

    @property
    def certificate(self) -> bytes:
        """The certificate to trust, as PEM."""
        return self._certificate.pem

    @property
    def client_ssl(self) -> ssl.SSLContext:
        """The only context that trusts this engine, for the SDK's `async_client_args`."""
        return self._certificate.client

    async def _serve(self, socket: ServerConnection) -> None:
        code, reason = NORMAL, ""
        try:
            await self._run_session(socket)
        except* ConnectionClosed:
            pass
        except* WireError as group:
            code, reason = _close_reason(group)
        except* MediaError as media_group:
            code, reason = INTERNAL, _public_reason(media_group)
        await _close(socket, code, reason)

    async def _upgrade(self, socket: ServerConnection, request: Request) -> Response | None:
        if _PATH.fullmatch(_path_of(request)) is None:
            return socket.respond(HTTPStatus.NOT_FOUND, "Not found.\n")
        if self._takes_faults:
            try:
                self._faults.schedule(order_of(request))
            except FaultError as error:
                return socket.respond(HTTPStatus.BAD_REQUEST, f"{HEADER}: {error}\n")
        return await refused(socket, request, self._faults)

    async def _run_session(self, socket: ServerConnection) -> None:
        assert self._vad is not None
        setup = await self._admit(socket)
        detector = self._detector_for(setup)
        faulty = FaultySocket(socket, self._faults)
        if setup.resumption:
            await faulty.reached(FaultPoint.RESUME)
        connection, context = self._resume(setup, socket)
        session = EngineSession(
            faulty,
            setup,
            self._responder,
            detector,
            pauses=PauseDetector(self._vad),
            lifetime=self._lifetime,
            context=context,
            connection=connection,
            reached=faulty.reached,
        )
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.remove(session)

    async def _admit(self, socket: ServerConnection) -> Setup:
        assert socket.request is not None
        try:
            async with asyncio.timeout(_SETUP_DEADLINE):
                # The key is checked after the first message: a close before it would reach the SDK
                # in its send, as an error of websockets and without the reason.
                frame = await socket.recv()
        except TimeoutError:
            raise WireError(INTERNAL, DEADLINE_EXPIRED) from None
        if not self._accepts(_key_of(socket.request)):
            raise WireError(INVALID, _KEY_REJECTED)
        setup = parse(frame)
        if not isinstance(setup, Setup):
            raise WireError(INVALID, f"{INVALID_ARGUMENT} The first message must be setup.")
        check(setup, _version_of(socket.request))
        return setup

    def _resume(self, setup: Setup, socket: ServerConnection) -> tuple[SessionConnection | None, Context | None]:
        assert socket.request is not None
        if setup.resumption is None:
            return None, None
        key = _key_of(socket.request)
        return self._handles.resume(setup.resumption, key) if setup.resumption else (self._handles.begin(key), None)

    def _accepts(self, key: str) -> bool:
        if self._key is None:
            return bool(key)
        return hmac.compare_digest(key.encode(errors="replace"), self._key.encode())

    def _detector_for(self, setup: Setup) -> Detector | None:
        if not setup.detection.automatic:
            return None
        assert self._vad is not None
        return Detector(self._vad, setup.detection)


async def _close(socket: ServerConnection, code: int, reason: str) -> None:
    if socket.state is State.CONNECTING:
        socket.transport.abort()  # no WebSocket yet
        return
    try:
        async with asyncio.timeout(_CLOSE_DEADLINE):
            await socket.close(code, reason)
    except TimeoutError:
        # websockets waits without an end to write its close frame to a client that does not read
        # (asyncio/connection.py, `send_context`).
        socket.transport.abort()


def _path_of(request: Request) -> str:
    return request.path.partition("?")[0]


def _version_of(request: Request) -> str:
    match = _PATH.fullmatch(_path_of(request))
    return match[1] if match else ""


def _key_of(request: Request) -> str:
    headers = request.headers
    query = parse_qs(urlsplit("/?" + request.path.partition("?")[2]).query)
    token = headers.get("Authorization", "").partition(" ")[2]
    offered = (headers.get("x-goog-api-key", ""), token, *query.get("key", []), *query.get("access_token", []))
    return next((key.strip() for key in offered if key.strip()), "")


def _public_reason(group: BaseExceptionGroup[MediaError]) -> str:
    error = next(iter(leaf_exceptions(group)))
    is_voice = isinstance(error, MediaError) and error.code is FaultCode.ENGINE_VOICE_UNAVAILABLE
    return str(error)[:_LONGEST_REASON] if is_voice else _INTERNAL


def _close_reason(group: BaseExceptionGroup[WireError]) -> tuple[int, str]:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, WireError)
    return error.code, error.reason
