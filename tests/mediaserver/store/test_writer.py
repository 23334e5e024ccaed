"""History that is written beside the media."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import pytest

from mediaserver.store import writer as writing
from mediaserver.store.interface import Fact, RefusedError, Store, StoreError
from mediaserver.store.records import Entry, SessionRecord, TurnUsage
from mediaserver.store.sql_store import SqlStore
from mediaserver.store.writer import HistoryWriter

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class FakeDatabase:
    """A store that notes what is written, and fails or waits when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[Fact]] = []
        self.attempts = 0
        self.is_down = False
        self.refuses = ""
        self.open = asyncio.Event()
        self.open.set()
        self.wakeup = asyncio.Event()

    async def write(self, facts: Sequence[Fact]) -> None:
        self.attempts += 1
        self.wakeup.set()
        await self.open.wait()
        if self.is_down:
            raise StoreError("down")
        if self.refuses and any(isinstance(fact, Entry) and self.refuses == fact.text for fact in facts):
            raise RefusedError("never")
        self.batches.append(list(facts))

    @property
    def facts(self) -> list[Fact]:
        return [fact for batch in self.batches for fact in batch]

    async def attempted(self, times: int) -> None:
        """Wait until `times` writes were attempted."""
        async with asyncio.timeout(10):
            while self.attempts < times:
                self.wakeup.clear()
                await self.wakeup.wait()


def session(name: str = "s") -> SessionRecord:
    return SessionRecord(name, "ada", name, "webrtc", "local", "local-1", "en", NOON)


def entry(turn: int, text: str = "hello") -> Entry:
    return Entry("s", NOON, "user", text, turn)


def writer_to(database: FakeDatabase, failures: list[StoreError] | None = None) -> HistoryWriter:
    reported = failures if failures is not None else []
    return HistoryWriter(cast(Store, database), on_failure=reported.append)


@pytest.fixture
def no_timed_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written because of the time, only because enough waits or somebody asks."""
    monkeypatch.setattr(writing, "BATCH_WAIT", 3600.0)


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting takes no time."""
    monkeypatch.setattr(writing, "BATCH_WAIT", 0.001)
    monkeypatch.setattr(writing, "RETRY_DELAY", 0.001)


async def test_facts_reach_a_real_store(store: SqlStore) -> None:
    async with HistoryWriter(store, on_failure=lambda _: None) as writer:
        writer.record(entry(1))
        writer.record(TurnUsage("s", 1, NOON, {"total": 3}))
        writer.record(session())
        await writer.flush()
        assert await store.history("s") == (entry(1),)
        assert await store.usage("s") == (TurnUsage("s", 1, NOON, {"total": 3}),)
        assert await store.session("ada", "s") == session()


@pytest.mark.usefixtures("no_waits")
async def test_a_fact_is_written_without_being_asked_for() -> None:
    database = FakeDatabase()
    async with writer_to(database) as writer:
        writer.record(session())
        await database.attempted(1)
        writer.record(entry(1))
        await database.attempted(2)
    assert database.batches == [[session()], [entry(1)]]


def test_a_fact_waits_half_a_second_at_most() -> None:
    assert writing.BATCH_WAIT == 0.5


@pytest.mark.usefixtures("no_timed_writes")
async def test_enough_facts_are_written_at_once() -> None:
    database = FakeDatabase()
    async with writer_to(database) as writer:
        for turn in range(writing.BATCH_SIZE):
            writer.record(entry(turn))
        await database.attempted(1)
        assert len(database.batches[0]) == writing.BATCH_SIZE


@pytest.mark.usefixtures("no_timed_writes")
async def test_recording_never_waits_for_the_database() -> None:
    database = FakeDatabase()
    database.open.clear()
    async with writer_to(database) as writer:
        for turn in range(1000):
            writer.record(entry(turn))
        await database.attempted(1)
        for turn in range(1000, 2000):
            writer.record(entry(turn))
        assert writer.waiting == 2000
        database.open.set()
    assert database.facts == [entry(turn) for turn in range(2000)]
    assert max(len(batch) for batch in database.batches) == writing.BATCH_SIZE


@pytest.mark.usefixtures("no_timed_writes")
async def test_what_waits_when_the_writer_closes_is_written() -> None:
    database = FakeDatabase()
    async with writer_to(database) as writer:
        writer.record(entry(1))
        await writer.close()
        assert database.facts == [entry(1)]
        await writer.close()
    assert writer.dropped == 0


@pytest.mark.usefixtures("no_waits")
async def test_a_writer_that_is_closed_while_it_writes_its_last_fact_ends() -> None:
    database = FakeDatabase()
    database.open.clear()
    async with writer_to(database) as writer:
        writer.record(entry(1))
        await database.attempted(1)
        closing = asyncio.create_task(writer.close())
        await asyncio.sleep(0)
        database.open.set()
        async with asyncio.timeout(10):
            await closing
    assert database.facts == [entry(1)]


