"""Sequence numbers of reliable packets, which drop duplicates and allow a replay after a resume."""

from collections import deque
from collections.abc import Iterator, Mapping

MAX_KEPT_BYTES = 1_000_000
MAX_KEPT = 30.0
"""Seconds for which packets are kept: both SDKs keep the last sequence number per sender for 30 s."""


class ReceiveSequence:
    """Checks the numbers of one sender's reliable packets, which start at 1; 0 means no number."""

    def __init__(self) -> None:
        self.last = 0

    def admit(self, number: int) -> bool:
        """Record a number; False if it or a later one was received before."""
        if number == 0:
            return True
        if number <= self.last:
            return False
        self.last = number
        return True


class SendSequence:
    """Numbers the assistant's packets to one recipient, and keeps the newest packets of all senders."""

    def __init__(self, *, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self._next = 0
        self._max_bytes = max_kept_bytes
        self._kept: deque[tuple[str, int, bytes, float]] = deque()
        self._bytes = 0

    def next(self) -> int:
        """Return the number of the assistant's next packet."""
        self._next += 1
        return self._next

    def keep(self, publisher_sid: str, number: int, data: bytes, now: float) -> None:
        """Keep a packet sent at `now` (s) for a replay."""
        if number == 0:
            return
        self._kept.append((publisher_sid, number, data, now))
        self._bytes += len(data)
        self._forget(now)

    def missed(self, last: Mapping[str, int], now: float) -> Iterator[bytes]:
        """Return the kept packets after the recipient's last number of each publisher, or all of one without."""
        self._forget(now)
        for publisher_sid, number, data, _ in list(self._kept):
            if number > last.get(publisher_sid, 0):
                yield data

    def _forget(self, now: float) -> None:
        while self._kept and (self._bytes > self._max_bytes or now - self._kept[0][3] > MAX_KEPT):
            self._bytes -= len(self._kept.popleft()[2])
