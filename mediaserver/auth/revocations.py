"""The revocation list: in memory for every check, kept up to date from the store."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Self

from loguru import logger

from mediaserver.store.interface import Store, StoreError
from mediaserver.store.revocations import REVOKED_FOR

PERIOD = 2.0
"""Seconds after which a revocation by another process, such as `user delete`, is known here."""

OVERLAP = timedelta(minutes=2)
"""The time that two reads have in common: a transaction may commit later than its own timestamp says."""


class Revocations:
    """The ids of users, logins and LiveKit tokens that are refused, each for as long as a token could live."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._until: dict[str, float] = {}

    def __contains__(self, revoked: object) -> bool:
        return revoked in self._until

    def __len__(self) -> int:
        return len(self._until)

    def add(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Refuse these ids from now on; returns those that were not refused before."""
        now = self._clock()
        # In the order of their expiry, because each is kept for the same time and none is moved.
        for known, _ in list(takewhile(lambda item: item[1] <= now, self._until.items())):
            del self._until[known]
        new = tuple(dict.fromkeys(revoked for revoked in ids if revoked not in self._until))
        self._until.update(dict.fromkeys(new, now + REVOKED_FOR.total_seconds()))
        return new


class RevocationReader:
    """Reads revocations from the store at its start and then every 2 s, as an async context manager that owns its task.

    `on_revoked` is awaited with each id that another process has revoked, and raises nothing. The start raises
    `StoreError`; later failures are logged, and the next read catches up.
    """

    def __init__(
        self,
        store: Store,
        revocations: Revocations,
        *,
        on_revoked: Callable[[str], Awaitable[None]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self._store = store
        self._revocations = revocations
        self._on_revoked = on_revoked
        self._clock = clock
        self._sleep = sleep
        self._read_at = clock() - REVOKED_FOR
        self._is_failing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._read()
        self._task = asyncio.create_task(self._run(), name="revocations")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await self._sleep(PERIOD)
            try:
                for revoked in await self._read():
                    await self._on_revoked(revoked)
            except StoreError as error:
                if not self._is_failing:
                    logger.error("revocations cannot be read", reason=str(error))
                self._is_failing = True
                continue
            self._is_failing = False

    async def _read(self) -> tuple[str, ...]:
        now = self._clock()
        # The earlier of the two: the clock may have been set back since the last read.
        found = await self._store.revoked_since(min(self._read_at, now) - OVERLAP)
        self._read_at = now
        return self._revocations.add(found)
