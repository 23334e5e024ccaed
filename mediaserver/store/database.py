"""Transactions with a deadline, and the translation of database errors."""

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import Executable

from mediaserver.deadline import within
from mediaserver.store.connect import DatabaseConnections, upsert
from mediaserver.store.interface import RefusedError, StoreError

T = TypeVar("T")

DEADLINE = 10.0
"""Seconds a transaction that writes may take, including the wait for a connection."""
READ_DEADLINE = 4.0
"""Seconds in which what was asked for is read, or an error is raised."""


class Database:
    """One database; all its errors are raised as `StoreError`, without the values in question."""

    def __init__(self, engines: DatabaseConnections):
        self._engines = engines
        self._is_closed = False

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Open a connection for queries; raises `StoreError`."""
        self._check_open()
        with failures_translated():
            async with asyncio.timeout(READ_DEADLINE), self._engines.readers.connect() as connection:
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction that commits unless the block raises; raises `StoreError`."""
        self._check_open()
        with failures_translated():
            async with asyncio.timeout(DEADLINE), self._engines.writers.begin() as connection:
                yield connection

    def upsert(self, table: Table, *, keep: Collection[str] = ()) -> Executable:
        """Build an upsert that replaces all columns but the key and those in `keep`."""
        return upsert(self._engines.writers, table, keep=keep)

    async def close(self) -> None:
        """Close every connection; may be called again."""
        self._is_closed = True
        await self._engines.dispose()

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError("The store is closed.")


async def read_in_time(reading: Coroutine[Any, Any, T]) -> T:
    """Return what several reads, and writes they wait for, yield together; raises `StoreError` when it is late."""
    with failures_translated():
        return await within(READ_DEADLINE, reading)


@contextmanager
def failures_translated() -> Iterator[None]:
    """Translate errors of the database to `StoreError` or `RefusedError`."""
    try:
        yield
    except (IntegrityError, DataError, OverflowError) as error:
        # The driver's message may quote the value, so it is dropped.
        raise RefusedError(f"The database does not take this value ({type(error).__name__}).") from None
    except DBAPIError as error:
        raise StoreError(f"The database failed: {_first_line(error.orig)}") from error
    except StatementError as error:
        raise RefusedError(f"This value cannot be stored ({type(error.orig).__name__}).") from None
    except TimeoutError as error:
        raise StoreError("The database took too long.") from error
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(f"The database cannot be used: {_first_line(error)}") from error


def _first_line(error: BaseException | None) -> str:
    # PostgreSQL's further lines may quote values.
    return (str(error).splitlines() or [type(error).__name__])[0]
