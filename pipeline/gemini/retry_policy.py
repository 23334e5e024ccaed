"""Timeouts of the bridge, its reconnect back-off (`bridge.py` sleeps it), and the limits at which it gives up."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineTimeouts:
    """Deadlines and delays in seconds."""

    connect: float = 10.0
    """From the start of a connect to setupComplete."""
    close: float = 2.0
    response: float = 8.0
    """For any message of an engine that owes a reply."""
    slow_response: float = 30.0
    """The same during a function call, and for models with long thinking."""
    tool_call: float = 30.0
    """For the conversation to answer a function call."""
    go_away_margin: float = 5.0
    """Least time between closing the session and the end announced by goAway."""
    handle: float = 1.0
    """For the handle that covers the last turn, before a session is closed."""
    roll_over: float = 540.0
    """Age from which a resumable session closes when idle: the real ones end at 10 min."""
    refusal: float = 2.0
    """A resumed session that is closed sooner was not resumed."""
    planned: float = 0.5
    """A session that ends by goAway sooner counts as failed."""
    backoff: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Longest delay before each reconnect; the last value repeats."""
    quota_backoff: tuple[float, ...] = (30.0, 60.0)
    """Delay before each reconnect after a quota error; then the bridge gives up."""
    stable: float = 10.0
    """A session that lasted this long did not fail."""
    max_failures: int = 8
    """This many failed sessions within `failure_window` make the bridge give up."""
    max_attempts: int = 60
    """Most connects in one outage, however short their delays: more than fit into `max_outage`."""
    failure_window: float = 60.0
    max_outage: float = 30.0
    """The bridge gives up an outage that would last longer."""


class ReconnectBackoff:
    """Counts failed sessions, both those that never opened and those that broke too soon."""

    def __init__(self, timeouts: EngineTimeouts, jitter: Callable[[], float], *, began: float):
        self._timeouts = timeouts
        self._jitter = jitter
        self._failures: deque[float] = deque()
        self._outage_began = began
        self._attempts = 0
        self._refusals = 0

    def delay(self, now: float, *, lasted: float, is_planned: bool = False) -> float | None:
        """Return the delay after a session that was open for `lasted` s (0: never opened), or None to give up."""
        timeouts = self._timeouts
        is_failure = lasted < timeouts.stable and not (is_planned and lasted >= timeouts.planned)
        if lasted >= timeouts.stable:
            self._failures.clear()
        if lasted > 0:
            self._outage_began = now
            if is_failure:
                self._failures.append(now)
        if not is_failure:
            self._attempts = 0
            if is_planned:
                return 0.0
        while self._failures and now - self._failures[0] > timeouts.failure_window:
            self._failures.popleft()
        if len(self._failures) >= timeouts.max_failures or self._attempts >= timeouts.max_attempts:
            return None
        delay = self._next_delay()
        return delay if now + delay - self._outage_began <= timeouts.max_outage else None

    def quota_delay(self, now: float, *, lasted: float) -> float | None:
        """Return the delay after a quota error, or None to give up; quotas recover slowly or not at all."""
        if lasted >= self._timeouts.stable:
            self._refusals = 0
        if self._refusals >= len(self._timeouts.quota_backoff):
            return None
        self._refusals += 1
        delay = self._timeouts.quota_backoff[self._refusals - 1]
        self._outage_began = now + delay  # this wait does not count as an outage
        return delay

    def _next_delay(self) -> float:
        backoff = self._timeouts.backoff
        longest = backoff[min(self._attempts, len(backoff) - 1)]
        self._attempts += 1
        return longest * self._jitter()  # full jitter: sessions lost together do not all come back at once
