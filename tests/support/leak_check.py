"""The rule that a test leaves nothing behind."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


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
