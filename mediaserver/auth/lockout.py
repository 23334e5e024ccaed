"""Limits on wrong passwords that fall on who guesses, and not on whose password is guessed."""

import asyncio
import hashlib
import math
import time
import unicodedata
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from mediaserver.caller import network_of

MAX_FAILURES_PER_CLIENT = 5
MAX_FAILURES_PER_NAME = 10
MAX_FAILURES_PER_NETWORK = 20  # a household or an office shares one
FIRST_LOCK = 1.0
MAX_LOCK = 900.0
FIRST_DELAY = 0.25
MAX_DELAY = 4.0
RESET_AFTER = 24 * 3600.0
MAX_KEYS = 20_000


class CredentialsError(Exception):
    """The name or the password is wrong."""


class LockedOut(Exception):
    """Too many wrong passwords; `retry_after` in whole seconds."""

    def __init__(self, retry_after: int):
        super().__init__(f"locked for {retry_after} s")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class LoginClient:
    """The client of an attempt at one name, known by its device or else by its address.

    `device` is the id of an earlier login to that account which a token proves, or None. `is_known` is true if
    somebody has logged in to that account from the address's network before.
    """

    address: str = ""
    device: str | None = None
    is_known: bool = False


@dataclass(slots=True)
class _Failures:
    failures: int
    until: float
    last: float


class Lockout:
    """Counts wrong passwords for each name by client, and in all by name and by network.

    A client is a device that a token proves, else a network. After 5 failures it is locked out of that name, for 1 s
    and twice as long after each further one. A known network is delayed instead, because its users may share it with
    who guesses. A name with 10 failures, and a network with 20, are never locked: clients that are not known wait up to
    4 s before their password is checked. Names are counted whether or not an account has them.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        capacity: int = MAX_KEYS,
    ):
        self._sleep = sleep
        # Separate tables, so that a flood of names from one address cannot evict the counts of addresses.
        self._clients = _FailureTable(clock, MAX_FAILURES_PER_CLIENT, capacity)
        self._names = _FailureTable(clock, MAX_FAILURES_PER_NAME, capacity)
        self._networks = _FailureTable(clock, MAX_FAILURES_PER_NETWORK, capacity)

    def __len__(self) -> int:
        """Return the number of counted clients, names and networks."""
        return len(self._clients) + len(self._names) + len(self._networks)

    @asynccontextmanager
    async def attempt(self, name: str, client: LoginClient) -> AsyncIterator[None]:
        """Guard one attempt: raises `LockedOut` at its start; `CredentialsError` in the body counts as a failure."""
        counts = self._counts(name_digest(name), client)
        (clients, client_key), *shared = counts
        wait, delay = clients.wait(client_key), max((table.delay(key) for table, key in shared), default=0.0)
        if client.is_known and client.device is None:
            wait, delay = 0.0, clients.delay(client_key)
        if wait > 0:
            raise LockedOut(math.ceil(wait))
        # Counted before the outcome is known, or a hundred concurrent attempts would all pass.
        for table, key in counts:
            table.fail(key)
        is_wrong = False
        try:
            if delay > 0:
                await self._sleep(delay)
            yield
        except CredentialsError:
            is_wrong = True
            raise
        finally:
            if not is_wrong:
                for table, key in counts:
                    table.undo_failure(key)
        # Not the network: an attacker could reset it by logging in to an account of their own.
        clients.clear(client_key)
        self._names.clear(name_digest(name))

    def _counts(self, name: str, client: LoginClient) -> "list[tuple[_FailureTable, str]]":
        """List where an attempt counts, the client first."""
        if client.device is not None:
            return [(self._clients, f"{name} device {client.device}")]
        network = network_of(client.address) or client.address
        own = (self._clients, f"{name} network {network}")
        return [own] if client.is_known else [own, (self._names, name), (self._networks, network)]


class _FailureTable:
    """Counts failures by key; above `capacity` keys it evicts the least recently used."""

    def __init__(self, clock: Callable[[], float], max_failures: int, capacity: int):
        self._clock = clock
        self._max_failures = max_failures
        self._capacity = capacity
        self._rows: OrderedDict[str, _Failures] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def wait(self, key: str) -> float:
        """Return the seconds until the next attempt is allowed; 0 or less means now."""
        row = self._rows.get(key)
        return 0.0 if row is None else row.until - self._clock()

    def delay(self, key: str) -> float:
        """Return the seconds by which an attempt is delayed: 0 below the limit of failures."""
        row = self._rows.get(key)
        if row is None or row.failures < self._max_failures or self._clock() - row.last > RESET_AFTER:
            return 0.0
        return min(MAX_DELAY, _doubled(FIRST_DELAY, row.failures - self._max_failures))

    def fail(self, key: str) -> None:
        """Count a failure."""
        now = self._clock()
        row = self._rows.setdefault(key, _Failures(0, now, now))
        if now - row.last > RESET_AFTER:
            row.failures = 0
        row.failures += 1
        row.last = now
        if row.failures >= self._max_failures:
            row.until = now + min(MAX_LOCK, _doubled(FIRST_LOCK, row.failures - self._max_failures))
        self._rows.move_to_end(key)
        if len(self._rows) > self._capacity:
            self._rows.popitem(last=False)

    def undo_failure(self, key: str) -> None:
        """Remove one failure."""
        row = self._rows.get(key)
        if row is None:
            return
        row.failures -= 1
        row.until = self._clock()
        if row.failures <= 0:
            del self._rows[key]

    def clear(self, key: str) -> None:
        """Forget the failures of a key."""
        self._rows.pop(key, None)


def _doubled(first: float, times: int) -> float:
    # The exponent is bounded: 2.0**1100 overflows.
    return first * 2.0 ** min(times, 30)


def name_digest(name: str) -> str:
    """Digest a name: equal for all its spellings, of fixed size, and not readable."""
    # Unicode 15, section 3.13, D146, as the store compares names; otherwise each spelling would have its own count.
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold())
    return hashlib.sha256(unicodedata.normalize("NFKC", once.casefold()).encode()).hexdigest()
