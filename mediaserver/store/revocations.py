"""Revocations in SQL: the ids of what no token may stand for any more."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from mediaserver.store.database import Database
from mediaserver.store.schema import revocations

REVOKED_FOR = timedelta(hours=25)
"""The time for which a revocation is kept: longer than any token lives."""


class SqlRevocations:
    """The part of `Store` for revocations."""

    def __init__(self, database: Database):
        self._database = database

    async def revoke(self, ids: Iterable[str], now: datetime) -> None:
        """Record revocations; those that are recorded already count from `now`."""
        async with self._database.writing() as connection:
            await put_revocations(connection, self._database, ids, now)

    async def revoked_since(self, moment: datetime) -> tuple[str, ...]:
        """List the ids revoked at `moment` or later."""
        query = select(revocations.c.id).where(revocations.c.at >= moment)
        async with self._database.reading() as connection:
            return tuple((await connection.execute(query)).scalars())


async def put_revocations(connection: AsyncConnection, database: Database, ids: Iterable[str], now: datetime) -> None:
    """Record revocations within a transaction."""
    rows = [{"id": revoked, "at": now, "expires_at": now + REVOKED_FOR} for revoked in ids]
    if rows:
        await connection.execute(database.upsert(revocations), rows)
