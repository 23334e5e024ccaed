"""The store's interface and the errors it raises."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from mediaserver.store.records import Account, Entry, Preferences, RefreshToken, SessionPage, SessionRecord, TurnUsage


class StoreError(Exception):
    """The store cannot be read or written now."""


class RefusedError(StoreError):
    """The database works but refuses this value; a retry cannot succeed."""


class DatabaseUrlError(StoreError):
    """DATABASE_URL cannot be opened; the message lists the accepted forms."""


class NewerDatabaseError(StoreError):
    """A newer version of the server wrote the database; the message gives the remedies."""


class TakenError(Exception):
    """Another account has this `field` ("username" or "email")."""

    def __init__(self, field: str):
        super().__init__(field)
        self.field = field


class CursorError(Exception):
    """The cursor is not one of this store."""


Fact = SessionRecord | Entry | TurnUsage
"""A row of history. It replaces the row with the same key, so a batch may be written twice.

The key of a session record is its id (its owner is never replaced), of an entry its session, turn and role, of a usage
its session and turn."""


class Store(Protocol):
    """Stores accounts, tokens and history; a write that returned survives a crash.

    Every method raises `StoreError` when the database fails.
    """

    # Accounts.

    async def add_account(self, account: Account) -> None:
        """Insert a new account; raises `TakenError`, also if its username is another's email or the reverse."""
        ...

    async def account(self, user: str) -> Account | None:
        """Return the account with this id."""
        ...

    async def account_named(self, name: str) -> Account | None:
        """Find the account with this username or email; case is ignored."""
        ...

    async def accounts(self) -> tuple[Account, ...]:
        """List all accounts, oldest first."""
        ...

    async def change_account(self, account: Account) -> None:
        """Update the account of the same id; raises `TakenError`."""
        ...

    async def forget_user(self, user: str) -> None:
        """Delete an account or guest with all that is stored, and revoke its id; later facts are ignored."""
        ...

    async def preferences(self, user: str) -> Preferences:
        """Return a user's preferences; all None at first."""
        ...

    async def set_preferences(self, user: str, preferences: Preferences) -> None:
        """Replace a user's preferences."""
        ...

    # Refresh tokens.

    async def add_token(self, token: RefreshToken) -> None:
        """Insert a refresh token."""
        ...

    async def spend_token(self, token: str, now: datetime) -> RefreshToken | None:
        """Mark a token as spent atomically; returns the token as it was before, or None."""
        ...

    async def token(self, token: str) -> RefreshToken | None:
        """Return a refresh token by its hash, spent or not."""
        ...

    async def revoke_family(self, family: str, now: datetime) -> None:
        """Delete every token of a family, and revoke the family."""
        ...

    async def revoke_user(self, user: str, now: datetime) -> tuple[str, ...]:
        """Delete every token of a user, and revoke their families, which are returned."""
        ...

    async def delete_tokens(self, user: str) -> None:
        """Delete every token of a user; nothing is revoked."""
        ...

    # Revocations: ids of users, of logins (families of refresh tokens) and of LiveKit tokens.

    async def revoke(self, ids: Iterable[str], now: datetime) -> None:
        """Record revocations; those that are recorded already count from `now`."""
        ...

    async def revoked_since(self, moment: datetime) -> tuple[str, ...]:
        """List the ids revoked at `moment` or later."""
        ...

    # Networks that accounts have logged in from.

    async def add_known_network(self, account: str, network: str, now: datetime) -> None:
        """Record that an account has logged in from a network, given as a digest."""
        ...

    async def is_known_network(self, account: str, network: str, now: datetime) -> bool:
        """Whether an account has logged in from a network in the last 90 days."""
        ...

    # Sessions and history.

    async def write(self, facts: Sequence[Fact]) -> None:
        """Write a batch in one transaction, session records first, the last fact of a key winning.

        Facts of an unknown or deleted session or of a deleted user are ignored. Raises `RefusedError` when the database
        refuses a fact.
        """
        ...

    async def sessions(self, owner: str, *, limit: int, cursor: str | None) -> SessionPage:
        """Return a page of a user's sessions, newest first; raises `CursorError`."""
        ...

    async def session(self, owner: str, name: str) -> SessionRecord | None:
        """Find a user's own session by id, else the newest with this label."""
        ...

    async def history(self, session: str) -> tuple[Entry, ...]:
        """Return the transcript by turn: user, then assistant, then system."""
        ...

    async def usage(self, session: str) -> tuple[TurnUsage, ...]:
        """Return the token usage of each turn, in order."""
        ...

    async def forget_session(self, owner: str, session: str) -> bool:
        """Delete a user's own session with its history; returns False if there is none."""
        ...

    async def adopt(self, guest: str, user: str) -> int:
        """Move the sessions of a guest (never of an account) to a user; returns their number."""
        ...

    async def forget_before(self, moment: datetime) -> int:
        """Delete what ended or expired before `moment`: sessions, tokens, revocations and known networks.

        Returns the number of sessions.

        A spent token is kept until it expires: without it, its reuse would go unnoticed.
        """
        ...

    async def end_open_sessions(self, now: datetime) -> int:
        """End sessions that a crash left open, with reason "error"; returns their number.

        A reply that was cut off is marked as interrupted.
        """
        ...

    async def check(self) -> None:
        """Raise `StoreError` unless the database takes a write."""
        ...

    async def close(self) -> None:
        """Release the database; may be called again."""
        ...
