"""When and why a conversation ends."""

import asyncio
import contextlib
import time
from collections.abc import Callable

from pipeline.conversation.deadlines import Deadlines
from pipeline.events import EndReason


class SessionEnd(Exception):
    """Takes the conversation's TaskGroup down when the session is over, and nothing has broken."""

    def __init__(self, reason: EndReason):
        super().__init__(reason)
        self.reason = reason


class SessionLifetime:
    """Watches the time of one conversation, and takes the first word that it is over.

    Everything but `wait` and `keep_time`, which are for the conversation's tasks, returns at once.
    """

    def __init__(self, *, idle: float, longest: float, grace: float):
        now = time.monotonic()
        self._began = now
        self._lifetime = Deadlines(idle=idle, longest=longest, grace=grace, now=now)
        self._news = asyncio.Event()
        self._cause: Exception | None = None
        self._over = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self._over.is_set()

    @property
    def seconds(self) -> float:
        """How long it has lasted."""
        return time.monotonic() - self._began

    def touch(self) -> None:
        """Something happened: the conversation is not idle."""
        self._lifetime.touch(time.monotonic())

    def on_peer_attached(self) -> None:
        """Somebody is here."""
        self._lifetime.on_peer_attached()

    def on_peer_detached(self, *, grace: float) -> None:
        """Nobody is here any more; for `grace` seconds somebody may come back."""
        self._lifetime.on_peer_detached(time.monotonic(), grace=grace)
        self._news.set()

    def end(self, cause: Exception) -> None:
        """It is over, by `Ended` or by a fault; what comes after the first is nothing."""
        if self._cause is None:
            self._cause = cause
            self._over.set()

    async def wait(self) -> None:
        """Wait for the end, and raise its cause."""
        await self._over.wait()
        assert self._cause is not None
        raise self._cause

    async def run_deadlines(self, *, is_busy: Callable[[], bool], is_speaking: Callable[[], bool]) -> None:
        """End it when time is up: never idle while it `is_busy`, and a reply may say its last words."""
        while True:
            if is_busy():
                self.touch()
            now = time.monotonic()
            reason = self._lifetime.expired_reason(now, is_speaking=is_speaking())
            if reason is not None:
                return self.end(SessionEnd(reason))
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lifetime.seconds_to_deadline(now)):
                    await self._news.wait()
