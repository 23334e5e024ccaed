"""The one 20 ms clock of the process, which drives the playout of all conversations."""

import asyncio
from collections import deque
from collections.abc import Callable

MAX_CATCH_UP = 5
"""Most ticks made up for after the loop has stalled; older ones are skipped."""


class FrameClock:
    """Calls its subscribers once per period on an absolute schedule; without subscribers there is no timer.

    One clock serves all conversations, because a wake-up costs more than the work it triggers. Callbacks must not
    raise. An exception goes to the loop's exception handler, and the other callbacks still run.
    """

    def __init__(self, period: float = 0.02, *, loop: asyncio.AbstractEventLoop | None = None):
        """Tick every `period` seconds of `loop`, by default the running one."""
        self._period = period
        self._loop = loop
        self._subscribers: dict[Callable[[], None], None] = {}  # a set that keeps its order
        self._timer: asyncio.TimerHandle | None = None
        self._epoch = 0.0
        self._ticks = 0  # due since the epoch

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Call `callback` at every tick from the next one on."""
        self._subscribers[callback] = None
        if self._timer is None:
            self._epoch = self._clock().time()
            self._ticks = 0
            self._schedule(1)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Stop calling `callback`, even in the current tick."""
        self._subscribers.pop(callback, None)
        if not self._subscribers and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, ticks: int) -> None:
        # Counted from the epoch, so that errors do not add up.
        self._ticks += ticks
        self._timer = self._clock().call_at(self._epoch + self._ticks * self._period, self._tick)

    def _tick(self) -> None:
        late = self._clock().time() - (self._epoch + self._ticks * self._period)
        # Truncated to 0: the loop may call a timer early by its clock resolution (asyncio/base_events.py, _run_once).
        due = 1 + int(late / self._period)
        self._schedule(due)
        self._call(deque(list(self._subscribers) * min(due, MAX_CATCH_UP)))

    def _call(self, waiting: deque[Callable[[], None]]) -> None:
        try:
            while waiting:
                callback = waiting.popleft()
                if callback in self._subscribers:
                    callback()
        finally:
            # Only after an exception, which goes to the loop's exception handler before the remaining callbacks run.
            if waiting:
                self._clock().call_soon(self._call, waiting)

    def _clock(self) -> asyncio.AbstractEventLoop:
        self._loop = self._loop or asyncio.get_running_loop()
        return self._loop
