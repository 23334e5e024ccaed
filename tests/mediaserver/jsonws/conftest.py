"""The JSON socket's server for the tests beside this file."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mediaserver.api.middleware import error_middleware
from mediaserver.jsonws.routes import JsonSocket
from tests.support.fake_conversation import Counter
from tests.support.jsonws_harness import QUICK, FakeSessionFactory, Names, Server
from tests.support.leak_check import nothing_left


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    rooms, limiter = FakeSessionFactory(), Counter()
    socket = JsonSocket(
        rooms,
        Names(),
        limiter,
        origin_is_allowed=lambda request: request.headers.get("Origin") != "https://evil.example",
        limits=QUICK,
    )
    app = web.Application(middlewares=[error_middleware])
    socket.add_routes(app)
    async with TestClient(TestServer(app)) as client:
        server = Server(client, socket, rooms, limiter)
        yield server
        await server.close()
    assert len(socket) == 0


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield
