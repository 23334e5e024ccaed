"""Deadlines for work that cannot be interrupted, such as a call of SQLite in its thread."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_late: set[asyncio.Task[Any]] = set()
"""Tasks that are past their deadline and cancelled, until they end; asyncio itself keeps no reference to a task."""


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`, or raise `TimeoutError` after `seconds` without waiting for it to end.

    `asyncio.timeout` waits for what it cancels: for SQLite behind a lock that is until the lock is given up.
    """
    task = asyncio.create_task(work)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(task)
    finally:
        if not task.done():
            task.cancel()
            _late.add(task)
            task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    _late.discard(task)
    if not task.cancelled():
        task.exception()  # read, or asyncio would report it; the caller has had its own error
