"""How long the bridge waits for what, how often it tries again, and when it gives up."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineTimeouts:
    """Deadlines and delays in seconds."""

    connect: float = 10.0
    """For the way from nothing to setupComplete."""
    close: float = 2.0
    response: float = 8.0
    """For any sign of an engine that owes a reply."""
    slow_response: float = 30.0
    """The same while it waits for a function, and for models that think at length."""
    tool_call: float = 30.0
    """For a function to be answered by the conversation."""
    go_away_margin: float = 5.0
    """How long before the end that goAway announces the session is left at the latest."""
    handle: float = 1.0
    """For the handle that covers a turn to come after its end, before a session is left."""
    roll_over: float = 540.0
    """The age from which a session that can be resumed is left at the first idle point: the real ones end at 10 min."""
    refusal: float = 2.0
    """A resumed session that is closed sooner was not resumed."""
    planned: float = 0.5
    """A session that the engine asked us to leave sooner counts as one that failed."""
    backoff: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Most time before each further try; the last holds for all that follow."""
    quota_backoff: tuple[float, ...] = (30.0, 60.0)
    """Time before each further try after the engine has said that a limit is reached; then it is given up."""
    stable: float = 10.0
    """A session that lasted this long was no failure."""
    max_failures: int = 8
    """This many sessions that broke too soon within `failures_within` are given up."""
    max_attempts: int = 60
    """So many more attempts are made, however short their delays: more than fit into `budget`."""
    failure_window: float = 60.0
    max_outage: float = 30.0
    """An outage that would last longer is given up."""


class ReconnectBackoff:
    """Counts sessions that failed, whether they never began or broke too soon."""

    def __init__(self, timeouts: EngineTimeouts, jitter: Callable[[], float], *, began: float):
        self._timeouts = timeouts
        self._jitter = jitter
        self._failures: deque[float] = deque()
        self._outage_began = began
        self._attempts = 0
        self._refusals = 0

    def delay(self, now: float, *, lasted: float, is_planned: bool = False) -> float | None:
        """Seconds to wait now that a session ended which was ready for `lasted` seconds (0: never); None: give up."""
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
        """Seconds to wait now that a limit is reached, which passes slowly or not at all; None: give up."""
        if lasted >= self._timeouts.stable:
            self._refusals = 0
        if self._refusals >= len(self._timeouts.quota_backoff):
            return None
        self._refusals += 1
        delay = self._timeouts.quota_backoff[self._refusals - 1]
        self._outage_began = now + delay  # this wait is no outage of ours
        return delay

    def _next_delay(self) -> float:
        backoff = self._timeouts.backoff
        longest = backoff[min(self._attempts, len(backoff) - 1)]
        self._attempts += 1
        return longest * self._jitter()  # full jitter: sessions lost together do not all come back at once
