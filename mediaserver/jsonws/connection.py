"""The connection of one JSON WebSocket: reads and writes in order, and closes with a reason."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from aiohttp import WSMessage, WSMsgType, web
from aiohttp.http_websocket import WSCloseCode
from loguru import logger

from mediaserver.auth.users import User
from mediaserver.bad_messages import BadMessageBudget
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
from mediaserver.jsonws.message_budget import Account, MessageBudget
from mediaserver.jsonws.read_gate import ReadGate
from mediaserver.jsonws.send_queue import SendQueue
from mediaserver.jsonws.session import Session
from mediaserver.messages.fields import MAX_BAD_MESSAGES, MAX_FIRST_MESSAGE_BYTES, MAX_MESSAGE_BYTES
from pipeline.errors import AudioError, FaultCode, MediaError, ProtocolError, Severity
from pipeline.events import EndReason, fault_from

_MAX_FRAME_BYTES = MAX_MESSAGE_BYTES + (4 << 20)  # a message a little too long is answered before the socket closes
_MAX_INLINE_PARSE = 1 << 18  # bytes; a longer one takes milliseconds
_KERNEL_BUFFER_BYTES = 1 << 18  # speech that waits here cannot be dropped on an interruption

_CLOSE_CODES = {
    EndReason.IDLE: WSCloseCode.OK,
    EndReason.LIMIT: WSCloseCode.OK,
    EndReason.SHUTDOWN: WSCloseCode.GOING_AWAY,
    EndReason.ERROR: WSCloseCode.INTERNAL_ERROR,
}


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Timeouts of a socket, in seconds."""

    start: float = 60.0
    """Time without a session, at the start and after one has ended."""
    send: float = 10.0
    """Time that the client may take to read one message."""
    ping_interval: float = 10.0
    """Time between two pings."""
    silence: float = 25.0
    """Time without any frame from the client, pongs included."""
    flush: float = 3.0
    """Time for the queued messages to be sent before the close."""


@dataclass(frozen=True, slots=True)
class SharedBounds:
    """The bounds that all sockets of the server share."""

    bad_messages: BadMessageBudget = field(default_factory=BadMessageBudget)
    long_messages: MessageBudget = field(default_factory=MessageBudget)
    parser_slot: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """Parsing holds the interpreter: more threads would only hold more messages in memory."""


class _ConnectionClosed(Exception):
    """Leaves the connection's task group."""


class SessionRefused(Exception):
    """No session was started: the error to report, and the close code if it is fatal."""

    def __init__(self, error: MediaError, close_code: int = WSCloseCode.POLICY_VIOLATION):
        super().__init__(error.message)
        self.error = error
        self.close_code = close_code


OpenSession = Callable[["Connection", StartSession, SendQueue, MediaFeedback], Awaitable[Session]]
"""Starts or rejoins a session, or raises `SessionRefused`."""


