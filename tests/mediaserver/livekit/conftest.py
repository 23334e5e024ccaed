"""LiveKit's server for the tests beside this file."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from tests.mediaserver.livekit.livekit_room import Server, serving


@pytest.fixture
async def server(nothing_is_left: None) -> AsyncIterator[Server]:
    async with serving() as server:
        yield server


@pytest.fixture
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
    gc.collect(1)  # what a test has left is young
    await asyncio.sleep(0)
    assert not left
    assert not untaken
