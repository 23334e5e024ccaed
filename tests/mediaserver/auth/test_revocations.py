"""The revocation list."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from mediaserver.auth.revocations import PERIOD, RevocationReader, Revocations
from mediaserver.auth.tokens import ACCESS_SECONDS, LEEWAY_SECONDS
from mediaserver.livekit.protocol.access_token import ABSOLUTE_LIFETIME, LEEWAY
from mediaserver.store.interface import Store, StoreError
from mediaserver.store.revocations import REVOKED_FOR

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Reading:
    """A reader whose periods pass when they are told to."""

    def __init__(self, store: Store) -> None:
        self.revocations = Revocations()
        self.ended: list[str] = []
        self.now = NOON
        self.slept: list[float] = []
        self._due, self._idle = asyncio.Event(), asyncio.Event()
        self.reader = RevocationReader(
            store, self.revocations, on_revoked=self._end, clock=lambda: self.now, sleep=self._sleep
        )

    async def next(self, seconds: float = PERIOD) -> None:
        """Let the period pass and the read finish."""
        await self._idle.wait()
        self._idle.clear()
        self.now += timedelta(seconds=seconds)
        self._due.set()
        await self._idle.wait()

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._idle.set()
        await self._due.wait()
        self._due.clear()

    async def _end(self, revoked: str) -> None:
        self.ended.append(revoked)


@asynccontextmanager
async def reading(store: Store) -> AsyncIterator[Reading]:
    scene = Reading(store)
    async with scene.reader:
        yield scene


async def test_what_was_revoked_before_the_start_is_refused_from_the_start(store: Store) -> None:
    await store.revoke(["old"], NOON - timedelta(hours=24))
    async with reading(store) as scene:
        assert "old" in scene.revocations
        assert scene.ended == []


async def test_what_another_process_revokes_is_refused_and_told_once_after_the_next_read(store: Store) -> None:
    async with reading(store) as scene:
        await store.revoke(["ada"], scene.now)
        assert "ada" not in scene.revocations
        await scene.next()
        await scene.next()
        assert "ada" in scene.revocations
        assert scene.ended == ["ada"]
        assert set(scene.slept) == {2.0}


async def test_what_this_process_has_revoked_is_not_told(store: Store) -> None:
    async with reading(store) as scene:
        scene.revocations.add(["ada"])
        await store.revoke(["ada"], scene.now)
        await scene.next()
        assert scene.ended == []


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_a_clock_that_is_set_hides_nothing(store: Store, step: float) -> None:
    async with reading(store) as scene:
        await store.revoke(["before"], scene.now)
        await scene.next(step)
        await store.revoke(["after"], scene.now)
        await scene.next()
        assert scene.ended == ["before", "after"]


async def test_a_database_that_fails_is_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: datetime) -> tuple[str, ...]:
        raise StoreError("down")

    async with reading(store) as scene:
        await store.revoke(["ada"], scene.now)
        with monkeypatch.context() as down:
            down.setattr(store, "revoked_since", fail)
            await scene.next()
            await scene.next()
        assert scene.ended == []
        await scene.next()
        assert scene.ended == ["ada"]


def test_a_revocation_outlives_every_token_and_is_not_kept_for_ever() -> None:
    longest = max(ACCESS_SECONDS + LEEWAY_SECONDS, ABSOLUTE_LIFETIME + LEEWAY)
    assert REVOKED_FOR.total_seconds() > longest
    now = [0.0]
    revocations = Revocations(lambda: now[0])
    assert revocations.add(["a", "a"]) == ("a",)
    now[0] = longest
    assert revocations.add(["a", "b"]) == ("b",)
    assert "a" in revocations
    now[0] = REVOKED_FOR.total_seconds() + 1
    revocations.add(["c"])
    assert [name in revocations for name in "abc"] == [False, True, True]
    assert len(revocations) == 2
