"""Sessions and their history in SQL."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import Column, case, delete, exists, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import Executable

from mediaserver.store import cursor as cursors
from mediaserver.store.database import Database
from mediaserver.store.interface import Fact
from mediaserver.store.records import Entry, SessionPage, SessionRecord, TurnUsage
from mediaserver.store.schema import (
    accounts,
    entries,
    forgotten,
    known_networks,
    preferences,
    refresh_tokens,
    revocations,
    sessions,
    turn_usage,
)

DELETE_BATCH = 200
"""Old sessions deleted per transaction, so that writes of live ones never wait long."""


class SqlHistory:
    """The part of `Store` for sessions and history."""

    def __init__(self, database: Database):
        self._database = database

    async def write(self, facts: Sequence[Fact]) -> None:
        """Write a batch in one transaction, session records first; facts of deleted sessions are ignored."""
        records = {fact.id: fact for fact in facts if isinstance(fact, SessionRecord)}
        said = {(fact.session, fact.turn, fact.role): fact for fact in facts if isinstance(fact, Entry)}
        spent = {(fact.session, fact.turn): fact for fact in facts if isinstance(fact, TurnUsage)}
        mentioned = {fact.id if isinstance(fact, SessionRecord) else fact.session for fact in facts}
        async with self._database.writing() as connection:
            known = await _among(connection, sessions.c.id, mentioned)
            known |= await _not_deleted(connection, [record for record in records.values() if record.id not in known])
            # An adopted session keeps its new owner.
            into_sessions = self._database.upsert(sessions, keep={"owner"})
            await _put(connection, into_sessions, [_row(fact) for fact in records.values() if fact.id in known])
            into_entries = self._database.upsert(entries)
            await _put(connection, into_entries, [_row(fact) for fact in said.values() if fact.session in known])
            into_usage = self._database.upsert(turn_usage)
            await _put(connection, into_usage, [_row(fact) for fact in spent.values() if fact.session in known])

    async def sessions(self, owner: str, *, limit: int, cursor: str | None) -> SessionPage:
        """Return a page of a user's sessions, newest first; raises `CursorError`."""
        place = tuple_(sessions.c.started_at, sessions.c.id)
        query = select(sessions).where(sessions.c.owner == owner).limit(limit + 1)
        if cursor is not None:
            query = query.where(
                place < tuple_(*cursors.parse(cursor), types=[sessions.c.started_at.type, sessions.c.id.type])
            )
        query = query.order_by(sessions.c.started_at.desc(), sessions.c.id.desc())
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        found = tuple(SessionRecord(**row) for row in rows[:limit])
        is_last = len(rows) <= limit or not found
        return SessionPage(found, None if is_last else cursors.render(found[-1].started_at, found[-1].id))

    async def session(self, owner: str, name: str) -> SessionRecord | None:
        """Find a user's own session by id, else the newest with this label."""
        is_id = sessions.c.id == name
        query = select(sessions).where(sessions.c.owner == owner, is_id | (sessions.c.label == name)).limit(1)
        query = query.order_by(case((is_id, 0), else_=1), sessions.c.started_at.desc(), sessions.c.id.desc())
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else SessionRecord(**row)

    async def history(self, session: str) -> tuple[Entry, ...]:
        """Return the transcript by turn: user, then assistant, then system."""
        rank = case({"user": 0, "assistant": 1}, value=entries.c.role, else_=2)
        query = select(entries).where(entries.c.session == session).order_by(entries.c.turn, rank)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(Entry(**row) for row in rows)

    async def usage(self, session: str) -> tuple[TurnUsage, ...]:
        """Return the token usage of each turn, in order."""
        query = select(turn_usage).where(turn_usage.c.session == session).order_by(turn_usage.c.turn)
        async with self._database.reading() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(TurnUsage(**row) for row in rows)

    async def forget_session(self, owner: str, session: str) -> bool:
        """Delete a user's own session with its history; returns False if there is none."""
        async with self._database.writing() as connection:
            own = delete(sessions).where(sessions.c.owner == owner, sessions.c.id == session)
            if (await connection.execute(own)).rowcount == 0:
                return False
            row = {"id": session, "at": datetime.now(UTC)}
            await connection.execute(self._database.upsert(forgotten), row)
        return True

    async def adopt(self, guest: str, user: str) -> int:
        """Move the sessions of a guest (never of an account) to a user; returns their number."""
        is_account = exists().where(accounts.c.id == guest)
        async with self._database.writing() as connection:
            give = update(sessions).where(sessions.c.owner == guest, ~is_account).values(owner=user)
            return (await connection.execute(give)).rowcount

    async def forget_before(self, moment: datetime) -> int:
        """Delete sessions that ended and tokens that expired before `moment`; returns the number of sessions."""
        old = (
            select(sessions.c.id).where(sessions.c.ended_at < moment).order_by(sessions.c.ended_at).limit(DELETE_BATCH)
        )
        count = 0
        while True:
            async with self._database.writing() as connection:
                ids = list((await connection.execute(old)).scalars())
                await connection.execute(delete(sessions).where(sessions.c.id.in_(ids)))
            count += len(ids)
            if len(ids) < DELETE_BATCH:
                break
        await self._delete_leftovers(moment)
        return count

    async def _delete_leftovers(self, moment: datetime) -> None:
        # A guest without token, session or account cannot come back for its preferences.
        owner = preferences.c.owner
        is_anybody = exists().where(accounts.c.id == owner) | exists().where(refresh_tokens.c.owner == owner)
        is_anybody |= exists().where(sessions.c.owner == owner)
        async with self._database.writing() as connection:
            await connection.execute(delete(refresh_tokens).where(refresh_tokens.c.expires_at < moment))
            await connection.execute(delete(revocations).where(revocations.c.expires_at < moment))
            await connection.execute(delete(known_networks).where(known_networks.c.expires_at < moment))
            await connection.execute(delete(forgotten).where(forgotten.c.at < moment))
            await connection.execute(delete(preferences).where(~is_anybody))

    async def end_open_sessions(self, now: datetime) -> int:
        """End sessions that a crash left open, with reason "error"; returns their number.

        A reply that was cut off is marked as interrupted.
        """
        left_open = sessions.c.ended_at.is_(None)
        open_ids = select(sessions.c.id).where(left_open)
        broken_off = (entries.c.session.in_(open_ids), entries.c.role == "assistant", entries.c.heard_ms.is_(None))
        async with self._database.writing() as connection:
            await connection.execute(update(entries).where(*broken_off).values(interrupted=True))
            close = update(sessions).where(left_open).values(ended_at=now, end_reason="error")
            return (await connection.execute(close)).rowcount


async def _not_deleted(connection: AsyncConnection, new: Sequence[SessionRecord]) -> set[str]:
    """Return the ids of new sessions unless they or their owners were deleted."""
    gone = await _among(connection, forgotten.c.id, {name for record in new for name in (record.id, record.owner)})
    return {record.id for record in new if record.id not in gone and record.owner not in gone}


async def _among(connection: AsyncConnection, column: Column[str], names: Collection[str]) -> set[str]:
    """Return the names that a column contains."""
    if not names:
        return set()
    return set((await connection.execute(select(column).where(column.in_(names)))).scalars())


async def _put(connection: AsyncConnection, statement: Executable, rows: list[dict[str, object]]) -> None:
    if rows:
        await connection.execute(statement, rows)


def _row(fact: Fact) -> dict[str, object]:
    # Not `asdict`, which copies every value: for a batch of 200 it holds the loop 2 ms longer.
    row = {name: getattr(fact, name) for name in fact.__slots__}
    return row | {"tokens": dict(fact.tokens)} if isinstance(fact, TurnUsage) else row
