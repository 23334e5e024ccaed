"""The registry of live conversations: start, find, limit, drain."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from loguru import logger

from mediaserver.caller import Caller
from pipeline.conversation.conversation import Conversation
from pipeline.events import EndReason

CANCEL_DEADLINE = 5.0
"""Seconds a cancelled conversation may take to clean up before shutdown goes on without it."""


RETRY_AFTER = 10
"""Seconds after which a refused client should try again."""

RETRY_DRAINING = 30
"""The same while the server restarts."""


class SessionLimit(StrEnum):
    """The limits on live sessions, as clients see their names."""

    SERVER = "server"
    GUESTS = "guests"
    USER = "user"
    ADDRESS = "address"


_MESSAGES = {
    SessionLimit.SERVER: f"The server is full; try again in {RETRY_AFTER} seconds.",
    SessionLimit.GUESTS: f"The server is full for guests; log in, or try again in {RETRY_AFTER} seconds.",
    SessionLimit.USER: "You have too many live sessions; end one.",
    SessionLimit.ADDRESS: "Your address has too many live sessions; end one, or try again when one has ended.",
}


class Full(Exception):
    """A session limit is reached; the message is for the client."""

    def __init__(self, limit: SessionLimit):
        super().__init__(_MESSAGES[limit])
        self.limit = limit

    @property
    def message(self) -> str:
        """The limit in words, and the remedy."""
        return _MESSAGES[self.limit]

    @property
    def is_personal(self) -> bool:
        """Whether the caller's own sessions, or those of its address, are too many."""
        return self.limit in (SessionLimit.USER, SessionLimit.ADDRESS)

    @property
    def details(self) -> dict[str, object]:
        """The limit for programs."""
        return {"limit": self.limit.value, "retry_after": RETRY_AFTER}


class Draining(Exception):
    """The server is shutting down and starts no new conversation."""


@dataclass(frozen=True, slots=True)
class OwnedConversation:
    """A live conversation and the caller who started it."""

    caller: Caller
    conversation: Conversation

    @property
    def owner(self) -> str:
        """The id of its user."""
        return self.caller.user


@dataclass(frozen=True, slots=True)
class Capacity:
    """The most live sessions: in all, of guests, of one user, and of the guests of one network."""

    total: int
    guests: int
    per_user: int
    per_address: int
    counts_accounts_by_address: bool = False
    """Whether accounts count by address too, as they must where anybody can make them."""


class Registry:
    """Holds every live conversation and the one task each runs in."""

    def __init__(self, capacity: Capacity):
        self._capacity = capacity
        self._entries: dict[str, OwnedConversation] = {}
        self._tasks: set[asyncio.Task[EndReason]] = set()
        self._is_draining = False

    def __len__(self) -> int:
        return len(self._entries)

    def check_capacity(self, caller: Caller) -> None:
        """Raise `Full` or `Draining` if the caller cannot start a conversation now."""
        if self._is_draining:
            raise Draining
        capacity, live = self._capacity, [entry.caller for entry in self._entries.values()]
        if sum(other.user == caller.user for other in live) >= capacity.per_user:
            raise Full(SessionLimit.USER)
        if self._counts_by_address(caller):
            neighbours = sum(self._counts_by_address(other) and other.network == caller.network for other in live)
            if neighbours >= capacity.per_address:
                raise Full(SessionLimit.ADDRESS)
        if len(live) >= capacity.total:
            raise Full(SessionLimit.SERVER)
        if caller.is_guest and sum(other.is_guest for other in live) >= capacity.guests:
            raise Full(SessionLimit.GUESTS)

    def start(self, caller: Caller, conversation: Conversation) -> None:
        """Run a conversation until it ends; raises `Full` or `Draining`."""
        self.check_capacity(caller)
        session = conversation.config.id
        self._entries[session] = OwnedConversation(caller, conversation)
        task = asyncio.create_task(conversation.run(), name=f"session {session}")
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._forget(session, done))

    def get(self, session: str) -> OwnedConversation | None:
        """Return the live conversation with this id."""
        return self._entries.get(session)

    def find(self, owner: str, name: str) -> Conversation | None:
        """Find a user's own live conversation by its id or by the client's label."""
        for entry in self._entries.values():
            config = entry.conversation.config
            if entry.owner == owner and name in (config.label, config.id) and not entry.conversation.is_ending:
                return entry.conversation
        return None

    def conversations(self, owner: str | None = None) -> list[Conversation]:
        """List the live conversations, of all users or of one."""
        return [entry.conversation for entry in self._entries.values() if owner in (None, entry.owner)]

    async def end_sessions_of(self, owner: str) -> None:
        """End a user's conversations and wait for their end, at most `CANCEL_DEADLINE`."""
        leaving = {conversation.config.id for conversation in self.conversations(owner)}
        for conversation in self.conversations(owner):
            conversation.end(EndReason.CLIENT)
        await self.wait_for_end(leaving)

    async def wait_for_end(self, sessions: Collection[str]) -> None:
        """Wait until the conversations with these ids have ended, at most `CANCEL_DEADLINE`."""
        tasks = [task for task in self._tasks if task.get_name().removeprefix("session ") in sessions]
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_DEADLINE)

    async def drain(self, grace: float) -> None:
        """Refuse new conversations, end the live ones, and cancel the rest after `grace` seconds."""
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

    def _counts_by_address(self, caller: Caller) -> bool:
        return caller.is_guest or self._capacity.counts_accounts_by_address

    def _forget(self, session: str, task: asyncio.Task[EndReason]) -> None:
        self._tasks.discard(task)
        self._entries.pop(session, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("a session's end failed", session=session)
