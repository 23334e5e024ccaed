"""One JSON socket: read in order, written in order, closed with a reason."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import WSMsgType, web
from aiohttp.http_websocket import WSCloseCode
from loguru import logger

from mediaserver.auth.users import User
from mediaserver.event_codec import render
from mediaserver.jsonws.codec import (
    AudioInput,
    BadMessage,
    Envelope,
    ScreenFrameInput,
    StartSession,
    encode,
    parse,
)
from mediaserver.jsonws.media_input import MediaFeedback
from mediaserver.jsonws.send_queue import SendQueue
from mediaserver.jsonws.session import Session
from mediaserver.messages.fields import MAX_BAD_MESSAGES, MAX_MESSAGE_BYTES
from pipeline.errors import AudioError, FaultCode, MediaError, ProtocolError, Severity
from pipeline.events import EndReason, fault_from

_LONGEST_FRAME = MAX_MESSAGE_BYTES + (4 << 20)  # so that one a little too long is answered, and not the end
_PARSED_INLINE = 1 << 18  # bytes; a longer one takes milliseconds
_KERNEL_BUFFER = 1 << 18  # bytes: what waits here cannot be taken back

_CLOSE_CODES = {
    EndReason.IDLE: WSCloseCode.OK,
    EndReason.LIMIT: WSCloseCode.OK,
    EndReason.SHUTDOWN: WSCloseCode.GOING_AWAY,
    EndReason.ERROR: WSCloseCode.INTERNAL_ERROR,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How long (s) a socket may do without what."""

    start: float = 60.0
    """A session, from the beginning and after one has ended."""
    send: float = 10.0
    """Having read one message of ours."""
    beat: float = 10.0
    """Our asking whether it is still there."""
    silence: float = 25.0
    """A sign of life."""
    flush: float = 3.0
    """Having read all that was said before the end."""


class _Over(Exception):
    """Leaves the connection's task group."""


class SessionRefused(Exception):
    """Why no session was started: a fault to tell, and the code to close with if it is fatal."""

    def __init__(self, error: MediaError, close_code: int = WSCloseCode.POLICY_VIOLATION):
        super().__init__(error.message)
        self.error = error
        self.close_code = close_code


Enter = Callable[["Connection", StartSession, SendQueue, MediaFeedback], Awaitable[Session]]
"""Starts or joins a session, or raises `Refusal`."""


