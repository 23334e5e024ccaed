"""One signalling socket, which answers in the kind of frame that the client sent last."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic

from aiohttp import WSMsgType, web
from aiohttp.http_websocket import WSCloseCode
from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import SignalRequest, SignalResponse
from loguru import logger

from mediaserver.livekit.protocol.signal_codec import MAX_MESSAGE, parse_request, render_response
from mediaserver.livekit.protocol.token_bucket import TokenBucket
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.livekit.room.room import leave_response
from mediaserver.livekit.room.signal_requests import refuse
from pipeline.errors import ProtocolError

MAX_QUEUED, MAX_QUEUED_BYTES = 5_000, 16_000_000
"""Messages, and bytes of them, in the send queue; a client that exceeds it is disconnected."""

MAX_BAD_MESSAGES = 20
MAX_REFUSED = 5_000
"""Consecutive messages over the rate limit that end a socket; a connection begins with some 60."""

RATE, BURST = 100.0, 1_000.0
"""The rate limit: messages a second, and at once; each 1,024 bytes of a message count as one more."""

HandleRequest = Callable[[SignalRequest], Awaitable[None]]
"""Handles a message; raises `ProtocolError` for a malformed one."""


class _SocketClosed(Exception):
    """Ends the socket's task group."""


class SignalSocket:
    """Reads requests and writes queued responses, from `prepare` to the end of `run`."""

    def __init__(self, limits: RoomLimits, count_bad_message: Callable[[], bool]):
        """`count_bad_message` is false if the client's address has sent too many."""
        self._limits = limits
        self._count_bad_message = count_bad_message
        self._ws = web.WebSocketResponse(timeout=2.0, compress=False, max_msg_size=MAX_MESSAGE)
        self._queue: deque[SignalResponse] = deque()
        self._queued_bytes = 0
        self._wakeup = asyncio.Event()
        self._is_text = False
        self._rate_limit = TokenBucket(rate=RATE, burst=BURST)
        self._bad_messages = 0
        self._closed = asyncio.Event()
        self._close_reason = ("the client left", int(WSCloseCode.OK))

    async def prepare(self, request: web.Request) -> None:
        """Complete the WebSocket handshake."""
        await self._ws.prepare(request)

    def put(self, response: SignalResponse) -> None:
        """Queue a message; close the socket if the queue is full."""
        if self._closed.is_set():
            return
        self._queued_bytes += response.ByteSize()
        if len(self._queue) >= MAX_QUEUED or self._queued_bytes > MAX_QUEUED_BYTES:
            self._queue.clear()
            self.close("what was sent is not being read", WSCloseCode.POLICY_VIOLATION)
            return
        self._queue.append(response)
        self._wakeup.set()

    def close(self, reason: str, code: int = WSCloseCode.OK) -> None:
        """Close the socket after the queued messages are sent."""
        if not self._closed.is_set():
            self._close_reason = (reason, int(code))
            self._closed.set()

    async def run(self, begin: Callable[[], Awaitable[HandleRequest]]) -> web.StreamResponse:
        """Serve until either side closes; the handler that `begin` returns gets the requests in order."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._until_closed(self._read(begin)))
                tasks.create_task(self._until_closed(self._write()))
                await self._closed.wait()
                raise _SocketClosed
        except* _SocketClosed:
            pass
        finally:
            self.close("failed", WSCloseCode.INTERNAL_ERROR)
            await self._flush_and_close()
            logger.info("signalling socket closed: {}", self._close_reason[0])
        return self._ws

    async def _until_closed(self, work: Awaitable[None]) -> None:
        try:
            await work
        except ConnectionError:
            self.close("the connection broke", WSCloseCode.ABNORMAL_CLOSURE)

    # Receiving.

    async def _read(self, begin: Callable[[], Awaitable[HandleRequest]]) -> None:
        handle = await begin()
        while True:
            try:
                message = await self._ws.receive(timeout=self._limits.silence)
            except TimeoutError:
                self.close("nothing heard any more", WSCloseCode.GOING_AWAY)
                return
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                self.close("the client left")
                return
            if not self._rate_limit.admit(monotonic(), 1 + len(message.data) // 1024):
                self._on_flood()
            else:
                await self._handle(message.data, handle)
            await asyncio.sleep(0)  # else a burst of received messages would block all other tasks

    async def _handle(self, frame: bytes | str, handle: HandleRequest) -> None:
        self._is_text = isinstance(frame, str)
        try:
            await handle(parse_request(frame))
        except ProtocolError as error:
            self.put(refuse("INVALID_REQUEST", error.message))
            self._bad_messages += 1
            if not self._count_bad_message() or self._bad_messages >= MAX_BAD_MESSAGES:
                self._disconnect_for_abuse("too many bad messages")
        else:
            self._bad_messages = 0

    def _on_flood(self) -> None:
        if self._rate_limit.should_report(monotonic()):
            self.put(refuse("LIMIT_EXCEEDED", f"at most {RATE:.0f} messages a second are taken; this one was not"))
        if self._rate_limit.refused >= MAX_REFUSED:
            self._disconnect_for_abuse("too many messages")

    def _disconnect_for_abuse(self, reason: str) -> None:
        self.put(leave_response(DisconnectReason.PARTICIPANT_REMOVED, "DISCONNECT"))
        self.close(reason, WSCloseCode.POLICY_VIOLATION)

    # Sending.

    async def _write(self) -> None:
        while True:
            while self._queue:
                try:
                    async with asyncio.timeout(self._limits.send):
                        await self._send_next()
                except TimeoutError:
                    self.close("what was sent is not being read", WSCloseCode.POLICY_VIOLATION)
                    return
            self._wakeup.clear()
            await self._wakeup.wait()

    async def _send_next(self) -> None:
        response = self._queue.popleft()
        self._queued_bytes -= response.ByteSize()
        frame = render_response(response, is_text=self._is_text)
        if isinstance(frame, str):
            await self._ws.send_str(frame)
        else:
            await self._ws.send_bytes(frame)

    async def _flush_and_close(self) -> None:
        try:
            async with asyncio.timeout(self._limits.flush):
                while self._queue:
                    await self._send_next()
        except (TimeoutError, ConnectionError):
            self._queue.clear()
        try:
            async with asyncio.timeout(self._limits.flush):
                await self._ws.close(code=self._close_reason[1], message=self._close_reason[0].encode())
        except TimeoutError:
            return
