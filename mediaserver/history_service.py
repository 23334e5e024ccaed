"""Connects sessions to the store: records their history and loads their users' defaults."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Self

from loguru import logger

from mediaserver.registry import Registry
from mediaserver.session_factory import ObserverFactory, SessionOptions
from mediaserver.store.interface import Store, StoreError
from mediaserver.store.recorder import Recorder
from mediaserver.store.retention import Retention
from mediaserver.store.writer import HistoryWriter
from pipeline.conversation.conversation import Conversation
from pipeline.errors import FaultCode, MediaError
from pipeline.peer import Observer


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class HistoryService:
    """Records sessions and deletes their history after `days`; an async context manager that owns both tasks.

    0 days record nothing. While the store is down, sessions go on, and each receives one fault for the outage.
    """

    def __init__(self, store: Store, registry: Registry, *, days: int, clock: Callable[[], datetime] = now):
        self.store = store
        self.writer = HistoryWriter(store, on_failure=self._on_failure)
        self._registry = registry
        self._days = days
        self._clock = clock
        self._retention = Retention(store, days=days, clock=clock, on_failure=self._on_failure)
        self._tasks = AsyncExitStack()

    @property
    def observer_factories(self) -> tuple[ObserverFactory, ...]:
        """Factories of the observers that record a session; none with 0 days."""
        return (self._record,) if self._days else ()

    async def defaults(self, user: str) -> SessionOptions:
        """Load a user's session defaults; empty options if the store fails."""
        try:
            set_by_user = await self.store.preferences(user)
        except StoreError as error:
            logger.warning("preferences cannot be read", reason=str(error))
            return SessionOptions()
        return SessionOptions(
            model=set_by_user.model,
            language=set_by_user.language,
            voice=set_by_user.voice,
            instructions=set_by_user.instructions,
            silence_ms=set_by_user.silence_ms,
        )

    async def is_healthy(self) -> bool:
        """Whether the store takes a write."""
        try:
            await self.store.check()
        except StoreError:
            return False
        return True

    async def __aenter__(self) -> Self:
        await self.store.end_open_sessions(self._clock())
        await self._tasks.enter_async_context(self._retention)
        await self._tasks.enter_async_context(self.writer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.aclose()

    def _record(self, owner: str, transport: str, conversation: Conversation) -> Observer:
        config = conversation.config
        recorder = Recorder(self.writer, owner=owner, transport=transport, clock=self._clock)
        recorder.begin(
            config.id, label=config.label, engine=config.engine, model=config.model, language=config.language
        )
        return recorder

    def _on_failure(self, error: StoreError) -> None:
        logger.error("history cannot be kept", reason=str(error))
        fault = MediaError(
            FaultCode.HISTORY_UNAVAILABLE, "What is said now may be missing from your history.", where="history"
        )
        for conversation in self._registry.conversations():
            conversation.report_error(fault)
