"""Paces reading: a client's audio may be a little ahead of real time."""

MAX_AHEAD = 2.0
"""Seconds that a client's audio may be ahead of real time."""


class ReadPacer:
    """Tracks the time at which the audio read so far would have been played, in seconds."""

    def __init__(self, max_ahead: float = MAX_AHEAD):
        self._max_ahead = max_ahead
        self.played_until = float("-inf")
        """Time at which all audio so far would have been played."""

    def wait(self, now: float) -> float:
        """Seconds to wait before more audio may be read."""
        return max(0.0, self.played_until - now - self._max_ahead)

    def record(self, duration: float, now: float) -> None:
        """Add audio that was read."""
        self.played_until = max(self.played_until, now) + duration
