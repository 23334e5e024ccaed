"""The set of conversations: start, find, limit, drain."""

import asyncio
from dataclasses import dataclass

from loguru import logger

from pipeline.conversation.conversation import Conversation
from pipeline.events import EndReason

CANCEL_DEADLINE = 5.0
"""Seconds a cancelled conversation may take to clean up before shutdown goes on without it."""


class Full(Exception):
    """No further conversation can be started; `is_personal` when it is the user's own limit that is reached."""

    def __init__(self, *, is_personal: bool):
        super().__init__("session limit")
        self.is_personal = is_personal


class Draining(Exception):
    """The server is shutting down and takes no new conversation."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A live conversation and whose it is."""

    owner: str
    conversation: Conversation


class Registry:
    """Holds every live conversation and the one task each runs in."""

    def __init__(self, *, max_sessions: int, max_per_user: int):
        self._max_sessions = max_sessions
        self._max_per_user = max_per_user
        self._entries: dict[str, Entry] = {}
        self._tasks: set[asyncio.Task[EndReason]] = set()
        self._is_draining = False

    def __len__(self) -> int:
        return len(self._entries)

    def check_capacity(self, owner: str) -> None:
        """Raise `Full` or `Draining` if `owner` cannot start a conversation now."""
        if self._is_draining:
            raise Draining
        if len(self._entries) >= self._max_sessions:
            raise Full(is_personal=False)
        if sum(entry.owner == owner for entry in self._entries.values()) >= self._max_per_user:
            raise Full(is_personal=True)

    def start(self, owner: str, conversation: Conversation) -> None:
        """Run a conversation until it ends; raises `Full` or `Draining`."""
        self.check_capacity(owner)
        session = conversation.config.id
        self._entries[session] = Entry(owner, conversation)
        task = asyncio.create_task(conversation.run(), name=f"session {session}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(session, done))

    def get(self, session: str) -> Entry | None:
        """The live conversation with this id."""
        return self._entries.get(session)

    def find(self, owner: str, name: str) -> Conversation | None:
        """A user's own live conversation, by its id or by the label the client gave it."""
        for entry in self._entries.values():
            config = entry.conversation.config
            if entry.owner == owner and name in (config.label, config.id) and not entry.conversation.is_ending:
                return entry.conversation
        return None

    def conversations(self, owner: str | None = None) -> list[Conversation]:
        """The live conversations, all or one owner's."""
        return [entry.conversation for entry in self._entries.values() if owner in (None, entry.owner)]

    async def end_all_of(self, owner: str) -> None:
        """End a user's conversations, and wait until they have ended."""
        leaving = {conversation.config.id for conversation in self.conversations(owner)}
        for conversation in self.conversations(owner):
            conversation.end(EndReason.CLIENT)
        tasks = [task for task in self._tasks if task.get_name().removeprefix("session ") in leaving]
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_DEADLINE)

    async def drain(self, grace: float) -> None:
        """Take nothing new, end every conversation politely, and cancel what has not ended after `grace` seconds."""
        self._is_draining = True
        for entry in list(self._entries.values()):
            entry.conversation.end(EndReason.SHUTDOWN)
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=grace)
        for task in late:
            task.cancel()
        if late:
            _, stuck = await asyncio.wait(late, timeout=CANCEL_DEADLINE)
            for task in stuck:
                logger.error("a session does not end", task=task.get_name())

    def _forget(self, session: str, task: asyncio.Task[EndReason]) -> None:
        self._tasks.discard(task)
        self._entries.pop(session, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("a session's end failed", session=session)
