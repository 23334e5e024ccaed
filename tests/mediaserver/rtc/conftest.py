"""Every test here must leave nothing behind."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator

import aioice.ice
import pytest


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """No task, no decoder thread, no socket, and no exception that nobody took."""
    vars(aioice.ice._mdns).clear()  # holds a lock for the process, which belongs to the loop of an earlier test
    loop = asyncio.get_running_loop()
    untaken: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: untaken.append(context))
    before = asyncio.all_tasks()
    yield
    for _ in range(100):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0.01)
    gc.collect()  # an unclosed socket warns, which is an error here; so does a task's untaken exception
    await asyncio.sleep(0)
    assert not left
    assert not [thread for thread in threading.enumerate() if "decoder" in thread.name]
    assert not untaken
