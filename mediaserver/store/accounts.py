"""Accounts and preferences in SQL."""

from dataclasses import asdict
from datetime import UTC, datetime

from sqlalchemy import RowMapping, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from mediaserver.store.column_types import folded, storable
from mediaserver.store.database import Database
from mediaserver.store.interface import RefusedError, TakenError
from mediaserver.store.records import Account, Preferences
from mediaserver.store.revocations import put_revocations
from mediaserver.store.schema import accounts, forgotten, known_networks, preferences, refresh_tokens, sessions


class SqlAccounts:
    """The part of `Store` for accounts and preferences."""

    def __init__(self, database: Database):
        self._database = database

    async def add_account(self, account: Account) -> None:
        """Insert a new account; raises `TakenError`."""
        await self._put(account, is_new=True)

    async def account(self, user: str) -> Account | None:
        """Return the account with this id."""
        async with self._database.reading() as connection:
            row = (await connection.execute(select(accounts).where(accounts.c.id == user))).mappings().first()
        return None if row is None else _account(row)

    async def account_named(self, name: str) -> Account | None:
        """Find the account with this username or email; case is ignored."""
        key = _key(name)
        is_named = or_(accounts.c.username_folded == key, accounts.c.email_folded == key)
        async with self._database.reading() as connection:
            row = (await connection.execute(select(accounts).where(is_named))).mappings().first()
        return None if row is None else _account(row)

    async def accounts(self) -> tuple[Account, ...]:
        """List all accounts, oldest first."""
        query = select(accounts).order_by(accounts.c.created_at, accounts.c.id)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(_account(row) for row in rows)

    async def change_account(self, account: Account) -> None:
        """Update the account of the same id, if it still exists; raises `TakenError`."""
        await self._put(account, is_new=False)

    async def forget_user(self, user: str) -> None:
        """Delete an account or guest with all that is stored, and revoke its id; later facts are ignored."""
        own = select(sessions.c.id).where(sessions.c.owner == user)
        async with self._database.writing() as connection:
            await connection.execute(delete(forgotten).where(or_(forgotten.c.id == user, forgotten.c.id.in_(own))))
            ids = [user, *(await connection.execute(own)).scalars()]
            now = datetime.now(UTC)
            await connection.execute(insert(forgotten), [{"id": forgotten_id, "at": now} for forgotten_id in ids])
            # The user's own id ends every token: families need no revocation of their own.
            await put_revocations(connection, self._database, (user,), now)
            await connection.execute(delete(sessions).where(sessions.c.owner == user))
            await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.owner == user))
            await connection.execute(delete(preferences).where(preferences.c.owner == user))
            await connection.execute(delete(known_networks).where(known_networks.c.account == user))
            await connection.execute(delete(accounts).where(accounts.c.id == user))

    async def preferences(self, user: str) -> Preferences:
        """Return a user's preferences; all None at first."""
        columns = [column for column in preferences.columns if column is not preferences.c.owner]
        async with self._database.reading() as connection:
            query = select(*columns).where(preferences.c.owner == user)
            row = (await connection.execute(query)).mappings().first()
        return Preferences() if row is None else Preferences(**row)

    async def set_preferences(self, user: str, preferred: Preferences) -> None:
        """Replace a user's preferences."""
        async with self._database.writing() as connection:
            await connection.execute(self._database.upsert(preferences), {"owner": user, **asdict(preferred)})

    async def _put(self, account: Account, *, is_new: bool) -> None:
        row = asdict(account) | {"username_folded": _key(account.username), "email_folded": _key(account.email)}
        statement = insert(accounts) if is_new else update(accounts).where(accounts.c.id == account.id)
        try:
            async with self._database.writing() as connection:
                await _check_free(connection, account)
                await connection.execute(statement.values(row))
        except RefusedError:
            # With concurrent transactions another request may have taken the name since the check.
            async with self._database.reading() as connection:
                await _check_free(connection, account)
            raise


async def _check_free(connection: AsyncConnection, account: Account) -> None:
    username, email = _key(account.username), _key(account.email)
    # Both names log in, so a username may not equal another account's email.
    names = (username, email)
    is_alike = or_(accounts.c.username_folded.in_(names), accounts.c.email_folded.in_(names))
    query = select(accounts.c.username_folded, accounts.c.email_folded).where(is_alike, accounts.c.id != account.id)
    taken = {name for row in await connection.execute(query) for name in row}
    if username in taken:
        raise TakenError("username")
    if email in taken:
        raise TakenError("email")


def _key(name: str) -> str:
    return folded(storable(name))


def _account(row: RowMapping) -> Account:
    return Account(
        id=row["id"],
        username=row["username"],
        email=row["email"],
        full_name=row["full_name"],
        password_hash=row["password_hash"],
        created_at=row["created_at"],
    )
