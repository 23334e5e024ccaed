"""The JSON socket's server for the tests beside this file."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mediaserver.api.middleware import guard
from mediaserver.jsonws.socket import JsonSocket
from tests.mediaserver.jsonws.json_room import QUICK, Counter, Names, Rooms, Server


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    rooms, limiter = Rooms(), Counter()
    socket = JsonSocket(
        rooms,
        Names(),
        limiter,
        origin_is_allowed=lambda request: request.headers.get("Origin") != "https://evil.example",
        limits=QUICK,
    )
    app = web.Application(middlewares=[guard])
    socket.add_routes(app)
    async with TestClient(TestServer(app)) as client:
        server = Server(client, socket, rooms, limiter)
        yield server
        await server.close()
    assert len(socket) == 0


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """No task, and no exception that nobody took."""
    loop = asyncio.get_running_loop()
    untaken: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: untaken.append(context))
    before = asyncio.all_tasks()
    yield
    for _ in range(300):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0.01)
    gc.collect()
    await asyncio.sleep(0)
    assert not left
    assert not untaken
