"""Writes history to the store in batches, off the media path."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Self

from mediaserver.store.interface import Fact, RefusedError, Store, StoreError
from mediaserver.store.records import Entry, SessionRecord, TurnUsage

BATCH_WAIT = 0.5
"""Seconds a fact waits for its batch; a crash loses that and the time of a write at most."""
BATCH_SIZE = 200
"""Facts in one batch; as many are written without further wait."""
RETRY_DELAY = 1.0
"""Seconds between two attempts while the store is down."""
MAX_QUEUED_SIZE = 16 << 20
"""Characters (with FACT_OVERHEAD for each fact) that are queued while the store is down."""
FACT_OVERHEAD = 500

Key = tuple[str, ...] | tuple[str, int] | tuple[str, int, str]


class HistoryWriter:
    """Queues facts of every session and writes them, as an async context manager that owns its task.

    The queue is bounded: the oldest fact is dropped and counted, session records last, because the other facts need
    them. A fact replaces a queued one with the same key. `on_failure` is called once per outage.
    """

    def __init__(self, store: Store, *, on_failure: Callable[[StoreError], None]):
        self.dropped = 0
        """Facts lost: dropped from the full queue, refused by the store, or unwritten at the end."""
        self._store = store
        self._on_failure = on_failure
        self._records: OrderedDict[Key, Fact] = OrderedDict()
        self._facts: OrderedDict[Key, Fact] = OrderedDict()
        self._size = 0
        self._is_failing = False
        self._lock = asyncio.Lock()
        self._wakeup = asyncio.Event()
        self._batch_ready = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._is_failing

    @property
    def waiting(self) -> int:
        """Number of facts not yet written."""
        return len(self._records) + len(self._facts)

    def record(self, fact: Fact) -> None:
        """Queue a fact; never waits, never raises."""
        queue, key = self._queue_for(fact), _key(fact)
        if (replaced := queue.get(key)) is not None:
            self._size -= _size(replaced)
        queue[key] = fact
        self._size += _size(fact)
        while self._size > MAX_QUEUED_SIZE:
            self._drop_oldest()
        self._wakeup.set()
        if self.waiting >= BATCH_SIZE:
            self._batch_ready.set()

    async def flush(self) -> None:
        """Write all facts queued before this call; raises `StoreError`."""
        async with self._lock:
            facts = [*self._records.values(), *self._facts.values()]
            for start in range(0, len(facts), BATCH_SIZE):
                await self._write(facts[start : start + BATCH_SIZE])

    async def close(self) -> None:
        """Write the queued facts and stop the task; idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        self._closing.set()
        self._wakeup.set()
        self._batch_ready.set()
        await task
        try:
            await self.flush()
        except StoreError:  # already reported; there is no later attempt
            self.dropped += self.waiting

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="history writer")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self) -> None:
        while not self._closing.is_set():
            await self._wakeup.wait()
            await _wait_with_timeout(self._batch_ready, BATCH_WAIT)
            if self._closing.is_set():
                return  # `close` writes the rest
            try:
                await self.flush()
            except StoreError:
                await _wait_with_timeout(self._closing, RETRY_DELAY)

    async def _write(self, batch: Sequence[Fact]) -> None:
        try:
            await self._store.write(batch)
        except RefusedError as error:
            await self._write_singly(batch, error)
        except StoreError as error:
            self._fail(error)
            raise
        self._is_failing = False
        self._remove_written(batch)

    async def _write_singly(self, batch: Sequence[Fact], error: RefusedError) -> None:
        # A refused fact must not block the others.
        self._on_failure(error)
        for fact in batch:
            try:
                await self._store.write([fact])
            except RefusedError:
                self.dropped += 1
            except StoreError as failure:
                self._fail(failure)
                raise
            self._remove_written([fact])

    def _fail(self, error: StoreError) -> None:
        if not self._is_failing:
            self._is_failing = True
            self._on_failure(error)

    def _remove_written(self, batch: Sequence[Fact]) -> None:
        # Only after the write: a cancelled or failed write is repeated, which the store allows.
        for fact in batch:
            queue, key = self._queue_for(fact), _key(fact)
            if queue.get(key) is fact:
                del queue[key]
                self._size -= _size(fact)
        if not self.waiting:
            self._wakeup.clear()
        if self.waiting < BATCH_SIZE:
            self._batch_ready.clear()

    def _drop_oldest(self) -> None:
        _, fact = (self._facts or self._records).popitem(last=False)
        self._size -= _size(fact)
        self.dropped += 1

    def _queue_for(self, fact: Fact) -> OrderedDict[Key, Fact]:
        return self._records if isinstance(fact, SessionRecord) else self._facts


def _key(fact: Fact) -> Key:
    match fact:
        case SessionRecord():
            return (fact.id,)
        case Entry():
            return (fact.session, fact.turn, fact.role)
        case TurnUsage():
            return (fact.session, fact.turn)


def _size(fact: Fact) -> int:
    return FACT_OVERHEAD + (len(fact.text) if isinstance(fact, Entry) else 0)


async def _wait_with_timeout(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
