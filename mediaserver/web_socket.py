"""A WebSocket that holds its clients to RFC 6455 where aiohttp does not."""

from typing import Any

from aiohttp import WebSocketError, WSCloseCode, WSMessage, WSMsgType, web
from aiohttp.http_websocket import WS_CLOSED_MESSAGE

_LONG, _LONGEST = 126, 127  # section 5.2: the length follows in 2 or in 8 bytes
_MASK_BYTES = 4


class StrictWebSocket(web.WebSocketResponse):
    """Closes with 1002 on a frame that is not masked, and with 1007 on text that is not UTF-8, decoded or not.

    aiohttp itself closes with 1002 on frames and close codes that do not exist.
    """

    async def receive(self, timeout: float | None = None) -> WSMessage:  # noqa: ASYNC109  # aiohttp's
        """Receive a message; one that breaks the protocol closes the socket."""
        message = await super().receive(timeout)
        # With `decode_text` off aiohttp does not look at it (section 8.1).
        if message.type is WSMsgType.TEXT and isinstance(message.data, bytes) and not _is_utf8(message.data):
            await self.close(code=WSCloseCode.INVALID_TEXT, message=b"text that is not UTF-8")
            return WS_CLOSED_MESSAGE
        return message

    def _post_start(self, request: web.BaseRequest, protocol: Any, writer: Any) -> None:
        http: Any = request.protocol
        # web_protocol.py:428: what came with the handshake would be parsed at once, unchecked.
        early, http._message_tail = http._message_tail, b""
        super()._post_start(request, protocol, writer)
        http._payload_parser = check = _MaskCheck(http._payload_parser, self._reader)
        if early:
            check.feed_data(early)


class _MaskCheck:
    """Walks over the headers of received frames in front of aiohttp's parser, whose errors go to `queue`."""

    def __init__(self, parser: Any, queue: Any):
        self._parser = parser
        self._queue = queue
        self._header = b""  # the beginning of a header that is not complete
        self._left = 0  # bytes of the frame that follow
        self._is_failed = False

    def feed_eof(self) -> None:
        """Pass on the end of the stream."""
        self._parser.feed_eof()

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Pass on received bytes, up to a frame that is not masked (section 5.1)."""
        if self._is_failed:
            return True, b""
        good = self._count_masked(data)
        end, rest = self._parser.feed_data(data[:good] if good < len(data) else data)
        if good < len(data):
            self._is_failed = True
            self._queue.set_exception(WebSocketError(WSCloseCode.PROTOCOL_ERROR, "A client masks its frames."))
        return bool(end), rest

    def _count_masked(self, data: bytes) -> int:
        """Count the bytes before the first frame that is not masked; all if there is none."""
        at = begin = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left, at = self._left - step, at + step
                continue
            begin = begin if self._header else at
            self._header += data[at : at + 1]
            at += 1
            if len(self._header) < 2:
                continue
            if not self._header[1] & 0x80:
                return begin
            length = self._header[1] & 0x7F
            more = 2 if length == _LONG else 8 if length == _LONGEST else 0
            if len(self._header) == 2 + more:
                self._left = _MASK_BYTES + (int.from_bytes(self._header[2:]) if more else length)
                self._header = b""
        return len(data)


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
