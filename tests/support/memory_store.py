"""A store in memory: what sessions and their history need of one."""

from mediaserver.store.interface import CursorError, StoreError
from mediaserver.store.records import Entry, SessionPage, SessionRecord, TurnUsage


class MemoryStore:
    """Keeps sessions, entries and usage in lists; fails where a test says that the database is down."""

    def __init__(self, *records: SessionRecord) -> None:
        self.records = list(records)
        self.entries: list[Entry] = []
        self.turns: list[TurnUsage] = []
        self.is_down = False

    async def sessions(self, owner: str, *, limit: int, cursor: str | None) -> SessionPage:
        self._answer()
        own = sorted((r for r in self.records if r.owner == owner), key=lambda r: r.started_at, reverse=True)
        names = [record.id for record in own]
        if cursor is not None and cursor not in names:
            raise CursorError
        start = 0 if cursor is None else names.index(cursor) + 1
        page = own[start : start + limit]
        return SessionPage(tuple(page), page[-1].id if start + limit < len(own) else None)

    async def session(self, owner: str, name: str) -> SessionRecord | None:
        self._answer()
        own = sorted((r for r in self.records if r.owner == owner), key=lambda r: r.started_at, reverse=True)
        by_id = [record for record in own if record.id == name]
        return next(iter([*by_id, *(record for record in own if record.label == name)]), None)

    async def history(self, session: str) -> tuple[Entry, ...]:
        self._answer()
        return tuple(entry for entry in self.entries if entry.session == session)

    async def usage(self, session: str) -> tuple[TurnUsage, ...]:
        self._answer()
        return tuple(turn for turn in self.turns if turn.session == session)

    async def forget_session(self, owner: str, session: str) -> bool:
        self._answer()
        kept = [record for record in self.records if (record.owner, record.id) != (owner, session)]
        was_there = len(kept) < len(self.records)
        self.records = kept
        return was_there

    def _answer(self) -> None:
        if self.is_down:
            raise StoreError