class Connection:
    """Serves one WebSocket from the handshake to the close."""

    def __init__(
        self,
        user: User | None,
        address: str,
        open_session: OpenSession,
        limits: SocketLimits,
        bounds: SharedBounds,
    ):
        self.user = user
        """The user of the handshake's token; None without one."""
        self.address = address
        """The client's IP address."""
        self.sessions = 0
        """Number of sessions started on this socket."""
        self._open_session = open_session
        self._limits = limits
        self._bounds = bounds
        self._account: Account | None = None
        # No compression: a small frame could inflate to a huge one, and base64 of media hardly shrinks.
        self._ws = web.WebSocketResponse(
            timeout=2.0, autoping=False, compress=False, max_msg_size=_MAX_FRAME_BYTES, decode_text=False
        )
        self._send_queue = SendQueue()
        self._feedback = MediaFeedback(self._record_good_message, self._report_bad_message)
        self._session: Session | None = None
        self._ended_session: Session | None = None
        self._gate: ReadGate | None = None
        self._idle_since = time.monotonic()
        self._bad_messages = 0
        self._closed = asyncio.Event()
        self._close_reason = ("the client left", int(WSCloseCode.OK))

    async def run(self, request: web.Request) -> web.StreamResponse:
        """Serve the client until the socket closes."""
        await self._ws.prepare(request)
        _bound_kernel_buffer(request)
        if request.transport is not None:
            self._gate = ReadGate(
                request.transport, limit=MAX_FIRST_MESSAGE_BYTES, on_exceeded=self._refuse_long_message
            )
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                tasks.create_task(self._close_on_disconnect(self._read()))
                tasks.create_task(self._close_on_disconnect(self._write()))
                tasks.create_task(self._close_on_disconnect(self._ping()))
                await self._closed.wait()
                raise _ConnectionClosed
        except* _ConnectionClosed:
            pass
        finally:
            self.close("failed", WSCloseCode.INTERNAL_ERROR)
            if self._session is not None:
                self._session.close()
            await self._close_socket(request)
            logger.info("socket closed: {}", self._close_reason[0])
        return self._ws

    def close(self, why: str, code: int) -> None:
        """Send the queued messages and close; later calls do nothing."""
        if not self._closed.is_set():
            self._close_reason = (why, int(code))
            self._closed.set()

    # In.

    async def _close_on_disconnect(self, work: Awaitable[None]) -> None:
        try:
            await work
        except ConnectionError:
            self.close("the connection broke", WSCloseCode.ABNORMAL_CLOSURE)

    async def _read(self) -> None:
        while True:
            timeout = self._receive_timeout()
            if timeout <= 0:
                self.close("no session was started", WSCloseCode.POLICY_VIOLATION)
                return
            try:
                async with asyncio.timeout(timeout):
                    message, charged = await self._receive()
            except TimeoutError:
                if timeout == self._limits.silence:
                    self.close("the client was silent for too long", WSCloseCode.GOING_AWAY)
                    return
                continue
            match message.type:
                case WSMsgType.TEXT:
                    await self._on_message(message.data, charged)
                    await asyncio.sleep(0)  # a backlog of messages must not starve the other connections
                case WSMsgType.PING:
                    await self._ws.pong(message.data)
                case WSMsgType.PONG:
                    pass
                case WSMsgType.BINARY:
                    self._report_bad_message(ProtocolError("Send text frames; media goes into them as base64."))
                case _:
                    self.close("the client left", WSCloseCode.OK)
                    return
            del message  # it may have 12 MB, and the next one may be long in coming

    async def _receive(self) -> tuple[WSMessage, int]:
        """Return the next message, and how many of its bytes the account holds."""
        if self._gate is None:
            return await self._ws.receive(), 0
        message = await self._gate.receive(self._ws.receive())
        return message, self._gate.take(len(message.data)) if isinstance(message.data, bytes) else 0

    def _receive_timeout(self) -> float:
        """Seconds that the next frame of the client may take."""
        if self._session is not None:
            return self._limits.silence
        return min(self._limits.silence, self._idle_since + self._limits.start - time.monotonic())

    async def _on_message(self, data: bytes, charged: int) -> None:
        if not self.sessions and len(data) > MAX_FIRST_MESSAGE_BYTES:
            self._refuse_long_message()
            return
        with ExitStack() as memory:
            if self._account is not None:
                memory.callback(self._account.give_back, charged)
            try:
                envelope = await self._parse(data)
                await self._execute(envelope, memory)
            except BadMessage as error:
                self._report_bad_message(error, error.session)
            except SessionRefused as refusal:
                self._report_bad_message(refusal.error, envelope.session)
                if refusal.error.severity is Severity.FATAL:
                    self.close(refusal.error.code.value, refusal.close_code)

    async def _parse(self, data: bytes) -> Envelope:
        if len(data) < _MAX_INLINE_PARSE:
            return parse(data)
        async with self._bounds.parser_slot:
            return await asyncio.to_thread(parse, data)

    async def _execute(self, envelope: Envelope, memory: ExitStack) -> None:
        session, message = self._session, envelope.message
        if isinstance(message, StartSession):
            if session is not None:
                error = ProtocolError("This socket has a session already; end it first.", code=FaultCode.SESSION_EXISTS)
                raise SessionRefused(error)
            await self._start(message)
        elif session is not None and session.is_addressed_by(envelope.session):
            if not isinstance(message, AudioInput | ScreenFrameInput):  # media counts when it is decoded
                self._record_good_message()
            if isinstance(message, ScreenFrameInput):
                session.show(message.data, memory.pop_all().close)
            else:
                await session.on_message(message)
        else:
            error = ProtocolError("There is no such session on this socket.", code=FaultCode.SESSION_NOT_FOUND)
            if (
                session is None
                and self._ended_session is not None
                and self._ended_session.is_addressed_by(envelope.session)
            ):
                self._send_error(error, envelope.session)  # sent before the client knew of the end
            else:
                raise SessionRefused(error)

    async def _start(self, message: StartSession) -> None:
        self._session = await self._open_session(self, message, self._send_queue, self._feedback)
        self.sessions += 1
        if self._gate is not None and self._account is None:
            budget = self._bounds.long_messages
            self._account = budget.open_account(self._session.counted_as, self._gate.retry)
            self._gate.open(self._account)
        self._record_good_message()
        self._tasks.create_task(self._session.run())

    def on_session_closed(self, session: Session) -> None:
        """Release the session; close the socket if the reason asks for it."""
        self._session, self._ended_session, self._idle_since = None, session, time.monotonic()
        reason = session.end_reason
        if reason is not None and reason in _CLOSE_CODES:
            self.close(f"session ended: {reason.value}", _CLOSE_CODES[reason])

    def on_slow_consumer(self) -> None:
        """Report SLOW_CONSUMER and close: the client does not read."""
        self._send_queue.clear()
        error = MediaError(FaultCode.SLOW_CONSUMER, "What was sent is not being read.", where="jsonws")
        self._send_error(error, None)
        self.close(FaultCode.SLOW_CONSUMER.value, WSCloseCode.POLICY_VIOLATION)

    def _refuse_long_message(self) -> None:
        if not self._closed.is_set():
            message = f"Before a session is started a message may have {MAX_FIRST_MESSAGE_BYTES} bytes."
            self._send_error(ProtocolError(message, code=FaultCode.PAYLOAD_TOO_LARGE), None)
            self.close(FaultCode.PAYLOAD_TOO_LARGE.value, WSCloseCode.MESSAGE_TOO_BIG)

    def _record_good_message(self) -> None:
        self._bad_messages = 0

    def _report_bad_message(self, error: MediaError, label: str | None = None) -> None:
        self._bad_messages += 1
        is_within_budget = self._bounds.bad_messages.spend(self.address)
        if not isinstance(error, AudioError):  # the conversation reports those to every peer
            self._send_error(error, label)
        if self._bad_messages >= MAX_BAD_MESSAGES or not is_within_budget:
            self.close("too many bad messages", WSCloseCode.POLICY_VIOLATION)

    def _send_error(self, error: MediaError, label: str | None) -> None:
        session = self._session or self._ended_session
        body = render(fault_from(error), session.peer.label if session is not None else label or "")
        if body is not None and not self._send_queue.put(encode(body)):
            self.on_slow_consumer()

    # Out.

    async def _write(self) -> None:
        while True:
            text = await self._send_queue.get()
            try:
                async with asyncio.timeout(self._limits.send):
                    await self._ws.send_str(text)
            except TimeoutError:
                self.on_slow_consumer()
                return

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._limits.ping_interval)
            await self._ws.ping()

    async def _close_socket(self, request: web.Request) -> None:
        transport = request.transport
        if self._gate is not None:
            self._gate.close()
        if self._account is not None:
            self._account.close()
        try:
            async with asyncio.timeout(self._limits.flush):
                while (text := self._send_queue.pop()) is not None:
                    await self._ws.send_str(text)
        except (TimeoutError, ConnectionError):
            self._send_queue.clear()
        try:
            async with asyncio.timeout(self._limits.flush):
                await self._ws.close(code=self._close_reason[1], message=self._close_reason[0].encode())
        except TimeoutError:
            pass
        if transport is not None and transport.get_write_buffer_size():
            transport.abort()  # else it waits for the client without limit


def _bound_kernel_buffer(request: web.Request) -> None:
    connection = request.transport.get_extra_info("socket") if request.transport is not None else None
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BUFFER_BYTES)
