"""Refresh tokens in SQL."""

from dataclasses import asdict, replace
from datetime import datetime

from sqlalchemy import delete, insert, select, update

from mediaserver.store.database import Database
from mediaserver.store.records import RefreshToken
from mediaserver.store.schema import refresh_tokens


class SqlTokens:
    """The part of `Store` for refresh tokens."""

    def __init__(self, database: Database):
        self._database = database

    async def add_token(self, token: RefreshToken) -> None:
        """Insert a refresh token."""
        async with self._database.writing() as connection:
            await connection.execute(insert(refresh_tokens), asdict(token))

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

    async def revoke_family(self, family: str) -> None:
        """Delete every token of a family."""
        async with self._database.writing() as connection:
            await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.family == family))

    async def revoke_user(self, user: str) -> None:
        """Delete every token of a user."""
        async with self._database.writing() as connection:
            await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.owner == user))