@pytest.mark.usefixtures("no_timed_writes")
async def test_a_fact_takes_the_place_of_the_one_it_replaces() -> None:
    database = FakeDatabase()
    async with writer_to(database) as writer:
        for fact in (entry(1, "hel"), session(), entry(2), entry(1, "hello"), session()):
            writer.record(fact)
        assert writer.waiting == 3
        await writer.flush()
    assert database.batches == [[session(), entry(1, "hello"), entry(2)]]


@pytest.mark.usefixtures("no_timed_writes")
async def test_a_fact_that_is_replaced_while_it_is_written_is_written_again() -> None:
    database = FakeDatabase()
    database.open.clear()
    async with writer_to(database) as writer:
        writer.record(entry(1, "hel"))
        flushing = asyncio.create_task(writer.flush())
        await database.attempted(1)
        writer.record(entry(1, "hello"))
        database.open.set()
        await flushing
        assert writer.waiting == 1
    assert database.facts == [entry(1, "hel"), entry(1, "hello")]


@pytest.mark.usefixtures("no_timed_writes")
async def test_a_flush_that_is_cancelled_loses_nothing() -> None:
    database = FakeDatabase()
    database.open.clear()
    async with writer_to(database) as writer:
        writer.record(entry(1))
        flushing = asyncio.create_task(writer.flush())
        await database.attempted(1)
        flushing.cancel()
        await asyncio.wait([flushing])
        database.open.set()
        await writer.flush()
    assert database.facts == [entry(1)]


@pytest.mark.usefixtures("no_waits")
async def test_an_outage_is_told_once_and_ends_without_loss() -> None:
    database, failures = FakeDatabase(), list[StoreError]()
    database.is_down = True
    async with writer_to(database, failures) as writer:
        writer.record(session())
        await database.attempted(5)
        writer.record(entry(1))
        await database.attempted(9)
        assert len(failures) == 1
        assert writer.is_failing
        database.is_down = False
        await writer.flush()
        assert not writer.is_failing
        database.is_down = True
        writer.record(entry(2))
        await database.attempted(database.attempts + 2)
        assert len(failures) == 2
        database.is_down = False
    assert [fact for fact in database.facts if isinstance(fact, Entry)] == [entry(1), entry(2)]
    assert writer.dropped == 0


@pytest.mark.usefixtures("no_timed_writes")
async def test_asking_for_a_flush_tells_that_the_database_is_down() -> None:
    database = FakeDatabase()
    database.is_down = True
    async with writer_to(database) as writer:
        writer.record(entry(1))
        with pytest.raises(StoreError):
            await writer.flush()
        assert writer.waiting == 1
    assert writer.dropped == 1  # still down when the writer closed


@pytest.mark.usefixtures("no_timed_writes")
async def test_memory_is_bounded_the_oldest_goes_first_and_session_records_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writing, "MAX_QUEUED_SIZE", 10 * (writing.FACT_OVERHEAD + 100))
    database = FakeDatabase()
    database.is_down = True
    async with writer_to(database) as writer:
        writer.record(session())
        for turn in range(30):
            writer.record(entry(turn, "x" * 100))
        assert writer.waiting + writer.dropped == 31
        assert 9 <= writer.waiting <= 11
        dropped = writer.dropped
        database.is_down = False
        await writer.flush()
        assert database.facts == [session(), *(entry(turn, "x" * 100) for turn in range(dropped, 30))]
        for number in range(30):
            writer.record(session(str(number)))
        assert writer.waiting == 12
        await writer.flush()
        writer.record(entry(1, "x" * writing.MAX_QUEUED_SIZE))
        assert writer.waiting == 0


@pytest.mark.usefixtures("no_timed_writes")
async def test_long_texts_that_replace_one_another_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_QUEUED_SIZE", 5000)
    database = FakeDatabase()
    async with writer_to(database) as writer:
        writer.record(entry(1))
        for length in range(100):
            writer.record(entry(2, "x" * (3000 + length)))
        assert (writer.waiting, writer.dropped) == (2, 0)


@pytest.mark.usefixtures("no_timed_writes")
async def test_a_fact_the_store_refuses_holds_up_no_other() -> None:
    database, failures = FakeDatabase(), list[StoreError]()
    database.refuses = "poison"
    async with writer_to(database, failures) as writer:
        for fact in (session(), entry(1), entry(2, "poison"), entry(3)):
            writer.record(fact)
        await writer.flush()
        assert database.facts == [session(), entry(1), entry(3)]
        assert (writer.waiting, writer.dropped, writer.is_failing) == (0, 1, False)
        assert len(failures) == 1


@pytest.mark.usefixtures("no_timed_writes")
async def test_an_outage_among_refusals_keeps_what_is_not_yet_written() -> None:
    class Failing(FakeDatabase):
        async def write(self, facts: Sequence[Fact]) -> None:
            self.is_down = self.attempts == 2
            await super().write(facts)

    database = Failing()
    database.refuses = "poison"
    async with writer_to(database) as writer:
        for fact in (entry(1), entry(2, "poison"), entry(3)):
            writer.record(fact)
        with pytest.raises(StoreError):
            await writer.flush()
        assert writer.is_failing
        await writer.flush()
    assert database.facts == [entry(1), entry(3)]
    assert writer.dropped == 1
