"""Exponential backoff after wrong passwords, per name and per client network."""

import hashlib
import ipaddress
import math
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

MAX_FAILURES_PER_NAME = 5
MAX_FAILURES_PER_NETWORK = 20  # a household or an office shares one
FIRST_DELAY = 1.0
MAX_DELAY = 900.0
RESET_AFTER = 24 * 3600.0
MAX_KEYS = 20_000


class CredentialsError(Exception):
    """The name or the password is wrong."""


class LockedOut(Exception):
    """Too many wrong passwords; `retry_after` in whole seconds."""

    def __init__(self, retry_after: int):
        super().__init__(f"locked for {retry_after} s")
        self.retry_after = retry_after


@dataclass(slots=True)
class _Failures:
    failures: int
    until: float
    last: float


class Lockout:
    """Counts wrong passwords by name and by network; beyond a limit the delay doubles with each.

    Names are counted whether or not an account has them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, capacity: int = MAX_KEYS):
        # Two tables, so that a flood of names from one address cannot evict the counts of addresses.
        self._names = _FailureTable(clock, MAX_FAILURES_PER_NAME, capacity)
        self._networks = _FailureTable(clock, MAX_FAILURES_PER_NETWORK, capacity)

    def __len__(self) -> int:
        """Return the number of counted names and networks."""
        return len(self._names) + len(self._networks)

    @contextmanager
    def attempt(self, name: str, address: str) -> Iterator[None]:
        """Guard one attempt: raises `LockedOut` at its start; `CredentialsError` in the body counts as a failure."""
        name, client = _key(name), network_of(address)
        wait = max(self._names.wait(name), self._networks.wait(client))
        if wait > 0:
            raise LockedOut(math.ceil(wait))
        # Counted before the outcome is known, or a hundred concurrent attempts would all pass.
        self._names.fail(name)
        self._networks.fail(client)
        is_wrong = False
        try:
            yield
        except CredentialsError:
            is_wrong = True
            raise
        finally:
            if not is_wrong:
                self._names.undo_failure(name)
                self._networks.undo_failure(client)
        # Not the network: an attacker could reset it by logging in to an account of their own.
        self._names.clear(name)


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

    def fail(self, key: str) -> None:
        now = self._clock()
        row = self._rows.setdefault(key, _Failures(0, now, now))
        if now - row.last > RESET_AFTER:
            row.failures = 0
        row.failures += 1
        row.last = now
        if row.failures >= self._max_failures:
            # The exponent is bounded: 2.0**1100 overflows.
            row.until = now + min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(row.failures - self._max_failures, 30))
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
        self._rows.pop(key, None)


def network_of(address: str) -> str:
    """Return the network one client is likely to own: an IPv4 address, or an IPv6 /64."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((ip, 64), strict=False))


def _key(name: str) -> str:
    """Digest a name: equal for all its spellings, of fixed size, and not readable."""
    # Unicode 15, section 3.13, D146, as the store compares names; otherwise each spelling would have its own count.
    once = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", name).casefold())
    return hashlib.sha256(unicodedata.normalize("NFKC", once.casefold()).encode()).hexdigest()
