"""Faults on request, for tests of clients; off unless enabled at the start of the engine.

A client requests them with the header `x-engine-fault`, one or more times, or several in one, separated by `;`:

    x-engine-fault: close=1011 at=speaking reason="Internal error encountered." times=1
    x-engine-fault: interrupted at=speaking; stall at=speaking

What happens:
    status=CODE      the upgrade is refused with an HTTP status, such as 401, 429 or 503
    close=CODE       the connection is closed: 1000 to 1003, 1007 to 1014, 3000 to 4999; `reason="..."` is sent
    abort            the TCP connection is cut
    stall            nothing more is sent on this connection; input is still read, and pings are answered
                     (an upgrade is left without its answer for 10 s)
    no-pong          pings are not answered any more
    garbage          a frame that is not JSON
    unknown          a message of an unknown kind
    huge             a message of 2 MiB that is otherwise good
    interrupted      `interrupted`, though nothing was interrupted
    turn-complete    `turnComplete`, though the turn goes on
    refuse           the handle is not found; short for
                     close=1008 at=resume reason="BidiGenerateContent session not found"

Where it happens, `at=`:
    upgrade      instead of the answer to the HTTP request (status, abort and stall only)
    resume       when setup brings a handle, before that is looked up
    setup        after a setup that was accepted, before setupComplete
    ready        right after setupComplete
    listening    after activityStart, or when the engine itself detects speech
    thinking     after activityEnd or a text, before the answer
    speaking     after the first audio of an answer
    tool         after a toolCall
    idle         after turnComplete

How often: `times=N` (1 without it) is counted over all connections that carry the same header, so that a client that
reconnects succeeds in the end; `skip=N` skips the first N occasions. Two equal headers are one request: `id=NAME`
makes them different.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus

from websockets.frames import EXTERNAL_CLOSE_CODES

from mediaserver.localengine.fault_points import FaultPoint
from mediaserver.localengine.protocol.codec import POLICY, REASON_BYTES, SESSION_NOT_FOUND

HEADER = "x-engine-fault"
"""The HTTP header of the upgrade that requests faults."""
MAX_HEADERS = 1_000
"""Different headers whose faults are counted; beyond that, the oldest counts are dropped."""
MAX_TIMES = 1_000_000

_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<end>;)"
    r'|(?P<name>[a-z-]+)(?:=(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s";]+)))?(?=[\s;]|$)'
    r"|(?P<nonsense>.[^;]*)",
    re.DOTALL,
)
_STATUSES = tuple(status.value for status in HTTPStatus if status >= 400)
_CLOSE_CODES = (*sorted(EXTERNAL_CLOSE_CODES), *range(3_000, 5_000))


@dataclass(frozen=True, slots=True)
class Status:
    """Refuses the upgrade with an HTTP status."""

    code: int


@dataclass(frozen=True, slots=True)
class Close:
    """Closes the connection with a code and a reason."""

    code: int
    reason: str = ""


class FaultAction(StrEnum):
    """Faults without parameters."""

    ABORT = "abort"
    STALL = "stall"
    NO_PONG = "no-pong"
    GARBAGE = "garbage"
    UNKNOWN = "unknown"
    HUGE = "huge"
    INTERRUPTED = "interrupted"
    TURN_COMPLETE = "turn-complete"


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """An action at a point, done `times` times after `skip` occasions."""

    act: Status | Close | FaultAction
    at: FaultPoint
    times: int = 1
    skip: int = 0


class FaultError(ValueError):
    """A malformed fault header; the message names the accepted forms."""


class Injection:
    """A scheduled fault, and the count of its occurrences."""

    def __init__(self, fault: InjectedFault):
        self.fault = fault
        self.count = 0
        self.happened = asyncio.Event()
        """Set at the first occurrence."""
        self._to_skip = fault.skip

    def is_due(self, point: FaultPoint) -> bool:
        """Return whether the fault happens now, at `point`; counts the occasion."""
        if point is not self.fault.at or self.count >= self.fault.times:
            return False
        if self._to_skip:
            self._to_skip -= 1
            return False
        self.count += 1
        self.happened.set()
        return True


class Faults:
    """Every scheduled fault, from client headers or from `inject`."""

    def __init__(self) -> None:
        self._injected: list[Injection] = []
        self._scheduled: OrderedDict[str, tuple[Injection, ...]] = OrderedDict()

    def inject(self, fault: InjectedFault) -> Injection:
        """Schedule a fault for the next connection that reaches its point."""
        self._injected = [injection for injection in self._injected if injection.count < injection.fault.times]
        self._injected.append(Injection(fault))
        return self._injected[-1]

    def schedule(self, header: str) -> None:
        """Schedule the faults of a header, once per header; raises `FaultError`."""
        if header and header not in self._scheduled:
            self._scheduled[header] = tuple(Injection(fault) for fault in parse_faults(header))
            if len(self._scheduled) > MAX_HEADERS:
                self._scheduled.popitem(last=False)

    def due(self, point: FaultPoint, header: str) -> Iterator[InjectedFault]:
        """Yield the faults due on a connection with this header at this point."""
        for injection in (*self._injected, *self._scheduled.get(header, ())):
            if injection.is_due(point):
                yield injection.fault


def parse_faults(text: str) -> tuple[InjectedFault, ...]:
    """Parse a header, or raise `FaultError` and nothing else."""
    orders: list[dict[str, str]] = [{}]
    for token in _TOKEN.finditer(text):
        if token["nonsense"]:
            raise _wrong(f"{token['nonsense'][:60]!r} is not understood")
        if token["end"]:
            orders.append({})
        if name := token["name"]:
            if name in orders[-1]:
                raise _wrong(f"{name[:60]!r} comes twice")
            orders[-1][name] = token["quoted"] or token["plain"] or ""
    if len(orders) > 1 and not orders[-1]:
        del orders[-1]
    return tuple(_fault(words) for words in orders)


def _fault(words: dict[str, str]) -> InjectedFault:
    words.pop("id", None)
    times = _number(words, "times", 1, range(1, MAX_TIMES + 1))
    skip = _number(words, "skip", 0, range(MAX_TIMES + 1))
    act, at = _act(words, _point(words))
    if words:
        raise _wrong(f"{next(iter(words))[:60]!r} has no place here")
    if at is None:
        raise _wrong("`at` is missing")
    is_early = isinstance(act, Status) or act in (FaultAction.ABORT, FaultAction.STALL)
    if at is FaultPoint.UPGRADE and not is_early:
        raise _wrong("at=upgrade takes status, abort or stall")
    if isinstance(act, Status) and at is not FaultPoint.UPGRADE:
        raise _wrong("status is for at=upgrade")
    return InjectedFault(act, at, times, skip)


def _act(words: dict[str, str], at: FaultPoint | None) -> tuple[Status | Close | FaultAction, FaultPoint | None]:
    acts = [name for name in words if name in ("status", "close", "refuse", *FaultAction)]
    if len(acts) != 1:
        raise _wrong("one thing has to happen" if not acts else f"{acts[0]} and {acts[1]} are two faults")
    if acts == ["status"]:
        return Status(_number(words, "status", 0, _STATUSES)), at or FaultPoint.UPGRADE
    if acts == ["close"]:
        code = _number(words, "close", 0, _CLOSE_CODES)
        reason = words.pop("reason", "")
        if len(reason.encode(errors="replace")) > REASON_BYTES:
            raise _wrong(f"a reason has up to {REASON_BYTES} bytes")
        return Close(code, reason), at
    if words.pop(acts[0]):
        raise _wrong(f"{acts[0]} takes no value")
    if acts == ["refuse"]:
        if at not in (None, FaultPoint.RESUME):
            raise _wrong("refuse is for at=resume")
        return Close(POLICY, SESSION_NOT_FOUND), FaultPoint.RESUME
    return FaultAction(acts[0]), at


def _point(words: dict[str, str]) -> FaultPoint | None:
    if "at" not in words:
        return None
    try:
        return FaultPoint(words.pop("at"))
    except ValueError:
        raise _wrong("there is no such point") from None


def _number(words: dict[str, str], name: str, default: int, accepted: range | tuple[int, ...]) -> int:
    text = words.pop(name, None)
    if text is None:
        return default
    if not re.fullmatch("[0-9]{1,7}", text) or int(text) not in accepted:
        raise _wrong(f"{name}={text[:20]} is out of range")
    return int(text)


def _wrong(what: str) -> FaultError:
    return FaultError(
        f'{what}. Accepted: one of status=401|429|503|..., close=1000..4999 [reason="..."], refuse, '
        f"{', '.join(FaultAction)}; "
        f"at={'|'.join(FaultPoint)}; "
        f"[times=1..{MAX_TIMES}] [skip=0..{MAX_TIMES}] [id=NAME]; several separated by ';'"
    )
