"""Counts log lines by kind: the first of each are written, the rest are summed up."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loguru import Record

_ERROR_LEVEL = 40
"""loguru's and logging's number of ERROR."""


@dataclass(frozen=True, slots=True)
class FloodLimits:
    """Lines of one kind that are written in `seconds`: in all, and per client address."""

    lines: int
    per_address: int
    seconds: float


LINES = FloodLimits(lines=500, per_address=50, seconds=10.0)
ERRORS = FloodLimits(lines=20, per_address=10, seconds=3600.0)
"""Few: an error that clients can repeat must not wash older ones out of the rotated files."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The place in the code that logs a line, and the cause where one place has several."""

    level: str
    module: str
    line: int
    status: int | None
    """HTTP status, of requests."""
    error: str
    """Type of the exception and place where it was raised; empty without one."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Lines of one kind that were left out in a window of `seconds`; `message` is that of the first."""

    kind: Kind
    message: str
    count: int
    seconds: float


@dataclass(slots=True)
class _Window:
    limits: FloodLimits
    began: float
    message: str = ""
    left_out: int = 0
    written: Counter[str] = field(default_factory=Counter)
    """Lines by client address; at most `limits.lines` addresses."""

    @property
    def end(self) -> float:
        return self.began + self.limits.seconds


class FloodCounter:
    """Decides which lines are written. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._windows: dict[Kind, _Window] = {}
        self._finished: list[Summary] = []

    def admit(self, record: "Record", now: float) -> bool:
        """Count a record; False if there were enough of its kind in this window."""
        kind, address = kind_of(record), str(record["extra"].get("address", ""))
        window = self._windows.get(kind)
        if window is None or now >= window.end:
            if window is not None:
                self._finish(kind, window)
            limits = ERRORS if record["level"].no >= _ERROR_LEVEL else LINES
            window = self._windows[kind] = _Window(limits, now)
        is_admitted = (
            window.written.total() < window.limits.lines and window.written[address] < window.limits.per_address
        )
        if is_admitted:
            window.written[address] += 1
        else:
            window.message = window.message or record["message"]
            window.left_out += 1
        return is_admitted

    def next_summary(self) -> float | None:
        """The time at which the next window with lines left out is over; None if there is none."""
        if self._finished:
            return float("-inf")
        return min((window.end for window in self._windows.values() if window.left_out), default=None)

    def summaries(self, now: float) -> Iterator[Summary]:
        """Close the windows that are over, and yield what was left out in them."""
        for kind, window in list(self._windows.items()):
            if now >= window.end:
                del self._windows[kind]
                self._finish(kind, window)
        finished, self._finished = self._finished, []
        yield from finished

    def _finish(self, kind: Kind, window: _Window) -> None:
        if window.left_out:
            self._finished.append(Summary(kind, window.message, window.left_out, window.limits.seconds))


def kind_of(record: "Record") -> Kind:
    """Return the kind of a record: its place in the code, HTTP status and error, and nothing that a client chooses."""
    status = record["extra"].get("status")
    return Kind(
        record["level"].name,
        record["name"] or "",
        record["line"],
        status if isinstance(status, int) else None,
        _error_of(record),
    )


def _error_of(record: "Record") -> str:
    error = record["exception"]
    if error is None or error.type is None:
        return ""
    trace = error.traceback
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{error.type.__qualname__} {place}"
