"""Opens the database of DATABASE_URL, with all code specific to SQLite or PostgreSQL."""

import asyncio
import os
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import URL, Connection, Table, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.base import Executable
from sqlalchemy.util import await_only

from mediaserver.store.interface import DatabaseUrlError

FILE = "mediaserver.db"
BUSY_SECONDS = 5.0
"""Seconds that SQLite waits for a lock of another process, such as a backup."""
BUSY_POLL = 0.02
READERS = 4
"""Connections that read a SQLite file, each with its own thread."""
POSTGRESQL_DRIVERS = ("asyncpg", "psycopg")
ACCEPTED = "sqlite:////absolute/path, sqlite:///relative/path or postgresql://user:password@host/database"


@dataclass(frozen=True, slots=True)
class DatabaseConnections:
    """Connection pools of one database. With SQLite one connection writes, so writers queue in order."""

    readers: AsyncEngine
    writers: AsyncEngine

    async def dispose(self) -> None:
        """Close every connection."""
        await self.readers.dispose()
        await self.writers.dispose()


def open_engines(database_url: str | None, *, data_dir: Path) -> DatabaseConnections:
    """Create the pools for a URL, or without one for a file in `data_dir`; raises `DatabaseUrlError` or `OSError`."""
    url = _url(database_url) if database_url else URL.create("sqlite+aiosqlite", database=str(data_dir / FILE))
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    # An idle connection that broke is detected and replaced before use.
    engine = create_async_engine(url, pool_pre_ping=True, hide_parameters=True)
    return DatabaseConnections(engine, engine)


def upsert(engine: AsyncEngine, table: Table, *, keep: Collection[str] = ()) -> Executable:
    """Build an upsert that replaces all columns but the key and those in `keep`."""
    insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
    statement = insert(table)
    fixed = {column.name for column in table.primary_key} | set(keep)
    changes = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in fixed}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changes)


def _url(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise DatabaseUrlError(f"DATABASE_URL is not a database's address; it accepts {ACCEPTED}.") from None
    match url.drivername:
        case "sqlite" | "sqlite+aiosqlite":
            if not url.database or ":memory:" in url.database or url.database.startswith("file:"):
                # A discarded connection, as after a cancelled query, would lose all stored data.
                raise DatabaseUrlError(f"DATABASE_URL must name a file for SQLite; it accepts {ACCEPTED}.")
            if url.query:  # such as ?mode=ro, with which every write would fail later
                raise DatabaseUrlError(f"DATABASE_URL takes no parameters for SQLite; it accepts {ACCEPTED}.")
            return url.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres":
            return url.set(drivername=f"postgresql+{_postgresql_driver(POSTGRESQL_DRIVERS)}")
        case "postgresql+asyncpg" | "postgresql+psycopg":
            return url.set(drivername=f"postgresql+{_postgresql_driver([url.get_driver_name()])}")
        case _:
            raise DatabaseUrlError(f"DATABASE_URL names {url.drivername}, which is not known; it accepts {ACCEPTED}.")


def _postgresql_driver(names: Collection[str]) -> str:
    for name in names:
        if find_spec(name) is not None:
            return name
    wanted = next(iter(names))
    raise DatabaseUrlError(
        f"DATABASE_URL names PostgreSQL, and its driver is not installed: run `pip install {wanted}` in the server's "
        f"environment, or leave DATABASE_URL unset to keep a SQLite file in DATA_DIR."
    )


def _sqlite(url: URL) -> DatabaseConnections:
    _make_private(Path(url.database or ""))
    # Python's own transaction control begins too late for DDL and for reading before writing, so it is switched off.
    connect = {"isolation_level": None, "timeout": BUSY_SECONDS, "async_creator_fn": _open}
    writers = create_async_engine(url, connect_args=connect, hide_parameters=True, pool_size=1, max_overflow=0)
    readers = create_async_engine(
        url,
        connect_args=connect,
        hide_parameters=True,
        pool_size=READERS,
        max_overflow=0,
        skip_autocommit_rollback=True,  # readers never open a transaction: each query sees one state of the file
    )

    @event.listens_for(writers.sync_engine, "connect")
    def prepare_writer(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        # FULL: a commit is on the disk when it returns, so neither a crash nor a power cut takes it back. In WAL mode
        # that is one fsync per commit, in the connection's thread; NORMAL would not corrupt either, but could lose a
        # spent token or a deleted account with the power.
        _switch_to_wal(connection)
        _run(connection, "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON")
        _run(connection, "PRAGMA secure_delete = ON")  # what a user deletes is overwritten, not just unlinked

    @event.listens_for(readers.sync_engine, "connect")
    def prepare_reader(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        _run(connection, "PRAGMA query_only = ON")

    @event.listens_for(writers.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and then writes fails at once if another process wrote in between; one that
        # takes the write lock at its start waits for it instead.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return DatabaseConnections(readers, writers)


async def _open(*arguments: Any, **options: Any) -> aiosqlite.Connection:
    # aiosqlite 0.22.1 (core.py, `Connection._connect`) forgets a connection whose opening is cancelled, and leaves it
    # open. So the opening goes on, and what was opened is closed before the cancellation goes its way.
    connection = aiosqlite.connect(*arguments, **options)
    connection._thread.daemon = True  # as SQLAlchemy has it for connections that it makes itself
    opening = asyncio.ensure_future(_opened(connection))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait([opening])
        if opening.exception() is None:
            await connection.close()
        raise


async def _opened(connection: aiosqlite.Connection) -> aiosqlite.Connection:
    return await connection


def _switch_to_wal(connection: DBAPIConnection) -> None:
    # The one statement for which SQLite does not wait: a server that starts beside another one waits here.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return _run(connection, "PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        await_only(asyncio.sleep(BUSY_POLL))


def _run(connection: DBAPIConnection, *statements: str) -> None:
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def _make_private(path: Path) -> None:
    # It holds password hashes and conversations: only the server's user may read it. SQLite copies the mode to its
    # other files.
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
