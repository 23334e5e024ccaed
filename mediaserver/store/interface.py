"""The one seam to what is kept, and the errors it raises."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from mediaserver.store.records import Account, Entry, Preferences, RefreshToken, SessionPage, SessionRecord, TurnUsage


class StoreError(Exception):
    """The store cannot be read or written now."""


class RefusedError(StoreError):
    """The database works, but will never take this value; trying again is no use."""


class DatabaseUrlError(StoreError):
    """DATABASE_URL names no database that can be opened; the message says what would do."""


class NewerDatabaseError(StoreError):
    """The database was written by a newer version of the server; the message says what to do."""


class TakenError(Exception):
    """An account with this `field` ("username" or "email") exists."""

    def __init__(self, field: str):
        super().__init__(field)
        self.field = field


class CursorError(Exception):
    """A cursor that this store did not give."""


Fact = SessionRecord | Entry | TurnUsage
"""What the history writer writes. Each replaces what was written before under the same key: a session record that of
the same id (but never its owner), an entry that of the same session, turn and role, a usage that of the same session
and turn. So a batch may be written twice."""


class Store(Protocol):
    """Every method raises `StoreError` when the database fails; what it says it has written survives a crash."""

    # Accounts.

    async def add_account(self, account: Account) -> None:
        """Keep a new account; raises `TakenError`, also if the username is someone's email or the email a username."""
        ...

    async def account(self, user: str) -> Account | None:
        """The account with this id."""
        ...

    async def account_named(self, name: str) -> Account | None:
        """The account with this username or email, without regard to case."""
        ...

    async def accounts(self) -> tuple[Account, ...]:
        """All accounts, oldest first."""
        ...

    async def change_account(self, account: Account) -> None:
        """Replace the account of the same id; raises `TakenError`."""
        ...

    async def forget_user(self, user: str) -> None:
        """Delete an account or guest with preferences, tokens, sessions and history; later facts are ignored."""
        ...

    async def preferences(self, user: str) -> Preferences:
        """What a user has set; all None at first."""
        ...

    async def set_preferences(self, user: str, preferences: Preferences) -> None:
        """Replace what a user has set."""
        ...

    # Refresh tokens.

    async def add_token(self, token: RefreshToken) -> None:
        """Keep a refresh token."""
        ...

    async def spend_token(self, token: str, now: datetime) -> RefreshToken | None:
        """Mark a token as spent, in one step; the token as it was before, or None if there is none (any more)."""
        ...

    async def revoke_family(self, family: str) -> None:
        """Delete every token of a family."""
        ...

    async def revoke_user(self, user: str) -> None:
        """Delete every token of a user."""
        ...

    # Sessions and history.

    async def write(self, facts: Sequence[Fact]) -> None:
        """Write a batch in one transaction, session records first, the last fact of a key winning.

        Facts of an unknown or deleted session or of a deleted user are ignored. Raises `RefusedError` when a fact is at
        fault and not the database.
        """
        ...

    async def sessions(self, owner: str, *, limit: int, cursor: str | None) -> SessionPage:
        """A user's sessions, newest first; raises `CursorError`."""
        ...

    async def session(self, owner: str, name: str) -> SessionRecord | None:
        """A user's own session, by id, else the newest of this label."""
        ...

    async def history(self, session: str) -> tuple[Entry, ...]:
        """What was said, by turn: first the user, then the assistant, then the system."""
        ...

    async def usage(self, session: str) -> tuple[TurnUsage, ...]:
        """What each turn cost, in order."""
        ...

    async def forget_session(self, owner: str, session: str) -> bool:
        """Delete a user's own session with its history; False if there is none."""
        ...

    async def adopt(self, guest: str, user: str) -> int:
        """Give the sessions of a guest (never those of an account) to a user; how many there were."""
        ...

    async def forget_before(self, moment: datetime) -> int:
        """Delete sessions that ended before `moment`, and tokens that had expired by then; how many sessions.

        A spent token is kept until it expires: without it, its reuse would go unnoticed.
        """
        ...

    async def end_open_sessions(self, now: datetime) -> int:
        """Close what a crash left open, with reason "error"; how many. The reply it broke off counts as interrupted."""
        ...

    async def check(self) -> None:
        """Raise `StoreError` unless the database answers."""
        ...

    async def close(self) -> None:
        """Release the database; may be called again."""
        ...
