"""What a crash leaves behind."""

import asyncio
import os
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mediaserver.store import connect as engines
from mediaserver.store.sql_store import open_store

pytestmark = pytest.mark.one_python

ROOT = Path(__file__).parents[3]
PROCESS = ROOT / "tests" / "support" / "recording_process.py"


@pytest.mark.parametrize(("kept_before", "seconds_later"), [(1, 1.3), (150, 1.45), (250, 1.6)])
async def test_kill_9_loses_at_most_a_second_of_history_and_corrupts_nothing(
    tmp_path: Path, kept_before: int, seconds_later: float
) -> None:
    recorded: dict[int, float] = {}
    kept = 0
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROCESS),
        str(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    doomed_at = killed_at = 0.0
    async with asyncio.timeout(60):
        async for line in process.stdout:
            match line.decode().split():
                case ["recorded", number, seconds]:
                    recorded[int(number)] = float(seconds)
                case ["kept", number]:
                    kept = int(number)
            if not doomed_at and kept >= kept_before:
                doomed_at = time.monotonic() + seconds_later
            if doomed_at and not killed_at and time.monotonic() >= doomed_at:
                killed_at = time.monotonic()
                process.kill()
        await process.wait()

    with closing(sqlite3.connect(tmp_path / engines.FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store = await open_store(None, data_dir=tmp_path)
    survived = {entry.turn for entry in await store.history("s")}
    assert survived >= set(range(1, kept + 1))
    assert survived >= {number for number, seconds in recorded.items() if seconds < killed_at - 1.0}
    assert await store.end_open_sessions(datetime.now(UTC)) == 1
    await store.close()
