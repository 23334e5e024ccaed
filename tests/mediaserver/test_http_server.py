"""Connections are bounded before anything is read from them, and bodies are never inflated."""

import asyncio
import gzip
import resource
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import ClientSession, web
from loguru import logger

from mediaserver.api.middleware import error_middleware
from mediaserver.http_server import (
    AcceptFailures,
    BoundedRunner,
    ConnectionLimits,
    Listener,
    raise_descriptor_limit,
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Everything that is logged, each line with level, fields and traceback."""
    found: list[str] = []
    logger.configure(patcher=lambda _: None)  # an earlier test may have configured the server's logs
    sink = logger.add(lambda line: found.append(str(line)), format="{level} {message} {extra}{exception}", level="INFO")
    yield found
    logger.remove(sink)


@asynccontextmanager
async def listening(**limits: Any) -> AsyncIterator[int]:
    """Serve `POST /echo` within these limits; yields the port."""
    app = web.Application(middlewares=[error_middleware])
    app.router.add_post("/echo", echo)
    runner = BoundedRunner(app, ConnectionLimits(**limits), shutdown_timeout=0.1)
    await runner.setup()
    listener = await Listener.bind("127.0.0.1", 0, None)
    try:
        await listener.serve(runner)
        yield listener.port
    finally:
        listener.close()
        await runner.cleanup()


async def connect(port: int) -> Streams:
    return await asyncio.open_connection("127.0.0.1", port)


async def is_closed(streams: Streams) -> bool:
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            return await streams[0].read() == b""
    return True


async def is_answered(streams: Streams) -> bool:
    reader, writer = streams
    writer.write(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
    with suppress(ConnectionError):
        async with asyncio.timeout(10):
            return (await reader.readline()).startswith(b"HTTP/1.1 200")
    return False


@pytest.mark.parametrize("said", [b"", b"POST /echo HTTP/1.1\r\nHost: h\r\n"])
async def test_a_connection_without_a_whole_request_is_closed(said: bytes) -> None:
    async with listening(first_request=0.05) as port:
        streams = await connect(port)
        streams[1].write(said)
        assert await is_closed(streams)
        streams[1].close()


async def test_a_connection_that_was_used_outlives_the_deadline_of_the_first_request() -> None:
    async with listening(first_request=0.05) as port:
        streams, silent = await connect(port), await connect(port)
        assert await is_answered(streams)
        assert await is_closed(silent)  # so the deadline of both is over
        await streams[0].readuntil(b"hi")
        assert await is_answered(streams)
        for _, writer in (streams, silent):
            writer.close()


@pytest.mark.parametrize("limits", [{"total": 3}, {"per_address": 3}])
async def test_connections_beyond_the_limit_are_closed_and_the_place_of_one_that_left_is_free(
    limits: dict[str, int],
) -> None:
    async with listening(**limits) as port:
        taken = [await connect(port) for _ in range(3)]
        assert [await is_answered(streams) for streams in taken] == [True] * 3
        refused = await connect(port)
        assert await is_closed(refused)
        taken[0][1].close()
        async with asyncio.timeout(10):
            while not await is_answered(again := await connect(port)):
                again[1].close()
        for _, writer in (*taken[1:], refused, again):
            writer.close()


@pytest.mark.parametrize("path", ["/echo", "/nothing/here"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP", "gzip, gzip", "made-up"])
async def test_a_compressed_body_is_refused_and_never_inflated(
    path: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("inflated")

    body = gzip.compress(bytes(1 << 20))
    async with listening() as port, ClientSession() as client:
        monkeypatch.setattr(zlib, "decompressobj", refuse)
        headers = {"Content-Encoding": encoding}
        async with client.post(f"http://127.0.0.1:{port}{path}", data=body, headers=headers) as answer:
            assert answer.status == 415
            assert (await answer.json())["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"
            assert answer.headers["Accept-Encoding"] == "identity"


async def test_an_address_is_taken_before_it_is_served() -> None:
    async with listening() as port:
        with pytest.raises(OSError, match="in use"):
            await Listener.bind("127.0.0.1", port, None)
    listener = await Listener.bind("127.0.0.1", 0, None)
    with pytest.raises(ConnectionRefusedError):
        await connect(listener.port)
    listener.close()


async def test_a_body_that_is_said_to_be_as_it_is_is_taken() -> None:
    async with listening() as port, ClientSession() as client:
        headers = {"Content-Encoding": "identity"}
        async with client.post(f"http://127.0.0.1:{port}/echo", data=b"hello", headers=headers) as answer:
            assert (answer.status, await answer.read()) == (200, b"hello")


def test_the_descriptor_limit_is_raised_and_never_lowered() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        raised = raise_descriptor_limit()
        assert raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 256
        assert raise_descriptor_limit() == raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_failed_accepts_are_logged_once_a_second_and_other_faults_as_ever(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("mediaserver.http_server.logger.error", lambda text, **_: lines.append(text))
    handler = AcceptFailures()
    loop = asyncio.get_running_loop()
    for _ in range(500):
        handler(loop, {"message": "socket.accept() out of system resource", "exception": OSError(24, "too many")})
    assert len(lines) == 1
    handler(loop, {"message": "something else"})
    assert "something else" in caplog.text


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", "BadHttpMethod"),
        (b"GET /?access_token=hunter2\x01 HTTP/1.1\r\nHost: h\r\n\r\n", "InvalidURLError"),
        (b"GET / HTTP/9\r\n\r\n", "BadStatusLine"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", "LineTooLong"),
        (b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", "BadHttpMessage"),
        (b"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n", "BadHttpMessage"),
    ],
)
async def test_a_malformed_request_is_one_line_without_traceback_or_content(
    said: bytes, reason: str, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    async with listening() as port:
        reader, writer = await connect(port)
        writer.write(said)
        async with asyncio.timeout(10):
            answer = (await reader.read()).decode()
        writer.close()
    assert lines == [f"INFO malformed request {{'address': '127.0.0.1', 'reason': '{reason}'}}\n"]
    assert not caplog.records
    assert answer.startswith("HTTP/1.0 400 ")
    assert "\r\nServer: Mediaserver\r\n" in answer
    assert "hunter2" not in answer


@pytest.mark.parametrize("header", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_a_client_that_leaves_within_its_body_is_no_error_of_the_server(header: bytes, lines: list[str]) -> None:
    async with listening() as port:
        _, writer = await connect(port)
        writer.write(b"POST /echo HTTP/1.1\r\nHost: h\r\n" + header + b"\r\n\r\n")
        await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(10):
            while not lines:
                await asyncio.sleep(0.01)
    assert [line.partition(" {")[0] for line in lines] == ["INFO http"]
    assert "'status': 400" in lines[0]
    assert "'address': '127.0.0.1'" in lines[0]
