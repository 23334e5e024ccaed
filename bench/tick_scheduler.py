"""The clock of the load client: ticks every user once in 20 ms, spread over that time."""

import asyncio
from collections.abc import Callable

from bench.simulated_user import TICK

MAX_SLOTS = 10


class TickScheduler:
    """Ticks subscriber n in slot n % `slots` of each 20 ms, on an absolute schedule; no tick is skipped.

    Spread, because real users' packets do not arrive together: a server that wakes up once for all of them would look
    cheaper than it is.
    """

    def __init__(self, slots: int):
        self.lateness: list[float] = []
        """Lateness (s) of each wake-up since this list was last cleared."""
        self._slots: list[list[Callable[[], None]]] = [[] for _ in range(slots)]
        self._period = TICK / slots
        self._loop = asyncio.get_running_loop()
        self._epoch = self._loop.time()
        self._done = 0
        self._subscribed = 0
        self._timer = self._loop.call_at(self._epoch, self._wake)

    def subscribe(self, tick: Callable[[], None]) -> None:
        """Call `tick` every 20 ms from now on."""
        self._slots[self._subscribed % len(self._slots)].append(tick)
        self._subscribed += 1

    def unsubscribe(self, tick: Callable[[], None]) -> None:
        """Stop calling `tick`."""
        for slot in self._slots:
            if tick in slot:
                slot.remove(tick)

    def stop(self) -> None:
        """Stop the clock."""
        self._timer.cancel()

    def _wake(self) -> None:
        now = self._loop.time()
        self.lateness.append(now - self._due)
        while self._due <= now:
            for tick in self._slots[self._done % len(self._slots)]:
                tick()
            self._done += 1
        self._timer = self._loop.call_at(self._due, self._wake)

    @property
    def _due(self) -> float:
        return self._epoch + self._done * self._period
