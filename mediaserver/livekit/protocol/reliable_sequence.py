"""Reliable packets over a lost socket: each is taken once, and what a client has missed is sent again."""

from collections import deque
from collections.abc import Iterator, Mapping

MAX_KEPT_BYTES = 1_000_000
MAX_KEPT = 30.0
"""Seconds: so long, both kinds of clients remember the number of the last packet that has come of each sender."""


class ReceiveSequence:
    """Numbers of one sender's reliable packets, who counts them from 1; 0 is a packet without a number."""

    def __init__(self) -> None:
        self.last = 0

    def admit(self, number: int) -> bool:
        """Whether a packet is to be taken: not if it, or a later one, has been before."""
        if number == 0:
            return True
        if number <= self.last:
            return False
        self.last = number
        return True


class SendSequence:
    """Numbers what one recipient is sent in the assistant's name, and keeps the newest of everything numbered."""

    def __init__(self, *, max_kept_bytes: int = MAX_KEPT_BYTES) -> None:
        self._next = 0
        self._max = max_kept_bytes
        self._kept: deque[tuple[str, int, bytes, float]] = deque()
        self._bytes = 0

    def next(self) -> int:
        """The number of the next packet that is ours."""
        self._next += 1
        return self._next

    def keep(self, publisher_sid: str, number: int, data: bytes, now: float) -> None:
        """Keep a packet that is being sent at `now` (s), for a while."""
        if number == 0:
            return
        self._kept.append((publisher_sid, number, data, now))
        self._bytes += len(data)
        self._forget(now)

    def missed(self, last: Mapping[str, int], now: float) -> Iterator[bytes]:
        """What comes after the last number that the recipient has, of each publisher; all of those it does not name."""
        self._forget(now)
        for publisher_sid, number, data, _ in list(self._kept):
            if number > last.get(publisher_sid, 0):
                yield data

    def _forget(self, now: float) -> None:
        while self._kept and (self._bytes > self._max or now - self._kept[0][3] > MAX_KEPT):
            self._bytes -= len(self._kept.popleft()[2])
