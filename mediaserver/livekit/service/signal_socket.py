"""One signalling socket: read in order, written in order, answered in the kind of frame that was sent last."""

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
from mediaserver.livekit.room.limits import Limits
from mediaserver.livekit.room.room import leave_response
from mediaserver.livekit.room.signal_requests import refuse
from pipeline.errors import ProtocolError

MAX_WAITING, MAX_WAITING_BYTES = 5_000, 16_000_000
"""Messages, and bytes of them, that may wait for a client to read."""

MAX_BAD_MESSAGES = 20
MAX_REFUSED = 5_000
"""Messages over budget in a row that end a socket; a connection begins with some 60."""

RATE, BURST = 100.0, 1_000.0
"""Messages a second, and at once."""

Take = Callable[[SignalRequest], Awaitable[None]]
"""Takes a message; raises `ProtocolError` for one that is malformed."""


class _Over(Exception):
    """Leaves the socket's task group."""


class SignalSocket:
    """Lives from `prepare` to the end of `run`."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._ws = web.WebSocketResponse(timeout=2.0, compress=False, max_msg_size=MAX_MESSAGE)
        self._waiting: deque[SignalResponse] = deque()
        self._waiting_bytes = 0
        self._news = asyncio.Event()
        self._is_text = False
        self._budget = TokenBucket(rate=RATE, burst=BURST)
        self._bad = 0
        self._over = asyncio.Event()
        self._end_of = ("the client left", int(WSCloseCode.OK))

    async def prepare(self, request: web.Request) -> None:
        """Shake hands."""
        await self._ws.prepare(request)

    def put(self, response: SignalResponse) -> None:
        """Queue a message; a client that does not read is left."""
        if self._over.is_set():
            return
        self._waiting_bytes += response.ByteSize()
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            self._waiting.clear()
            self.close("what was sent is not being read", WSCloseCode.POLICY_VIOLATION)
            return
        self._waiting.append(response)
        self._news.set()

    def close(self, why: str, code: int = WSCloseCode.OK) -> None:
        """Close, once what was put before has been sent."""
        if not self._over.is_set():
            self._end_of = (why, int(code))
            self._over.set()

    async def run(self, begin: Callable[[], Awaitable[Take]]) -> web.StreamResponse:
        """Serve until either side has had enough; what `begin` gives gets every request, one after another."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._until_over(self._read(begin)))
                tasks.create_task(self._until_over(self._write()))
                await self._over.wait()
                raise _Over
        except* _Over:
            pass
        finally:
            self.close("failed", WSCloseCode.INTERNAL_ERROR)
            await self._hang_up()
            logger.info("signalling socket closed: {}", self._end_of[0])
        return self._ws

    async def _until_over(self, work: Awaitable[None]) -> None:
        try:
            await work
        except ConnectionError:
            self.close("the connection broke", WSCloseCode.ABNORMAL_CLOSURE)

    # In.

    async def _read(self, begin: Callable[[], Awaitable[Take]]) -> None:
        take = await begin()
        while True:
            try:
                message = await self._ws.receive(timeout=self._limits.silence)
            except TimeoutError:
                self.close("nothing heard any more", WSCloseCode.GOING_AWAY)
                return
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                self.close("the client left")
                return
            if not self._budget.admit(monotonic()):
                self._on_flood()
            else:
                await self._take(message.data, take)
            await asyncio.sleep(0)  # many that are here already would keep all others waiting

    async def _take(self, frame: bytes | str, take: Take) -> None:
        self._is_text = isinstance(frame, str)
        try:
            await take(parse_request(frame))
        except ProtocolError as error:
            self.put(refuse("INVALID_REQUEST", error.message))
            self._bad += 1
            if self._bad >= MAX_BAD_MESSAGES:
                self._disconnect_for_abuse("too many bad messages")
        else:
            self._bad = 0

    def _on_flood(self) -> None:
        if self._budget.should_tell(monotonic()):
            self.put(refuse("LIMIT_EXCEEDED", f"at most {RATE:.0f} messages a second are taken; this one was not"))
        if self._budget.refused >= MAX_REFUSED:
            self._disconnect_for_abuse("too many messages")

    def _disconnect_for_abuse(self, why: str) -> None:
        self.put(leave_response(DisconnectReason.PARTICIPANT_REMOVED, "DISCONNECT"))
        self.close(why, WSCloseCode.POLICY_VIOLATION)

    # Out.

    async def _write(self) -> None:
        while True:
            while self._waiting:
                try:
                    async with asyncio.timeout(self._limits.send):
                        await self._send_next()
                except TimeoutError:
                    self.close("what was sent is not being read", WSCloseCode.POLICY_VIOLATION)
                    return
            self._news.clear()
            await self._news.wait()

    async def _send_next(self) -> None:
        response = self._waiting.popleft()
        self._waiting_bytes -= response.ByteSize()
        frame = render_response(response, is_text=self._is_text)
        if isinstance(frame, str):
            await self._ws.send_str(frame)
        else:
            await self._ws.send_bytes(frame)

    async def _hang_up(self) -> None:
        try:
            async with asyncio.timeout(self._limits.flush):
                while self._waiting:
                    await self._send_next()
        except (TimeoutError, ConnectionError):
            self._waiting.clear()
        try:
            async with asyncio.timeout(self._limits.flush):
                await self._ws.close(code=self._end_of[1], message=self._end_of[0].encode())
        except TimeoutError:
            return
