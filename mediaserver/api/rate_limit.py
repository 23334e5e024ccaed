"""Rate limits for requests, by address or by user."""

import time

from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from mediaserver.http_errors import HttpError


class SlidingWindowRateLimiter:
    """Limits requests to one rate, counted separately for each name."""

    def __init__(self, rate: RateLimitItem):
        self._rate = rate
        self._strategy = SlidingWindowCounterRateLimiter(MemoryStorage())

    def admit(self, name: str, times: int = 1) -> None:
        """Count one request of `name`; raises `HttpError` 429 with Retry-After above `times` the rate."""
        rate = self._rate if times == 1 else type(self._rate)(self._rate.amount * times, self._rate.multiples)
        if self._strategy.hit(rate, name):
            return
        reset = self._strategy.get_window_stats(rate, name).reset_time
        wait = max(1, round(reset - time.time()))
        raise HttpError(
            429,
            "RATE_LIMITED",
            f"Too many requests; no more than {rate}. Try again in {wait} s.",
            retry_after=wait,
        )
