"""Slows a sender down to real time, a little ahead of it."""

AHEAD = 2.0
"""How far (s) a client's audio may be ahead of real time."""


class ReadPacer:
    """Counts audio against the clock, as if it were played from when it came; all times in seconds."""

    def __init__(self, ahead: float = AHEAD):
        self._ahead = ahead
        self.until = float("-inf")
        """When what was taken would have been played."""

    def wait(self, now: float) -> float:
        """How long to wait before more is taken."""
        return max(0.0, self.until - now - self._ahead)

    def record(self, duration: float, now: float) -> None:
        """Count audio."""
        self.until = max(self.until, now) + duration
