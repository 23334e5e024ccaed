"""A store for each test, and the rule that every test leaves nothing behind."""

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from mediaserver.store.sql_store import SqlStore, open_store

POSTGRESQL = os.environ.get("MEDIASERVER_TEST_POSTGRESQL")
"""Such as postgresql+asyncpg://user@host/scratch: a database whose contents may be dropped."""


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """No task, no connection, no connection's thread."""
    before = asyncio.all_tasks()
    threads = threading.active_count()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    gc.collect()  # an unclosed connection warns, which is an error here
    assert not left
    async with asyncio.timeout(5):
        while threading.active_count() > threads:  # a connection's thread ends just after its connection
            await asyncio.sleep(0.01)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """A new SQLite file."""
    opened = await open_store(None, data_dir=tmp_path)
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", "postgresql"] if POSTGRESQL else ["sqlite"])
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlStore]:
    """An empty store on each kind of database."""
    url = None
    if request.param == "postgresql" and POSTGRESQL is not None:
        url = POSTGRESQL
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("DROP SCHEMA public CASCADE"))
            await connection.execute(text("CREATE SCHEMA public"))
        await engine.dispose()
    opened = await open_store(url, data_dir=tmp_path)
    yield opened
    await opened.close()
