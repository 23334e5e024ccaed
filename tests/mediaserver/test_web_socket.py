"""WebSocket clients that break RFC 6455, on raw sockets."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from mediaserver.web_socket import StrictWebSocket

TEXT, CLOSE = 0x81, 0x88
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def frame(kind: int, payload: bytes, *, is_masked: bool = True) -> bytes:
    size = len(payload)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size)
    if is_masked:
        return bytes([kind, length[0] | 0x80]) + length[1:] + bytes(4) + payload
    return bytes([kind]) + length + payload


@asynccontextmanager
async def talking(
    *, decode_text: bool, early: bytes = b""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client of a socket that repeats what it is told."""

    async def serve(request: web.Request) -> web.StreamResponse:
        socket = StrictWebSocket(timeout=0.1, compress=False, decode_text=decode_text)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data if decode_text else message.data.decode())
        return socket

    app = web.Application()
    app.router.add_get("/", serve)
    async with TestServer(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HANDSHAKE + early)
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        yield reader, writer
        writer.close()


async def heard(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame: its first byte and its payload."""
    first, length = await reader.readexactly(2)
    size = length if length < 126 else struct.unpack("!H", await reader.readexactly(2))[0]
    return first, await reader.readexactly(size)


@pytest.mark.parametrize("decode_text", [True, False])
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"hello", is_masked=False), 1002),
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, "ü".encode()[:1]), 1007),
        (frame(CLOSE, struct.pack("!H", 1005)), 1002),
        (frame(CLOSE, struct.pack("!H", 999)), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(0x83, b""), 1002),
    ],
)
async def test_what_breaks_the_protocol_closes_the_socket_with_its_code(
    decode_text: bool, sent: bytes, code: int
) -> None:
    async with talking(decode_text=decode_text) as (reader, writer):
        writer.write(frame(TEXT, b"before") + sent)
        assert await heard(reader) == (TEXT, b"before")
        kind, payload = await heard(reader)
        assert (kind, struct.unpack("!H", payload[:2])[0]) == (CLOSE, code)


@pytest.mark.parametrize("decode_text", [True, False])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 40_000])
async def test_masked_frames_of_any_length_pass_in_pieces_of_any_size(decode_text: bool, size: int) -> None:
    text = b"x" * size
    async with talking(decode_text=decode_text, early=frame(TEXT, b"with the handshake")) as (reader, writer):
        assert await heard(reader) == (TEXT, b"with the handshake")
        sent = frame(TEXT, text) + frame(TEXT, "grün".encode())
        for at in range(0, min(20, len(sent))):
            writer.write(sent[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(sent[20:])
        assert await heard(reader) == (TEXT, text)
        assert await heard(reader) == (TEXT, "grün".encode())
