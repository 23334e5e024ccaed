"""The reorder buffer of microphone RTP, in place of a jitter buffer: no delay without loss, 20 to 60 ms with it."""

from dataclasses import dataclass

MIN_WAIT, MAX_WAIT = 0.02, 0.06
"""Bounds (s) of the wait for a missing packet, which adapts to the lateness of earlier ones."""

HALF_LIFE = 5.0
"""Half-life (s) of the learnt lateness."""

CAPACITY = 32
"""Packets that may follow a missing one before it is given up."""

_MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet in order; `lost` predecessors were given up."""

    timestamp: int
    payload: bytes
    lost: int = 0


@dataclass(frozen=True, slots=True)
class _Held:
    timestamp: int
    payload: bytes
    arrived: float


class ReorderBuffer:
    """Returns the packets of one SSRC in the order of their sequence numbers, each once.

    Packets are held only while one before them is missing, at most `MAX_WAIT` seconds: there is no playout to smooth.
    A packet that arrives after it was given up is dropped.
    """

    def __init__(self) -> None:
        self._next: int | None = None  # counted on past 65535
        self._held: dict[int, _Held] = {}
        self._given_up = (0, 0, 0.0)  # the last gap: its ends, and when it was noticed
        self._late = MIN_WAIT  # how late the latest packet was, with a margin
        self._learnt = 0.0
        self._due: float | None = None

    @property
    def due(self) -> float | None:
        """The clock (s) at which `expire` gives up a missing packet, or None if none is missing."""
        return self._due

    def push(self, sequence: int, timestamp: int, payload: bytes, now: float) -> list[Packet]:
        """Add a packet received at `now` (s); returns those now in order."""
        if self._next is None:
            self._next = sequence
        ahead = ((sequence - self._next + 0x8000) & 0xFFFF) - 0x8000
        if not ahead and not self._held:
            self._next += 1
            return [Packet(timestamp, payload)]
        if ahead < 0:
            self._on_late_packet(self._next + ahead, now)
            return []
        if not ahead:
            self._adapt_wait(now - self._noticed, now)
        position = self._next + ahead
        self._held.setdefault(position, _Held(timestamp, payload, now))
        ready = self._run()
        while self._held and position - self._next >= CAPACITY:
            ready += self._skip()
        self._plan(now)
        return ready

    def expire(self, now: float) -> list[Packet]:
        """Give up overdue packets; returns those that waited for them."""
        ready: list[Packet] = []
        while self._due is not None and now >= self._due:
            ready += self._skip()
            self._plan(now)
        return ready

    @property
    def _noticed(self) -> float:
        """The arrival of the first held packet, which revealed the loss."""
        return min(held.arrived for held in self._held.values())

    def _run(self, lost: int = 0) -> list[Packet]:
        assert self._next is not None
        ready = []
        while (held := self._held.pop(self._next, None)) is not None:
            ready.append(Packet(held.timestamp, held.payload, lost))
            self._next += 1
            lost = 0
        return ready

    def _skip(self) -> list[Packet]:
        assert self._next is not None
        first = min(self._held)
        self._given_up = (self._next, first, self._noticed)
        lost, self._next = first - self._next, first
        return self._run(lost)

    def _plan(self, now: float) -> None:
        if not self._held:
            self._due = None
            return
        self._due = self._noticed + self._wait(now)

    def _wait(self, now: float) -> float:
        forgotten: float = 0.5 ** ((now - self._learnt) / HALF_LIFE)
        return MIN_WAIT + (self._late - MIN_WAIT) * forgotten

    def _on_late_packet(self, position: int, now: float) -> None:
        """Lengthen the wait after a late packet, unless even `MAX_WAIT` was too short for it."""
        start, end, noticed = self._given_up
        if start <= position < end and now - noticed <= MAX_WAIT:
            self._adapt_wait(now - noticed, now)

    def _adapt_wait(self, lateness: float, now: float) -> None:
        self._late = min(MAX_WAIT, max(self._wait(now), lateness + _MARGIN))
        self._learnt = now
