"""LiveKit's server for the tests beside this file."""

from collections.abc import AsyncIterator

import pytest

from tests.support.leak_check import nothing_left
from tests.support.livekit_harness import Server, serving


@pytest.fixture
async def server(nothing_is_left: None) -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


@pytest.fixture
async def nothing_is_left() -> AsyncIterator[None]:
    async with nothing_left():
        yield
