"""Hashes and verifies passwords with argon2id in a small thread pool."""

import asyncio
import base64
import os
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

MIN_CHARACTERS = 8
MAX_CHARACTERS = 128

T = TypeVar("T")

# The first that OWASP's password storage cheat sheet recommends: 46 MiB, one pass, one lane. A lane more would be a
# thread more, and media needs the other core.
_MEMORY_KIB = 46 * 1024
_PASSES = 1
_LANES = 1

_MAX_THREADS = 1
_MAX_WAITING = 32


class BusyError(Exception):
    """Too many passwords wait to be hashed; this one was not checked."""


class Passwords:
    """Hashes and verifies in `at_once` threads; more than `max_waiting` requests are refused with `BusyError`."""

    def __init__(
        self, hasher: PasswordHasher | None = None, *, max_threads: int = _MAX_THREADS, max_waiting: int = _MAX_WAITING
    ):
        self._hasher = hasher or PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=_LANES)
        # Its own pool bounds the work: a cancelled request frees its slot only when its thread is done.
        self._threads = ThreadPoolExecutor(max_threads, thread_name_prefix="argon2")
        self._slots = threading.Semaphore(max_threads + max_waiting)
        self._dummy = _dummy_hash(self._hasher)

    async def hash(self, password: str) -> str:
        """Hash a password for the store; raises `BusyError`."""
        return await self._run(lambda: self._hasher.hash(_canonical(password)))

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether the password matches the hash; False without a hash, after the same work. Raises `BusyError`."""
        return await self._run(lambda: self._verify(password_hash or self._dummy, password)) and bool(password_hash)

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other than the current parameters."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """Stop the threads; waiting requests are cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._slots.acquire(blocking=False):
            raise BusyError
        future = self._threads.submit(work)
        # Released when the thread is done, which is later than the request if that is cancelled.
        future.add_done_callback(lambda _: self._slots.release())
        return await asyncio.wrap_future(future)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, _canonical(password))
        except VerifyMismatchError:
            return False


def _canonical(password: str) -> str:
    # RFC 8265 section 4.2.2: keyboards differ in how they compose a letter; its NFC is the same.
    return unicodedata.normalize("NFC", password)


def _dummy_hash(hasher: PasswordHasher) -> str:
    """Make a hash that matches no password and costs as much to verify as any other."""
    salt, digest = (_base64(os.urandom(size)) for size in (hasher.salt_len, hasher.hash_len))
    return f"$argon2id$v=19$m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}${salt}${digest}"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode().rstrip("=")
