"""How much a client may say."""


class TokenBucket:
    """A bucket that holds `burst` messages and gains `rate` of them a second."""

    def __init__(self, *, rate: float, burst: float):
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at: float | None = None
        self._told: float | None = None
        self.refused = 0
        """In a row."""

    def admit(self, now: float) -> bool:
        """Count a message at `now` (s); False if it is one too many."""
        if self._at is not None:
            self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            self.refused += 1
            return False
        self._left -= 1
        self.refused = 0
        return True

    def should_tell(self, now: float) -> bool:
        """Whether it is time to say that something was refused: once a second."""
        if self._told is not None and now - self._told < 1.0:
            return False
        self._told = now
        return True
