"""The budget of bad messages of each address."""

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from mediaserver.caller import network_of

PER_MINUTE = 200
"""Bad messages of one IPv4 address or IPv6 /64 network; an error costs more than the message it answers."""


class BadMessageBudget:
    """Counts the bad messages of each network over a sliding minute."""

    def __init__(self, per_minute: int = PER_MINUTE):
        self._rate = RateLimitItemPerMinute(per_minute)
        self._strategy = SlidingWindowCounterRateLimiter(MemoryStorage())

    def spend(self, address: str) -> bool:
        """Count a bad message of an address; False if its network has none left."""
        return self._strategy.hit(self._rate, _network(address))

    def is_spent(self, address: str) -> bool:
        """Whether the address's network has no bad message left."""
        return not self._strategy.test(self._rate, _network(address))


def _network(address: str) -> str:
    return network_of(address) or address
