"""A rate limit for messages."""


class TokenBucket:
    """Holds at most `burst` messages, and gains `rate` of them a second."""

    def __init__(self, *, rate: float, burst: float):
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._updated_at: float | None = None
        self._reported_at: float | None = None
        self.refused = 0
        """Messages refused in a row."""

    def admit(self, now: float, cost: float = 1.0) -> bool:
        """Count a message at `now` (s) as `cost` messages; False, without counting it, if it exceeds the limit."""
        if self._updated_at is not None:
            self._left = min(self._burst, self._left + (now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._left < cost:
            self.refused += 1
            return False
        self._left -= cost
        self.refused = 0
        return True

    def charge(self, cost: float) -> None:
        """Count `cost` messages more for the one just admitted; a debt must be gained back before the next."""
        self._left -= cost

    def should_report(self, now: float) -> bool:
        """Whether to report a refusal to the client at `now` (s): at most once a second."""
        if self._reported_at is not None and now - self._reported_at < 1.0:
            return False
        self._reported_at = now
        return True