class Connection:
    """Lives from the handshake to the close; `run` is all of it."""

    def __init__(self, user: User | None, enter: Enter, limits: Limits):
        self.user = user
        """Who the socket's own token stands for, if it came with one."""
        self.sessions = 0
        """How many were started here."""
        self._enter = enter
        self._limits = limits
        # Compressed, a small frame could become a large one; and base64 of media hardly shrinks.
        self._ws = web.WebSocketResponse(
            timeout=2.0, autoping=False, compress=False, max_msg_size=_LONGEST_FRAME, decode_text=False
        )
        self._outbox = SendQueue()
        self._verdict = MediaFeedback(self._on_good, self._on_bad)
        self._session: Session | None = None
        self._past: Session | None = None
        self._idle_since = time.monotonic()
        self._bad = 0
        self._over = asyncio.Event()
        self._end_of = ("the client left", int(WSCloseCode.OK))

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Serve one client."""
        await self._ws.prepare(request)
        _bound_kernel_buffer(request)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._until_over(self._read()))
                tasks.create_task(self._until_over(self._write()))
                tasks.create_task(self._until_over(self._ping()))
                await self._over.wait()
                raise _Over
        except* _Over:
            pass
        finally:
            self.close("failed", WSCloseCode.INTERNAL_ERROR)
            if self._session is not None:
                self._session.leave()
            await self._close_socket(request)
            logger.info("socket closed: {}", self._end_of[0])
        return self._ws

    def close(self, why: str, code: int) -> None:
        """Say what is still to be said, and close."""
        if not self._over.is_set():
            self._end_of = (why, int(code))
            self._over.set()

    # In.

    async def _until_over(self, work: Awaitable[None]) -> None:
        try:
            await work
        except ConnectionError:
            self.close("the connection broke", WSCloseCode.ABNORMAL_CLOSURE)

    async def _read(self) -> None:
        while True:
            patience = self._receive_timeout()
            if patience <= 0:
                self.close("no session was started", WSCloseCode.POLICY_VIOLATION)
                return
            try:
                message = await self._ws.receive(timeout=patience)
            except TimeoutError:
                if patience == self._limits.silence:
                    self.close("nothing heard any more", WSCloseCode.GOING_AWAY)
                    return
                continue
            match message.type:
                case WSMsgType.TEXT:
                    await self._on_message(message.data)
                    await asyncio.sleep(0)  # many that are here already would keep all others waiting
                case WSMsgType.PING:
                    await self._ws.pong(message.data)
                case WSMsgType.PONG:
                    pass
                case WSMsgType.BINARY:
                    self._on_bad(ProtocolError("Send text frames; media goes into them as base64."))
                case _:
                    self.close("the client left", WSCloseCode.OK)
                    return

    def _receive_timeout(self) -> float:
        """How long the client may be silent now."""
        if self._session is not None:
            return self._limits.silence
        return min(self._limits.silence, self._idle_since + self._limits.start - time.monotonic())

    async def _on_message(self, data: bytes) -> None:
        try:
            addressed = parse(data) if len(data) < _PARSED_INLINE else await asyncio.to_thread(parse, data)
            await self._execute(addressed)
        except BadMessage as error:
            self._on_bad(error, error.session)
        except SessionRefused as refusal:
            self._on_bad(refusal.error, addressed.session)
            if refusal.error.severity is Severity.FATAL:
                self.close(refusal.error.code.value, refusal.close_code)

    async def _execute(self, addressed: Envelope) -> None:
        session, message = self._session, addressed.message
        if isinstance(message, StartSession):
            if session is not None:
                error = ProtocolError("This socket has a session already; end it first.", code=FaultCode.SESSION_EXISTS)
                raise SessionRefused(error)
            await self._start(message)
        elif session is not None and session.is_named(addressed.session):
            if not isinstance(message, AudioInput | ScreenFrameInput):  # those are judged when they are decoded
                self._on_good()
            await session.on_message(message)
        else:
            error = ProtocolError("There is no such session on this socket.", code=FaultCode.SESSION_NOT_FOUND)
            if session is None and self._past is not None and self._past.is_named(addressed.session):
                self._send_event(error, addressed.session)  # it was on its way when the session ended
            else:
                raise SessionRefused(error)

    async def _start(self, message: StartSession) -> None:
        self._session = await self._enter(self, message, self._outbox, self._verdict)
        self.sessions += 1
        self._on_good()
        self._tasks.create_task(self._session.run())

    def on_session_over(self, session: Session) -> None:
        """The session has ended, or its client is leaving."""
        self._session, self._past, self._idle_since = None, session, time.monotonic()
        reason = session.end_reason
        if reason is not None and reason in _CLOSE_CODES:
            self.close(f"session ended: {reason.value}", _CLOSE_CODES[reason])

    def on_slow(self) -> None:
        """The client does not read: it is told, should it begin to, and left."""
        self._outbox.clear()
        error = MediaError(FaultCode.SLOW_CONSUMER, "What was sent is not being read.", where="jsonws")
        self._send_event(error, None)
        self.close(FaultCode.SLOW_CONSUMER.value, WSCloseCode.POLICY_VIOLATION)

    def _on_good(self) -> None:
        self._bad = 0

    def _on_bad(self, error: MediaError, label: str | None = None) -> None:
        self._bad += 1
        if not isinstance(error, AudioError):  # of which the conversation tells everyone
            self._send_event(error, label)
        if self._bad >= MAX_BAD_MESSAGES:
            self.close("too many bad messages", WSCloseCode.POLICY_VIOLATION)

    def _send_event(self, error: MediaError, label: str | None) -> None:
        session = self._session or self._past
        body = render(fault_from(error), session.peer.label if session is not None else label or "")
        if body is not None and not self._outbox.put(encode(body)):
            self.on_slow()

    # Out.

    async def _write(self) -> None:
        while True:
            text = await self._outbox.get()
            try:
                async with asyncio.timeout(self._limits.send):
                    await self._ws.send_str(text)
            except TimeoutError:
                self.on_slow()
                return

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._limits.beat)
            await self._ws.ping()

    async def _close_socket(self, request: web.Request) -> None:
        transport = request.transport
        try:
            async with asyncio.timeout(self._limits.flush):
                while (text := self._outbox.pop()) is not None:
                    await self._ws.send_str(text)
        except (TimeoutError, ConnectionError):
            self._outbox.clear()
        try:
            async with asyncio.timeout(self._limits.flush):
                await self._ws.close(code=self._end_of[1], message=self._end_of[0].encode())
        except TimeoutError:
            pass
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()  # it would wait for ever for the client to read


def _bound_kernel_buffer(request: web.Request) -> None:
    connection = request.transport.get_extra_info("socket") if request.transport is not None else None
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER)
