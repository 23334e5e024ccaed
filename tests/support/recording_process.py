"""Records a fact every 10 ms until it is killed, and says so: `recorded N SECONDS` and, when kept, `kept N`."""

import asyncio
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from mediaserver.store.interface import Fact, Store
from mediaserver.store.records import Entry, SessionRecord
from mediaserver.store.sql_store import SqlStore, open_store
from mediaserver.store.writer import HistoryWriter


class Telling:
    """The real store, which also tells what it has kept."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def write(self, facts: Sequence[Fact]) -> None:
        await self._store.write(facts)
        numbers = [fact.turn for fact in facts if isinstance(fact, Entry)]
        write_line(f"kept {max(numbers, default=0)}")


def write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def record_for_ever(data_dir: Path) -> None:
    store = await open_store(None, data_dir=data_dir)
    async with HistoryWriter(cast(Store, Telling(store)), on_failure=lambda error: sys.exit(str(error))) as writer:
        now = datetime.now(UTC)
        writer.record(SessionRecord("s", "ada", "s", "webrtc", "local", "local-1", "en", now))
        number = 0
        while True:
            number += 1
            writer.record(Entry("s", now, "user", f"fact {number} " * 20, number))
            write_line(f"recorded {number} {time.monotonic()}")
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(record_for_ever(Path(sys.argv[1])))
