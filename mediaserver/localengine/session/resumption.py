"""Handles with which a client brings its session over to another connection (ai.google.dev, Session management)."""

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from mediaserver.localengine.protocol.codec import INTERNAL, POLICY, SESSION_NOT_FOUND, WireError
from mediaserver.localengine.session.context import Context

STILL_OPEN = "Internal error encountered. The session is still connected."
"""The reason for refusing a handle whose session has a connection."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """What handles are good for: seconds after the last connection of their session; how many; bytes of all."""

    valid: float = 7200.0
    most: int = 500
    most_of_a_session: int = 8
    most_bytes: int = 128 << 20
    while_open: bool = False
    """Whether a session can be resumed that still has a connection; Google's was seen to refuse."""


LIKE_GOOGLES = Resumption()


@dataclass(slots=True)
class _SessionLineage:
    """One session, over all its connections."""

    owner: bytes
    connections: int = 0
    ended: float = 0.0
    handles: deque[str] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    thread: _SessionLineage
    context: Context
    size: int


class Handles:
    """All sessions that can be resumed; of too many the oldest are forgotten."""

    def __init__(self, rules: Resumption = LIKE_GOOGLES, *, clock: Callable[[], float] = time.monotonic):
        self._rules = rules
        self._clock = clock
        self._saved: dict[str, _Snapshot] = {}  # oldest first
        self._bytes = 0

    def begin(self, key: str) -> "Connection":
        """Connect a new session of the client with this API key."""
        return Connection(self, _SessionLineage(_digest(key)))

    def resume(self, handle: str, key: str) -> tuple["Connection", Context]:
        """Connect the session of a handle and say what it knew then; raises `WireError`."""
        self._forget_expired()
        saved = self._saved.get(handle)
        if saved is None or not hmac.compare_digest(saved.thread.owner, _digest(key)):
            raise WireError(POLICY, SESSION_NOT_FOUND)
        if saved.thread.connections and not self._rules.while_open:
            raise WireError(INTERNAL, STILL_OPEN)
        return Connection(self, saved.thread), saved.context.copy()

    def __len__(self) -> int:
        return len(self._saved)

    def _save(self, thread: _SessionLineage, context: Context) -> str:
        handle = secrets.token_urlsafe(32)
        size = context.size
        self._saved[handle] = _Snapshot(thread, context.copy(), size)
        self._bytes += size
        thread.handles.append(handle)
        if len(thread.handles) > self._rules.most_of_a_session:
            self._forget(thread.handles[0])
        self._forget_expired()
        while len(self._saved) > self._rules.most or self._bytes > self._rules.most_bytes:
            self._forget(next(iter(self._saved)))
        return handle

    def _disconnect(self, thread: _SessionLineage) -> None:
        thread.connections -= 1
        thread.ended = self._clock()

    def _forget_expired(self) -> None:
        oldest = self._clock() - self._rules.valid
        for handle, saved in list(self._saved.items()):
            if not saved.thread.connections and saved.thread.ended <= oldest:
                self._forget(handle)

    def _forget(self, handle: str) -> None:
        saved = self._saved.pop(handle)
        saved.thread.handles.remove(handle)
        self._bytes -= saved.size


class Connection:
    """One connection's hold on its session."""

    def __init__(self, handles: Handles, thread: _SessionLineage):
        self._handles = handles
        self._thread = thread
        self._is_open = True
        thread.connections += 1

    def save(self, context: Context) -> str:
        """Give a handle to the session as it is now."""
        return self._handles._save(self._thread, context)

    def close(self) -> None:
        """Note that this connection is over, so that the next one can take the session on; again is harmless."""
        if self._is_open:
            self._is_open = False
            self._handles._disconnect(self._thread)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
