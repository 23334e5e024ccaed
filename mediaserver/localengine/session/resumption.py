"""Handles that resume a session on another connection (ai.google.dev, Session management)."""

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
"""The close reason for a handle whose session is still connected."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """Limits of handles: validity (s) after the last connection of a session, count, and total bytes."""

    valid: float = 7200.0
    max_handles: int = 500
    max_per_session: int = 8
    max_bytes: int = 128 << 20
    while_open: bool = False
    """Whether a connected session can be resumed; Google's server was seen to refuse."""


DEFAULT_RESUMPTION = Resumption()


@dataclass(slots=True)
class _SessionLineage:
    """One session over all its connections."""

    owner: bytes
    connections: int = 0
    ended: float = 0.0
    handles: deque[str] = field(default_factory=deque)


@dataclass(frozen=True, slots=True)
class _Snapshot:
    lineage: _SessionLineage
    context: Context
    size: int


class Handles:
    """The resumable sessions; beyond the limits, the oldest handles are dropped."""

    def __init__(self, rules: Resumption = DEFAULT_RESUMPTION, *, clock: Callable[[], float] = time.monotonic):
        self._rules = rules
        self._clock = clock
        self._saved: dict[str, _Snapshot] = {}  # oldest first
        self._bytes = 0

    def begin(self, key: str) -> "SessionConnection":
        """Open a new session of the client with this API key."""
        return SessionConnection(self, _SessionLineage(_digest(key)))

    def resume(self, handle: str, key: str) -> tuple["SessionConnection", Context]:
        """Reconnect the session of a handle, and return its context; raises `WireError`."""
        self._forget_expired()
        saved = self._saved.get(handle)
        if saved is None or not hmac.compare_digest(saved.lineage.owner, _digest(key)):
            raise WireError(POLICY, SESSION_NOT_FOUND)
        if saved.lineage.connections and not self._rules.while_open:
            raise WireError(INTERNAL, STILL_OPEN)
        return SessionConnection(self, saved.lineage), saved.context.copy()

    def __len__(self) -> int:
        return len(self._saved)

    def _save(self, lineage: _SessionLineage, context: Context) -> str:
        handle = secrets.token_urlsafe(32)
        size = context.size
        self._saved[handle] = _Snapshot(lineage, context.copy(), size)
        self._bytes += size
        lineage.handles.append(handle)
        if len(lineage.handles) > self._rules.max_per_session:
            self._forget(lineage.handles[0])
        self._forget_expired()
        while len(self._saved) > self._rules.max_handles or self._bytes > self._rules.max_bytes:
            self._forget(next(iter(self._saved)))
        return handle

    def _disconnect(self, lineage: _SessionLineage) -> None:
        lineage.connections -= 1
        lineage.ended = self._clock()

    def _forget_expired(self) -> None:
        oldest = self._clock() - self._rules.valid
        for handle, saved in list(self._saved.items()):
            if not saved.lineage.connections and saved.lineage.ended <= oldest:
                self._forget(handle)

    def _forget(self, handle: str) -> None:
        saved = self._saved.pop(handle)
        saved.lineage.handles.remove(handle)
        self._bytes -= saved.size


class SessionConnection:
    """One connection of a resumable session."""

    def __init__(self, handles: Handles, lineage: _SessionLineage):
        self._handles = handles
        self._lineage = lineage
        self._is_open = True
        lineage.connections += 1

    def save(self, context: Context) -> str:
        """Return a handle to the session as it is now."""
        return self._handles._save(self._lineage, context)

    def close(self) -> None:
        """Release the session, so that the next connection can resume it; may be repeated."""
        if self._is_open:
            self._is_open = False
            self._handles._disconnect(self._lineage)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
