"""Rate limiting of repeated events."""


class Throttle:
    """Lets one event pass per `period` seconds."""

    def __init__(self, period: float):
        self._period = period
        self._next = float("-inf")

    def allow(self, now: float) -> bool:
        """Return whether an event at `now` passes."""
        if now < self._next:
            return False
        self._next = now + self._period
        return True

    def hold(self, until: float) -> None:
        """Let no event pass before `until`."""
        self._next = max(self._next, until)
