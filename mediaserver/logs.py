"""Configures logs: text in development, rotated JSON lines in production; never any user content."""

import atexit
import logging
import os
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from loguru import logger

from mediaserver import log_lines
from mediaserver.log_flood import FloodCounter, Summary

if TYPE_CHECKING:
    from loguru import Record

FILE_MODE = 0o600
ROTATION_MB = 20
KEPT_FILES = 10


def configure(*, level: str, folder: Path | None) -> "FloodGate":
    """Log to the terminal and, given a `folder`, as JSON lines to its app.log and error.log.

    Raises `OSError` if the folder cannot be written to.
    """
    logger.remove()
    gate = FloodGate()

    def prepare(record: "Record") -> None:
        log_lines.bound(record)
        record["extra"]["_is_written"] = gate.admit(record)

    logger.configure(patcher=prepare)
    # diagnose prints the values of variables into tracebacks: tokens and speech among them. Never on.
    if folder is None:
        logger.add(
            sys.stderr, level=level, format=log_lines.terminal_line, filter=_is_written, backtrace=False, diagnose=False
        )
    else:
        folder.mkdir(parents=True, exist_ok=True)
        logger.add(
            sys.stderr, level=level, format=log_lines.json_line, filter=_is_written, backtrace=False, diagnose=False
        )
        for name, least in (("app.log", level), ("error.log", "ERROR")):
            logger.add(
                folder / name,
                level=least,
                format=log_lines.json_line,
                filter=_is_written,
                rotation=f"{ROTATION_MB} MB",
                retention=KEPT_FILES,
                opener=_open_private,
                watch=True,  # logrotate and others move a file away; the next line makes it anew
                backtrace=False,
                diagnose=False,
            )
    logging.basicConfig(handlers=[_Intercept()], level=logging.WARNING, force=True)
    atexit.register(gate.close)
    return gate


class FloodGate:
    """Holds back log lines of a kind that comes too often, and logs their number when their window is over."""

    def __init__(self) -> None:
        self._counter = FloodCounter()
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None
        self._due = float("inf")
        """Time at which the timer ends."""

    def admit(self, record: "Record") -> bool:
        """Count a record; False if it is to be left out. May be called in any thread."""
        if "_is_summary" in record["extra"]:
            return True
        with self._lock:
            is_admitted = self._counter.admit(record, time.monotonic())
            self._start_timer()
        return is_admitted

    def close(self) -> None:
        """Log what has been left out so far; idempotent."""
        with self._lock:
            self._stop_timer()
        self._log(until=float("inf"))

    def _start_timer(self) -> None:
        # A thread of its own: lines come from every thread, and before and after the event loop.
        due = self._counter.next_summary()
        if due is None or due >= self._due:
            return
        self._stop_timer()
        self._due = due
        self._timer = threading.Timer(max(0.0, due - time.monotonic()), self._log_due)
        self._timer.daemon = True
        self._timer.start()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._due = None, float("inf")

    def _log_due(self) -> None:
        self._log(until=time.monotonic())
        with self._lock:
            self._stop_timer()
            self._start_timer()

    def _log(self, *, until: float) -> None:
        with self._lock:
            summaries = list(self._counter.summaries(until))
        for summary in summaries:
            _log_summary(summary)


def _log_summary(summary: Summary) -> None:
    kind = summary.kind

    def set_place(record: "Record") -> None:
        record["name"], record["line"] = kind.module, kind.line

    fields = {} if kind.status is None else {"status": kind.status}
    message = f"{summary.message}: and {summary.count:,} more like it in {summary.seconds:g} s"
    logger.bind(_is_summary=True).patch(set_place).log(kind.level, "{}", message, **fields)


def _is_written(record: "Record") -> bool:
    return bool(record["extra"].get("_is_written", True))


def _open_private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, FILE_MODE)
    os.fchmod(descriptor, FILE_MODE)  # one that an older version made may be open to others
    return descriptor


class _Intercept(logging.Handler):
    """Forwards records of the standard `logging` module to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        frame: FrameType | None = logging.currentframe()
        depth = 2
        while frame is not None and frame.f_code.co_filename == logging.__file__:
            frame, depth = frame.f_back, depth + 1
        level = record.levelname if record.levelname in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") else "INFO"
        logger.opt(depth=depth, exception=record.exc_info).log(level, "{}", record.getMessage())
