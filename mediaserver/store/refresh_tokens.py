"""Refresh tokens in SQL."""

from dataclasses import asdict, replace
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from mediaserver.store.database import Database
from mediaserver.store.records import RefreshToken
from mediaserver.store.revocations import put_revocations
from mediaserver.store.schema import refresh_tokens


class SqlRefreshTokens:
    """The part of `Store` for refresh tokens."""

    def __init__(self, database: Database):
        self._database = database

    async def add_token(self, token: RefreshToken) -> None:
        """Insert a refresh token."""
        async with self._database.writing() as connection:
            await connection.execute(insert(refresh_tokens), asdict(token))

    async def token(self, token: str) -> RefreshToken | None:
        """Return a refresh token by its hash, spent or not."""
        async with self._database.reading() as connection:
            query = select(refresh_tokens).where(refresh_tokens.c.id == token)
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else RefreshToken(**row)

    async def spend_token(self, token: str, now: datetime) -> RefreshToken | None:
        """Mark a token as spent atomically; returns the token as it was before, or None."""
        is_token = refresh_tokens.c.id == token
        spend = update(refresh_tokens).where(is_token, refresh_tokens.c.spent_at.is_(None)).values(spent_at=now)
        async with self._database.writing() as connection:
            was_unspent = (await connection.execute(spend)).rowcount == 1
            row = (await connection.execute(select(refresh_tokens).where(is_token))).mappings().first()
        if row is None:
            return None
        found = RefreshToken(**row)
        return replace(found, spent_at=None) if was_unspent else found

    async def revoke_family(self, family: str, now: datetime) -> None:
        """Delete every token of a family, and revoke the family."""
        async with self._database.writing() as connection:
            await put_revocations(connection, self._database, (family,), now)
            await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.family == family))

    async def revoke_user(self, user: str, now: datetime) -> tuple[str, ...]:
        """Delete every token of a user, and revoke their families, which are returned."""
        is_own = refresh_tokens.c.owner == user
        async with self._database.writing() as connection:
            own = select(refresh_tokens.c.family).where(is_own).distinct()
            families = tuple((await connection.execute(own)).scalars())
            await put_revocations(connection, self._database, families, now)
            await connection.execute(delete(refresh_tokens).where(is_own))
        return families

    async def delete_tokens(self, user: str) -> None:
        """Delete every token of a user; nothing is revoked."""
        async with self._database.writing() as connection:
            await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.owner == user))
