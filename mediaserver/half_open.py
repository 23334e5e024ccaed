"""WebRTC connections: few half-open ones per address, of which a user's newest replaces its oldest; bounded in all."""

from collections.abc import Awaitable, Callable

from mediaserver.caller import Caller
from pipeline.peer import ConversationPort

MAX_PER_ADDRESS = 8
"""Half-open connections of one network: each costs 0.7 MB and an engine session, and a client needs about a second."""

PER_SESSION = 4
"""Established connections for each session that an address may have: any number could join one session."""

RETRY_AFTER = 10
"""Seconds after which all that are half-open now are connected or closed (`RtcLimits.connect`)."""


class TooManyConnections(Exception):
    """The caller can open no more connections now; `message` is for the client."""

    message = "You have too many connections from your address; close one."


class TooManyHalfOpen(TooManyConnections):
    """The caller's network has too many half-open connections, none of which is the caller's own."""

    message = f"Your address is opening too many connections at once; try again in {RETRY_AFTER} seconds."


class HalfOpenConnection:
    """Counts as half-open until it is established, and as established until it is released."""

    def __init__(self, connections: "HalfOpenConnections", caller: Caller):
        self.caller = caller
        self.conversation: ConversationPort | None = None
        self.close: Callable[[], Awaitable[None]] | None = None
        """Closes the connection and waits for its end; None until there is one."""
        self._connections = connections

    def open(self, conversation: ConversationPort, close: Callable[[], Awaitable[None]]) -> None:
        """Allow a newer connection of the same user to close this one."""
        self.conversation, self.close = conversation, close

    def establish(self) -> None:
        """Count as established from now on; nothing happens once it is released."""
        self._connections.establish(self)

    def release(self) -> None:
        """Stop counting, as the connection is closed; may be called more than once."""
        self._connections.release(self)


class HalfOpenConnections:
    """Bounds the half-open connections of each network, and the established ones of each caller there.

    It counts those of all transports.
    """

    def __init__(self, per_address: int = MAX_PER_ADDRESS, *, max_established: int = 40):
        self._per_address = per_address
        self._max_established = max_established
        self._entries: dict[HalfOpenConnection, None] = {}  # a set that keeps its order
        self._established: set[HalfOpenConnection] = set()

    def __len__(self) -> int:
        return len(self._entries)

    async def admit(self, caller: Caller) -> HalfOpenConnection:
        """Count a new connection, and if the network has too many, close the user's oldest one for it.

        Raises `TooManyConnections`.
        """
        if sum(_is_same(entry.caller, caller) for entry in self._established) >= self._max_established:
            raise TooManyConnections
        while sum(entry.caller.network == caller.network for entry in self._entries) >= self._per_address:
            if await self._close_first(caller.user, lambda _: True) is None:
                raise TooManyHalfOpen
        entry = HalfOpenConnection(self, caller)
        self._entries[entry] = None
        return entry

    async def close_unused(self, user: str) -> str | None:
        """Close the user's oldest half-open connection to a conversation that nobody has used; return its session."""
        return await self._close_first(user, lambda conversation: not conversation.is_used)

    def establish(self, entry: HalfOpenConnection) -> None:
        """Count a half-open connection as established."""
        if entry in self._entries:
            del self._entries[entry]
            self._established.add(entry)

    def release(self, entry: HalfOpenConnection) -> None:
        """Forget a connection."""
        self._entries.pop(entry, None)
        self._established.discard(entry)

    async def _close_first(self, user: str, matches: Callable[[ConversationPort], bool]) -> str | None:
        for entry in self._entries:
            if entry.caller.user == user and entry.conversation is not None and matches(entry.conversation):
                assert entry.close is not None
                entry.release()
                await entry.close()
                return entry.conversation.config.id
        return None


def _is_same(one: Caller, other: Caller) -> bool:
    # A room's guests come with tokens of its owner, from anywhere: by network too.
    return (one.counted_as, one.network) == (other.counted_as, other.network)
