"""The rule that a test leaves nothing behind."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aioice.ice
import pytest


@asynccontextmanager
async def nothing_left(within: float = 3.0) -> AsyncIterator[None]:
    """Fail if what ran inside leaves a task for longer than `within`, or an exception that nobody took."""
    loop = asyncio.get_running_loop()
    untaken: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: untaken.append(context))
    before = asyncio.all_tasks()
    yield
    end = loop.time() + within
    while (left := asyncio.all_tasks() - before - {asyncio.current_task()}) and loop.time() < end:
        await asyncio.sleep(0.01)
    gc.collect()  # what is left unclosed warns, which is an error here; so does a task's untaken exception
    await asyncio.sleep(0)
    assert not left
    assert not untaken


@pytest.fixture(autouse=True)
async def no_rtc_leak() -> AsyncIterator[None]:
    """Fail if a test leaves a task, decoder thread, socket or exception behind (for each folder that imports it)."""
    vars(aioice.ice._mdns).clear()  # holds a lock for the process, which belongs to the loop of an earlier test
    async with nothing_left():
        yield
    assert not [thread for thread in threading.enumerate() if "decoder" in thread.name]
