"""The lifetime of a conversation: its deadlines, and the signal that ends it."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable

from pipeline.events import EndReason

SPEAKING_GRACE = 15.0
"""Seconds a reply may continue after the session's maximum duration."""

MIN_WAIT = 0.25
"""Least seconds to the next deadline check, such as while a late reply is still being played."""


class SessionEnd(Exception):
    """Ends the conversation's TaskGroup when the session is over without an error."""

    def __init__(self, reason: EndReason):
        super().__init__(reason)
        self.reason = reason


class Deadlines:
    """Idle, empty and maximum duration deadlines; `now` is any monotonic clock in seconds. Begins without peers.

    Until its first use a conversation is idle after `unused` seconds if that is less than `idle`.
    """

    def __init__(self, *, idle: float, longest: float, grace: float, now: float, unused: float = math.inf):
        self.started_at = now
        self.is_used = False
        self._idle = idle
        self._unused = min(unused, idle)
        self._longest = longest
        self._active_at = now
        self._empty: tuple[float, float] | None = now, grace  # since when, and for how long at most

    def touch(self, now: float) -> None:
        """Restart the idle deadline."""
        self.is_used = True
        self._active_at = now

    def on_peer_attached(self) -> None:
        """Clear the deadline of an empty conversation."""
        self._empty = None

    def on_peer_detached(self, now: float, *, grace: float) -> None:
        """End the conversation after `grace` seconds unless a peer attaches; the last one has detached."""
        self._empty = now, grace

    def expired_reason(self, now: float, *, is_speaking: bool) -> EndReason | None:
        """Return the end reason that applies now, or None; `is_speaking` extends the maximum duration."""
        if self._empty is not None and now >= sum(self._empty):
            return EndReason.CLIENT
        if now >= self._idle_at:
            return EndReason.IDLE
        limit = self.started_at + self._longest + (SPEAKING_GRACE if is_speaking else 0.0)
        return EndReason.LIMIT if now >= limit else None

    def seconds_to_deadline(self, now: float) -> float:
        """Return the seconds until the next deadline, at least `MIN_WAIT`."""
        moments = [self._idle_at, self.started_at + self._longest]
        if self._empty is not None:
            moments.append(sum(self._empty))
        return max(MIN_WAIT, min(moments) - now)

    @property
    def _idle_at(self) -> float:
        return self._active_at + (self._idle if self.is_used else self._unused)


class SessionLifetime:
    """Ends one conversation: at a deadline, on request, or on an error, whichever comes first.

    All methods but `wait` and `run_deadlines`, which run as tasks of the conversation, return at once.
    """

    def __init__(self, *, idle: float, longest: float, grace: float, unused: float = math.inf):
        self._deadlines = Deadlines(idle=idle, longest=longest, grace=grace, now=time.monotonic(), unused=unused)
        self._wakeup = asyncio.Event()
        self._cause: Exception | None = None
        self._ended = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether the conversation is over."""
        return self._ended.is_set()

    @property
    def is_used(self) -> bool:
        """Whether a client has sent media, text or an action."""
        return self._deadlines.is_used

    @property
    def seconds(self) -> float:
        """Seconds since the conversation began."""
        return time.monotonic() - self._deadlines.started_at

    def mark_used(self) -> None:
        """Record that a client has sent media, which alone does not restart the idle deadline."""
        self._deadlines.is_used = True

    def touch(self) -> None:
        """Restart the idle deadline."""
        self._deadlines.touch(time.monotonic())

    def on_peer_attached(self) -> None:
        """Clear the deadline of an empty conversation."""
        self._deadlines.on_peer_attached()

    def on_peer_detached(self, *, grace: float) -> None:
        """End the conversation after `grace` seconds unless a peer attaches; the last one has detached."""
        self._deadlines.on_peer_detached(time.monotonic(), grace=grace)
        self._wakeup.set()

    def end(self, cause: Exception) -> None:
        """End with `SessionEnd` or an error; only the first call counts."""
        if self._cause is None:
            self._cause = cause
            self._ended.set()

    async def wait(self) -> None:
        """Wait for the end, and raise its cause."""
        await self._ended.wait()
        assert self._cause is not None
        raise self._cause

    async def run_deadlines(self, *, is_busy: Callable[[], bool], is_speaking: Callable[[], bool]) -> None:
        """End at the first deadline; `is_busy` holds off the idle one, `is_speaking` extends the maximum."""
        while True:
            if is_busy():
                self.touch()
            now = time.monotonic()
            reason = self._deadlines.expired_reason(now, is_speaking=is_speaking())
            if reason is not None:
                return self.end(SessionEnd(reason))
            self._wakeup.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._deadlines.seconds_to_deadline(now)):
                    await self._wakeup.wait()
