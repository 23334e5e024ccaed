"""Says the same thing seldom."""


class Throttle:
    """Lets one event pass per `period` seconds of the clock it is given."""

    def __init__(self, period: float):
        self._period = period
        self._next = float("-inf")

    def allow(self, now: float) -> bool:
        """Whether an event at `now` is to be told."""
        if now < self._next:
            return False
        self._next = now + self._period
        return True

    def hold(self, until: float) -> None:
        """Let nothing pass before `until`."""
        self._next = max(self._next, until)
