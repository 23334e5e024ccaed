"""Passwords."""

import asyncio
import threading
import unicodedata
from typing import Literal

import pytest
from argon2 import PasswordHasher

from mediaserver.auth.passwords import BusyError, Passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class SlowHasher(PasswordHasher):
    """Stands still in `hash` until it is let go, and knows how many stood at once."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)
        self.at_once = 0
        self.most = 0
        self._lock = threading.Lock()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.begun.release()
        self.go.wait()
        with self._lock:
            self.at_once -= 1
        return super().hash(password, salt=salt)


async def test_a_password_matches_its_own_hash_and_no_other() -> None:
    passwords = Passwords(CHEAP)
    kept = await passwords.hash("correct horse")
    assert kept.startswith("$argon2id$")
    assert await passwords.matches("correct horse", kept)
    assert not await passwords.matches("correct horsf", kept)
    passwords.close()


async def test_two_hashes_of_one_password_differ() -> None:
    passwords = Passwords(CHEAP)
    assert await passwords.hash("correct horse") != await passwords.hash("correct horse")
    passwords.close()


async def test_a_letter_is_the_same_however_a_keyboard_composes_it() -> None:
    passwords = Passwords(CHEAP)
    kept = await passwords.hash(unicodedata.normalize("NFC", "Grüße aus Köln"))
    assert await passwords.matches(unicodedata.normalize("NFD", "Grüße aus Köln"), kept)
    passwords.close()


async def test_without_a_hash_nothing_matches_for_one_full_verification() -> None:
    verified: list[str | bytes] = []

    class CountingHasher(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - argon2's own name
            verified.append(hash)
            return super().verify(hash, password)

    passwords = Passwords(CountingHasher(time_cost=2, memory_cost=16, parallelism=1))
    kept = await passwords.hash("correct horse")
    assert not await passwords.matches("correct horse", None)
    assert not await passwords.matches("wrong horse", kept)
    nobody, somebody = (str(name).split("$") for name in verified)
    assert nobody[:4] == somebody[:4] == ["", "argon2id", "v=19", "m=16,t=2,p=1"]
    assert [len(part) for part in nobody] == [len(part) for part in somebody]
    passwords.close()


async def test_a_hash_of_other_parameters_is_outdated() -> None:
    old, now = Passwords(CHEAP), Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    kept = await old.hash("correct horse")
    assert not old.is_outdated(kept)
    assert now.is_outdated(kept)
    assert await now.matches("correct horse", kept)
    old.close()
    now.close()


async def test_the_parameters_in_use_are_what_owasp_asks_for_or_more() -> None:
    passwords = Passwords()
    kept = await passwords.hash("correct horse")
    costs = dict(part.split("=") for part in kept.split("$")[3].split(","))
    assert int(costs["m"]) >= 46 * 1024
    assert int(costs["t"]) >= 1
    assert costs["p"] == "1"
    passwords.close()


async def test_a_flood_waits_in_line_and_the_rest_is_refused_at_once() -> None:
    hasher = SlowHasher()
    passwords = Passwords(hasher, max_threads=2, max_waiting=3)
    flood = [asyncio.create_task(passwords.hash("correct horse")) for _ in range(9)]
    for _ in range(2):
        await asyncio.to_thread(hasher.begun.acquire)
    refused, _ = await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
    hasher.go.set()
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(BusyError) == 4
    assert all(isinstance(task.exception(), BusyError) for task in refused)
    assert hasher.most == 2
    assert await passwords.hash("correct horse")
    passwords.close()


async def test_requests_that_are_cancelled_do_not_let_more_work_in() -> None:
    hasher = SlowHasher()
    passwords = Passwords(hasher, max_threads=1, max_waiting=0)
    first = asyncio.create_task(passwords.hash("correct horse"))
    await asyncio.to_thread(hasher.begun.acquire)
    first.cancel()
    await asyncio.wait([first])
    with pytest.raises(BusyError):
        await passwords.hash("correct horse")
    hasher.go.set()
    kept = None
    while kept is None:
        try:
            kept = await passwords.hash("correct horse")
        except BusyError:
            await asyncio.sleep(0.001)  # the thread that was left alone ends when it ends
    assert await passwords.matches("correct horse", kept)
    passwords.close()
