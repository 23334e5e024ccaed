"""Renders log records as lines of bounded length that no client's text can break or forge."""

import json
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loguru import Record

MAX_FIELD = 200
"""Characters of one field, such as a request's path."""
MAX_MESSAGE = 1_000
"""Characters of a message, and of an exception's text."""
MAX_FRAMES = 20
"""Innermost frames of a traceback."""
_MAX_TRACEBACK_LINES = 4 * MAX_FRAMES

TERMINAL = (
    "<green>{time:HH:mm:ss.SSS}</green> <level>{level: <7}</level> <level>{extra[_message]}</level> "
    "<dim>{extra[_fields]}</dim>{extra[_traceback]}\n"
)


def bound(record: "Record") -> None:
    """Cut the message and the fields of a record to their limits, in place."""
    record["message"] = _cut(record["message"], MAX_MESSAGE)
    for name, value in record["extra"].items():
        if not isinstance(value, bool | int | float | None):
            record["extra"][name] = _cut(str(value), MAX_FIELD)


def terminal_line(record: "Record") -> str:
    """Render a record as text for the terminal: a loguru format whose parts are escaped, tracebacks indented."""
    fields = " ".join(f"{name}={value}" for name, value in _public_fields(record).items())
    record["extra"].update(
        _message=_escape(record["message"]), _fields=_escape(fields), _traceback=_indented_traceback(record)
    )
    return TERMINAL


def json_line(record: "Record") -> str:
    """Render a record as one line of JSON: a loguru format."""
    line: dict[str, object] = {
        "time": record["time"].isoformat(),
        "level": record["level"].name,
        "message": record["message"],
        **_public_fields(record),
        "at": f"{record['name']}:{record['line']}",
    }
    error = record["exception"]
    if error is not None and error.type is not None:
        line["error"] = _cut(f"{error.type.__name__}: {error.value}", MAX_MESSAGE)
        codes = [(frame.f_code, number) for frame, number in traceback.walk_tb(error.traceback)][-MAX_FRAMES:]
        line["traceback"] = [_cut(f"{code.co_filename}:{number} {code.co_name}", MAX_FIELD) for code, number in codes]
    record["extra"]["_json"] = json.dumps(line)
    return "{extra[_json]}\n"


def _public_fields(record: "Record") -> dict[str, object]:
    return {name: value for name, value in record["extra"].items() if not name.startswith("_")}


def _indented_traceback(record: "Record") -> str:
    error = record["exception"]
    if error is None or error.value is None:
        return ""
    text = "".join(traceback.format_exception(error.type, error.value, error.traceback, limit=-MAX_FRAMES))
    # Indented, so that a line break in an exception's text cannot begin what looks like a line of the log.
    lines = [f"    {_escape(_cut(line, MAX_MESSAGE))}" for line in text.splitlines()[-_MAX_TRACEBACK_LINES:]]
    return "\n" + "\n".join(lines)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _escape(text: str) -> str:
    # Not printable are control characters, line separators, direction marks and lone surrogates.
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
