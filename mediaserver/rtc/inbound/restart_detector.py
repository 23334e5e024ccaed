"""Notices a sender that starts its sequence numbers afresh without a new SSRC."""

MIN_PACKETS = 5
MIN_SPAN = 0.1
"""A restart shows in so many packets in sequence, over so many seconds, all of them older than what came before.

Packets that were held up in the network come at once, and newer ones come between them.
"""


class RestartDetector:
    """Watches the sequence numbers of one SSRC."""

    def __init__(self) -> None:
        self._newest: int | None = None
        self._last_old = 0
        self._old = 0  # packets older than the newest, in sequence
        self._since = 0.0

    def push(self, sequence: int, now: float) -> bool:
        """Take a packet's number at `now` (s); True if the sender has started afresh with the packets before it."""
        if self._newest is None or 0 < _distance(sequence, self._newest) < 0x8000:
            self._newest, self._old = sequence, 0
            return False
        if self._old == 0 or _distance(sequence, self._last_old) != 1:
            self._old, self._since = 0, now
        self._old += 1
        self._last_old = sequence
        if self._old < MIN_PACKETS or now - self._since < MIN_SPAN:
            return False
        self._newest, self._old = sequence, 0
        return True


def _distance(sequence: int, before: int) -> int:
    return (sequence - before) & 0xFFFF
