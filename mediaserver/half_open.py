"""Connections without a media path yet: few per address, and a user's newest one replaces its oldest."""

from collections.abc import Awaitable, Callable

from mediaserver.caller import Caller
from pipeline.peer import ConversationPort

MAX_PER_ADDRESS = 8
"""Half-open connections of one network: each costs 0.7 MB and an engine session, and a client needs about a second."""

RETRY_AFTER = 10
"""Seconds after which all that are half-open now are connected or closed (`RtcLimits.connect`)."""


class TooManyHalfOpen(Exception):
    """The caller's network has too many half-open connections, none of which is the caller's own."""

    message = f"Your address is opening too many connections at once; try again in {RETRY_AFTER} seconds."


class HalfOpenConnection:
    """Counts as half-open until it is released."""

    def __init__(self, caller: Caller, forget: Callable[["HalfOpenConnection"], None]):
        self.caller = caller
        self.conversation: ConversationPort | None = None
        self.close: Callable[[], Awaitable[None]] | None = None
        """Closes the connection and waits for its end; None until there is one."""
        self._forget = forget

    def open(self, conversation: ConversationPort, close: Callable[[], Awaitable[None]]) -> None:
        """Allow a newer connection of the same user to close this one."""
        self.conversation, self.close = conversation, close

    def release(self) -> None:
        """Stop counting, as the connection is established or closed; may be called more than once."""
        self._forget(self)


class HalfOpenConnections:
    """Bounds the half-open connections of each network, over all transports."""

    def __init__(self, per_address: int = MAX_PER_ADDRESS):
        self._per_address = per_address
        self._entries: dict[HalfOpenConnection, None] = {}  # a set that keeps its order

    def __len__(self) -> int:
        return len(self._entries)

    async def admit(self, caller: Caller) -> HalfOpenConnection:
        """Count a new connection, and if the network has too many, close the user's oldest one for it.

        Raises `TooManyHalfOpen`.
        """
        while sum(entry.caller.network == caller.network for entry in self._entries) >= self._per_address:
            if await self._close_first(caller.user, lambda _: True) is None:
                raise TooManyHalfOpen
        entry = HalfOpenConnection(caller, self._release)
        self._entries[entry] = None
        return entry

    async def close_unused(self, user: str) -> str | None:
        """Close the user's oldest half-open connection to a conversation that nobody has used; return its session."""
        return await self._close_first(user, lambda conversation: not conversation.is_used)

    async def _close_first(self, user: str, matches: Callable[[ConversationPort], bool]) -> str | None:
        for entry in self._entries:
            if entry.caller.user == user and entry.conversation is not None and matches(entry.conversation):
                assert entry.close is not None
                entry.release()
                await entry.close()
                return entry.conversation.config.id
        return None

    def _release(self, entry: HalfOpenConnection) -> None:
        self._entries.pop(entry, None)
