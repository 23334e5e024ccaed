"""What is too old is forgotten."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from mediaserver.store.interface import Store, StoreError
from mediaserver.store.records import SessionRecord
from mediaserver.store.retention import PERIOD, Retention
from mediaserver.store.sql_store import SqlStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Time:
    """A clock whose sleepers wake when the test says so."""

    def __init__(self) -> None:
        self.now = NOON
        self.asleep = asyncio.Event()
        self._wake = asyncio.Event()

    def clock(self) -> datetime:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await self._wake.wait()
        self._wake.clear()
        self.now += timedelta(seconds=seconds)

    async def next_period(self) -> None:
        self.asleep.clear()
        self._wake.set()
        await self.asleep.wait()


def session(name: str, ended_at: datetime) -> SessionRecord:
    begun = SessionRecord(name, "ada", name, "webrtc", "local", "local-1", "en", ended_at - timedelta(hours=1))
    return replace(begun, ended_at=ended_at, end_reason="client")


async def listed(store: Store) -> set[str]:
    return {record.id for record in (await store.sessions("ada", limit=100, cursor=None)).sessions}


async def test_what_is_too_old_is_forgotten_at_the_start_and_every_hour(store: SqlStore) -> None:
    assert PERIOD == 3600
    time, failures = Time(), list[StoreError]()
    await store.write([session("old", NOON - 91 * DAY), session("soon", NOON - 90 * DAY + timedelta(minutes=30))])
    await store.write([session("young", NOON - DAY)])
    async with Retention(store, days=90, clock=time.clock, sleep=time.sleep, on_failure=failures.append):
        await time.asleep.wait()
        assert await listed(store) == {"soon", "young"}
        await time.next_period()
        assert await listed(store) == {"young"}
    assert failures == []


async def test_zero_days_keep_nothing(store: SqlStore) -> None:
    time = Time()
    await store.write([session("just now", NOON - timedelta(seconds=1))])
    async with Retention(store, days=0, clock=time.clock, sleep=time.sleep, on_failure=lambda _: None):
        await time.asleep.wait()
    assert await listed(store) == set()


async def test_a_failure_is_told_and_the_next_hour_tries_again() -> None:
    class Failing:
        asked = 0

        async def forget_before(self, moment: datetime) -> int:
            self.asked += 1
            if self.asked == 1:
                raise StoreError("down")
            return 0

    time, failures, failing = Time(), list[StoreError](), Failing()
    async with Retention(
        cast(Store, failing), days=1, clock=time.clock, sleep=time.sleep, on_failure=failures.append
    ) as retention:
        await time.asleep.wait()
        await time.next_period()
        assert failing.asked == 2
        assert len(failures) == 1
        await retention.close()
        await retention.close()


async def test_a_bug_in_it_does_not_stay_hidden() -> None:
    class Broken:
        async def forget_before(self, moment: datetime) -> int:
            raise ZeroDivisionError

    retention = Retention(cast(Store, Broken()), days=1, clock=lambda: NOON, on_failure=lambda _: None)
    with pytest.raises(ZeroDivisionError):
        async with retention:
            await asyncio.sleep(0)
