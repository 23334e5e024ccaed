"""Configures logs: text in development, rotated JSON lines in production; never any user content."""

import json
import logging
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from loguru import logger

if TYPE_CHECKING:
    from loguru import Record

_READABLE = (
    "<green>{time:HH:mm:ss.SSS}</green> <level>{level: <7}</level> <level>{message}</level> <dim>{extra[_tail]}</dim>"
)


def configure(*, level: str, folder: Path | None, debug: bool = False) -> None:
    """Log to the terminal and, given a `folder`, as JSON lines to its app.log and error.log."""
    logger.remove()
    logger.configure(patcher=_add_tail)
    # diagnose prints the values of variables into tracebacks: tokens and speech among them. Never on.
    if folder is None:
        logger.add(sys.stderr, level=level, format=_READABLE, backtrace=debug, diagnose=False)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        logger.add(sys.stderr, level=level, format=_json_line, diagnose=False, backtrace=False)
        for name, least in (("app.log", level), ("error.log", "ERROR")):
            logger.add(
                folder / name,
                level=least,
                format=_json_line,
                rotation="20 MB",
                retention=10,
                diagnose=False,
                backtrace=False,
            )
    logging.basicConfig(handlers=[_Intercept()], level=logging.WARNING, force=True)


class _Intercept(logging.Handler):
    """Forwards records of the standard `logging` module to loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        frame: FrameType | None = logging.currentframe()
        depth = 2
        while frame is not None and frame.f_code.co_filename == logging.__file__:
            frame, depth = frame.f_back, depth + 1
        level = record.levelname if record.levelname in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL") else "INFO"
        logger.opt(depth=depth, exception=record.exc_info).log(level, "{}", record.getMessage())


def _add_tail(record: "Record") -> None:
    record["extra"]["_tail"] = " ".join(f"{key}={value}" for key, value in record["extra"].items() if key != "_tail")


def _json_line(record: "Record") -> str:
    line = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        **{key: value for key, value in record["extra"].items() if not key.startswith("_")},
        "at": f"{record['name']}:{record['line']}",
    }
    if record["exception"] is not None and record["exception"].type is not None:
        error = record["exception"]
        line["error"] = f"{error.type.__name__}: {error.value}" if error.type else ""
        line["traceback"] = _traceback(record)
    record["extra"]["_json"] = json.dumps(line, default=str)
    return "{extra[_json]}\n"


def _traceback(record: "Record") -> list[str]:
    frames = []
    trace = record["exception"].traceback if record["exception"] else None
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno} {trace.tb_frame.f_code.co_name}")
        trace = trace.tb_next
    return frames[-20:]
