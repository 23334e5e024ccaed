"""Starts the measured processes as users start them: `run.py`, and `run.py engine` with a script of one tone."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEY = "bench"
_START_DEADLINE = 60.0
_STOP_DEADLINE = 20.0

SCRIPT = """
rules:
  - when: anything
    heard: go forward ten meters
    answer: [{{say: I am going forward by ten meters now., tone: 440, seconds: {seconds:g}}}]
"""


class StartError(Exception):
    """Raised when a process did not start; the message has its last output."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running process and its address."""

    address: str
    pid: int


@contextmanager
def engine(folder: Path, *, reply: float, core: int | None) -> Iterator[tuple[Server, Path]]:
    """Start the scripted engine, which replies with `reply` seconds of tone; yields it and its certificate."""
    script = folder / "script.yaml"
    script.write_text(SCRIPT.format(seconds=reply))
    words = ["engine", "--script", str(script), "--api-key", KEY]
    pattern = re.compile(r"Local engine: (\S+)\nCertificate: (\S+)\n")
    with _started("engine", words, {}, pattern, folder=folder, core=core) as (process, found):
        yield Server(found[1], process.pid), Path(found[2])


@contextmanager
def server(folder: Path, engine_address: str, certificate: Path, *, core: int | None) -> Iterator[Server]:
    """Start the server with its defaults, except for the end of turns and limits on clients of one address."""
    settings = {
        "ENGINE": "gemini",
        "GEMINI_API_KEY": KEY,
        "GEMINI_BASE_URL": engine_address,
        "GEMINI_CA_FILE": str(certificate),
        "HOST": "127.0.0.1",
        "PORT": "0",
        "TURN_MODEL": "silence",  # so that the time that ends a turn is known
        "DATA_DIR": str(folder / "data"),
        "MAX_SESSIONS": "10000",
        "MAX_SESSIONS_PER_ADDRESS": "10000",
        "MAX_GUEST_SHARE": "1",
        "RATE_LIMIT_API": "1000000/minute",
        "RATE_LIMIT_OFFER": "1000000/minute",
    }
    pattern = re.compile(r"Mediaserver \S+: (http://localhost:\d+)\n")
    with _started("server", [], settings, pattern, folder=folder, core=core) as (process, found):
        yield Server(found[1].replace("localhost", "127.0.0.1"), process.pid)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Run processes that are started inside this context on one core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _started(
    name: str,
    words: Sequence[str],
    settings: Mapping[str, str],
    pattern: re.Pattern[str],
    *,
    folder: Path,
    core: int | None,
) -> Iterator[tuple[subprocess.Popen[bytes], re.Match[str]]]:
    log = folder / f"{name}.log"
    with log.open("wb") as output, pinned(core):
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *words],
            cwd=folder,  # where no .env is read
            env={"PATH": os.environ.get("PATH", ""), "PYTHONUNBUFFERED": "1", **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, _greeting(process, log, pattern)
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _greeting(process: subprocess.Popen[bytes], log: Path, pattern: re.Pattern[str]) -> re.Match[str]:
    deadline = time.monotonic() + _START_DEADLINE
    while process.poll() is None and time.monotonic() < deadline:
        if (found := pattern.search(log.read_text(errors="replace"))) is not None:
            return found
        time.sleep(0.05)
    raise StartError(log.read_text(errors="replace")[-2_000:] or f"{process.args!r} printed nothing")
