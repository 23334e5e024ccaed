"""The JSON socket's server for the tests beside this file."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mediaserver.api.middleware import error_middleware
from mediaserver.jsonws.routes import JsonSocket
from tests.support.fake_conversation import Counter
from tests.support.jsonws_harness import QUICK, FakeSessionFactory, FakeVerifier, Server
from tests.support.leak_check import nothing_left


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    session_factory, verifier, limiter = FakeSessionFactory(), FakeVerifier(), Counter()
    socket = JsonSocket(
        session_factory,
        verifier,
        limiter,
        origin_is_allowed=lambda request: request.headers.get("Origin") != "https://evil.example",
        limits=QUICK,
    )
    app = web.Application(middlewares=[error_middleware])
    socket.add_routes(app)
    async with TestClient(TestServer(app)) as client:
        server = Server(client, socket, session_factory, limiter, verifier)
        yield server
        await server.close()
    assert len(socket) == 0


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield
