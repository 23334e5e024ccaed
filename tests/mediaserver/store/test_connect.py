"""How a database is found, set up, brought up to date or refused."""

import asyncio
import sqlite3
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.schema import CreateTable

from mediaserver.store import connect as engines
from mediaserver.store import migration
from mediaserver.store.interface import DatabaseUrlError, NewerDatabaseError, StoreError
from mediaserver.store.records import Account
from mediaserver.store.schema import metadata
from mediaserver.store.sql_store import open_store

ADA = Account("1", "ada", "ada@example.org", None, "argon2", datetime(2026, 1, 1, tzinfo=UTC))


def query(path: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).fetchall()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def holds(path: Path, word: bytes) -> bool:
    return word in path.read_bytes()


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    """A database with one account in it."""
    store = await open_store(None, data_dir=tmp_path)
    await store.add_account(ADA)
    await store.close()
    return tmp_path / engines.FILE


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
async def test_a_url_names_the_file(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "a folder" / "my.db"
    store = await open_store(f"{scheme}:///{path}", data_dir=tmp_path)
    await store.check()
    await store.close()
    assert path.exists()
    assert not (tmp_path / engines.FILE).exists()


async def test_without_a_url_the_file_is_in_the_data_folder_and_survives_a_restart(file: Path) -> None:
    store = await open_store("", data_dir=file.parent)
    assert await store.account("1") == ADA
    await store.close()


async def test_the_file_is_for_the_servers_own_user_only(file: Path) -> None:
    assert mode(file) == 0o600


async def test_the_file_keeps_its_promises_in_wal_mode(file: Path) -> None:
    assert query(file, "PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "mysql://ada:pa55@host/db",
        "my.db",
        "sqlite+pysqlite:///x",
        "sqlite:///x.db?mode=ro",
    ],
)
async def test_a_url_that_will_not_do_is_refused_with_what_would(tmp_path: Path, url: str) -> None:
    with pytest.raises(DatabaseUrlError, match=r"DATABASE_URL.*accepts sqlite") as refused:
        await open_store(url, data_dir=tmp_path)
    assert "pa55" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://ada:pa55@host/db", "asyncpg"),
        ("postgres://ada:pa55@host/db", "asyncpg"),
        ("postgresql+psycopg://ada:pa55@host/db", "psycopg"),
    ],
)
async def test_postgresql_without_its_driver_names_what_to_install(
    tmp_path: Path, url: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(DatabaseUrlError, match=f"pip install {driver}") as refused:
        await open_store(url, data_dir=tmp_path)
    assert "pa55" not in str(refused.value)


async def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / engines.FILE
    path.write_bytes(b"something else\n" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        await open_store(None, data_dir=tmp_path)
    assert path.read_bytes() == b"something else\n" * 1000


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        await open_store(None, data_dir=tmp_path / "file")


async def test_a_newer_database_is_refused_in_words_and_left_alone(file: Path) -> None:
    query(file, "UPDATE alembic_version SET version_num = '999'")
    with pytest.raises(NewerDatabaseError, match=r"revision 999.*newer version.*restore the backup"):
        await open_store(None, data_dir=file.parent)
    assert query(file, "SELECT version_num FROM alembic_version") == [("999",)]
    assert query(file, "SELECT username FROM accounts") == [("ada",)]


NEXT_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "2"

def upgrade():
    with op.batch_alter_table("accounts") as table:
        table.add_column(sa.Column("nickname", sa.Text, nullable=False, server_default="none"))
    {then}
"""


def versions_with(folder: Path, then: str) -> Path:
    (folder / "versions").mkdir()
    for revision in (migration.SCRIPTS / "versions").glob("revision_*.py"):
        (folder / "versions" / revision.name).write_text(revision.read_text())
    (folder / "versions" / "revision_next.py").write_text(NEXT_REVISION.format(then=then))
    return folder / "versions"


async def migrate(file: Path, versions: Path) -> None:
    opened = engines.open_engines(f"sqlite:///{file}", data_dir=file.parent)
    try:
        async with opened.writers.begin() as connection:
            await connection.run_sync(lambda sync: migration.migrate(sync, versions=versions))
    finally:
        await opened.dispose()


async def test_an_older_database_is_migrated_and_keeps_what_it_holds(file: Path) -> None:
    await migrate(file, versions_with(file.parent, "pass"))
    assert query(file, "SELECT username, nickname FROM accounts") == [("ada", "none")]
    assert query(file, "SELECT version_num FROM alembic_version") == [("next",)]


async def test_a_database_of_the_first_version_keeps_its_accounts_and_tokens(tmp_path: Path) -> None:
    file, versions = tmp_path / engines.FILE, tmp_path / "versions"
    versions.mkdir()
    (versions / "revision_1.py").write_text((migration.SCRIPTS / "versions" / "revision_1.py").read_text())
    await migrate(file, versions)
    with closing(sqlite3.connect(file)) as connection, connection:
        at = "2026-01-01 00:00:00.000000"
        row = ("1", "ada", "ada", "ada@example.org", "ada@example.org", None, "argon2", at)
        connection.execute("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        connection.execute("INSERT INTO refresh_tokens VALUES ('t', 'f', '1', 'ada', 0, ?, ?, NULL)", (at, at))
    store = await open_store(None, data_dir=tmp_path)
    assert await store.account("1") == ADA
    assert await store.revoke_user("1", ADA.created_at) == ("f",)
    assert await store.revoked_since(ADA.created_at) == ("f",)
    await store.close()


async def test_a_migration_that_fails_half_way_leaves_the_database_as_it_was(file: Path) -> None:
    before = query(file, "SELECT name, sql FROM sqlite_master ORDER BY name")
    with pytest.raises(ZeroDivisionError):
        await migrate(file, versions_with(file.parent, "1 / 0"))
    assert query(file, "SELECT name, sql FROM sqlite_master ORDER BY name") == before
    assert query(file, "SELECT version_num FROM alembic_version") == [("2",)]
    store = await open_store(None, data_dir=file.parent)
    assert await store.account("1") == ADA
    await store.close()


async def test_the_migrations_make_the_tables_the_code_uses(file: Path) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


def test_the_tables_are_the_same_for_every_database() -> None:
    for table in metadata.sorted_tables:
        columns = [
            {line.split()[0] for line in str(CreateTable(table).compile(dialect=dialect)).splitlines() if line.strip()}
            for dialect in (sqlite.dialect(), postgresql.dialect())  # type: ignore[no-untyped-call]
        ]
        assert columns[0] == columns[1]


async def test_two_servers_that_start_at_once_set_up_one_database(tmp_path: Path) -> None:
    stores = await asyncio.gather(*(open_store(None, data_dir=tmp_path) for _ in range(3)))
    for store in stores:
        await store.check()
        await store.close()


async def test_a_database_that_stays_locked_is_told_and_heals(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.05)
    store = await open_store(None, data_dir=file.parent)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            await store.forget_user("2")
        assert await store.account("1") == ADA  # readers are not held up
        other.execute("ROLLBACK")
    await store.forget_user("1")
    assert await store.account("1") is None
    await store.close()


async def test_a_call_that_takes_too_long_is_given_up(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediaserver.store.database.DEADLINE", 0.05)
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.5)
    store = await open_store(None, data_dir=file.parent)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="too long"):
            await store.forget_user("2")
        other.execute("ROLLBACK")
    monkeypatch.setattr("mediaserver.store.database.DEADLINE", 10.0)
    await store.forget_user("1")
    assert await store.account("1") is None
    await store.close()


@pytest.mark.parametrize(
    "trouble",
    [
        "BEGIN IMMEDIATE",
        "CREATE TRIGGER full BEFORE INSERT ON forgotten BEGIN SELECT RAISE(ABORT, 'disk is full'); END",
    ],
)
async def test_a_database_that_can_only_be_read_is_not_well(
    file: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.05)
    store = await open_store(None, data_dir=file.parent)
    await store.check()
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute(trouble)
        assert await store.account("1") == ADA
        with pytest.raises(StoreError):
            await store.check()
    await store.close()


async def test_a_check_leaves_one_row_behind_however_often_it_is_made(file: Path) -> None:
    store = await open_store(None, data_dir=file.parent)
    for _ in range(3):
        await store.check()
    await store.close()
    assert query(file, "SELECT count(*) FROM forgotten") == [(1,)]


async def test_what_a_user_deletes_is_not_left_in_the_file(file: Path) -> None:
    assert holds(file, b"ada@example.org")
    store = await open_store(None, data_dir=file.parent)
    await store.forget_user("1")
    await store.close()
    assert not holds(file, b"ada@example.org")


async def test_a_connection_that_is_given_up_while_it_opens_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    opened: list[sqlite3.Connection] = []
    is_opening, may_open = threading.Event(), threading.Event()

    def slowly(*arguments: Any, **options: Any) -> sqlite3.Connection:
        is_opening.set()
        assert may_open.wait(5)
        connection: sqlite3.Connection = connect(*arguments, **options)
        opened.append(connection)
        return connection

    monkeypatch.setattr("sqlite3.connect", slowly)
    opening = asyncio.create_task(open_store(None, data_dir=tmp_path))
    async with asyncio.timeout(5):
        while not is_opening.is_set():
            await asyncio.sleep(0.001)
    opening.cancel()
    await asyncio.sleep(0)
    may_open.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    (connection,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        _ = connection.total_changes
