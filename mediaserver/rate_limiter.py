"""The limit on requests as the transports see it."""

from typing import Protocol


class RateLimiter(Protocol):
    """Counts requests by user id or address."""

    def admit(self, name: str) -> None:
        """Count a request of `name`, or raise `HttpError` 429."""
        ...
