"""How often one address or user may ask."""

import time

from aiohttp import web
from limits import RateLimitItem
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from mediaserver.http_errors import HttpError


class RateLimiter:
    """One rate, counted for each name apart."""

    def __init__(self, rate: RateLimitItem):
        self._rate = rate
        self._strategy = SlidingWindowCounterRateLimiter(MemoryStorage())

    def admit(self, name: str) -> None:
        """Count one request of `name`, or raise `HttpError` 429 that says when to come back."""
        if self._strategy.hit(self._rate, name):
            return
        reset = self._strategy.get_window_stats(self._rate, name).reset_time
        wait = max(1, round(reset - time.time()))
        raise HttpError(
            429,
            "RATE_LIMITED",
            f"Too many requests; no more than {self._rate}. Try again in {wait} s.",
            retry_after=wait,
        )


def address(request: web.Request) -> str:
    """Who is asking, as far as the connection tells."""
    return request.remote or "unknown"
