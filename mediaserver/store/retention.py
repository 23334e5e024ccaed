"""Deletes history after its retention time, at the start and then every hour."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Self

from mediaserver.store.interface import Store, StoreError

PERIOD = 3600.0


class Retention:
    """Deletes history older than `days`, as an async context manager that owns its task; 0 deletes all.

    A failure is passed to `on_failure`; the next hour tries again.
    """

    def __init__(
        self,
        store: Store,
        *,
        days: int,
        clock: Callable[[], datetime],
        on_failure: Callable[[StoreError], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self._store = store
        self._max_age = timedelta(days=days)
        self._clock = clock
        self._on_failure = on_failure
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Stop the task; idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="retention")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self) -> None:
        while True:
            try:
                await self._store.forget_before(self._clock() - self._max_age)
            except StoreError as error:
                self._on_failure(error)
            await self._sleep(PERIOD)
