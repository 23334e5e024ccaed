"""The store on SQLAlchemy Core: a SQLite file, or PostgreSQL."""

from datetime import UTC, datetime
from pathlib import Path

from alembic.util import CommandError

from mediaserver.store.accounts import SqlAccounts
from mediaserver.store.connect import DatabaseConnections, open_engines
from mediaserver.store.database import Database, failures_translated
from mediaserver.store.history import SqlHistory
from mediaserver.store.interface import StoreError
from mediaserver.store.known_networks import SqlKnownNetworks
from mediaserver.store.migration import migrate
from mediaserver.store.refresh_tokens import SqlRefreshTokens
from mediaserver.store.revocations import SqlRevocations
from mediaserver.store.schema import forgotten

CHECK_ROW = "health check"
"""The id in the table `forgotten` that `SqlStore.check` writes; ids of users and sessions are made by the server."""


class SqlStore(SqlAccounts, SqlRefreshTokens, SqlRevocations, SqlKnownNetworks, SqlHistory):
    """Implements `Store` in one database, opened by `open_store`."""

    async def check(self) -> None:
        """Raise `StoreError` unless the database takes a write."""
        # A read succeeds on a full disk and beside another process's lock. This row is nobody's id.
        statement = self._database.upsert(forgotten)
        async with self._database.writing() as connection:
            await connection.execute(statement, {"id": CHECK_ROW, "at": datetime.now(UTC)})

    async def close(self) -> None:
        """Close every connection; idempotent."""
        await self._database.close()


async def open_store(database_url: str | None, *, data_dir: Path) -> SqlStore:
    """Open the store at a URL, else in a file in `data_dir`, and migrate it in one transaction.

    Raises `StoreError`, `DatabaseUrlError` or `NewerDatabaseError`.
    """
    with failures_translated():
        engines = open_engines(database_url, data_dir=data_dir)
    try:
        await _migrate(engines)
    except BaseException:
        await engines.dispose()
        raise
    return SqlStore(Database(engines))


async def _migrate(engines: DatabaseConnections) -> None:
    try:
        with failures_translated():
            # No deadline: rewriting a large table takes long, and stopping half way would be worse.
            async with engines.writers.begin() as connection:
                await connection.run_sync(migrate)
    except CommandError as error:
        raise StoreError(f"The database cannot be migrated: {error}") from error
