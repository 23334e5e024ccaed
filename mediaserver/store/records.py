"""The stored values; times are timezone-aware UTC."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Account:
    """An account. `username` and `email` are unique without regard to case."""

    id: str
    username: str
    email: str
    full_name: str | None
    password_hash: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Preferences:
    """Defaults of a user's sessions; None means the server's default."""

    voice: str | None = None
    language: str | None = None
    model: str | None = None
    instructions: str | None = None
    silence_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token of a family. `id` is its hash: the token itself is never stored."""

    id: str
    family: str
    owner: str
    username: str
    is_guest: bool
    issued_at: datetime
    expires_at: datetime
    spent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One conversation, live or ended."""

    id: str
    owner: str
    label: str
    transport: str
    engine: str
    model: str
    language: str
    started_at: datetime
    ended_at: datetime | None = None
    turns: int = 0
    end_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """The text of user, assistant or system in one turn; `heard_ms` for the assistant only."""

    session: str
    at: datetime
    role: str
    text: str
    turn: int
    interrupted: bool = False
    heard_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TurnUsage:
    """Token usage of one turn, by kind of token."""

    session: str
    turn: int
    at: datetime
    tokens: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionPage:
    """A page of a user's sessions, newest first; `next_cursor` is None on the last page."""

    sessions: tuple[SessionRecord, ...]
    next_cursor: str | None
