"""The data channel `events`, with a queue for the time before it opens."""

from collections import deque
from collections.abc import Callable

from aiortc import RTCDataChannel

from mediaserver.rtc.aiortc_patches.receivers import is_flushed

LABEL = "events"
MAX_WAITING = 1_000
MAX_WAITING_BYTES = 1_000_000


class EventsChannel:
    """Sends events over the client's channel once `bind` has received it."""

    def __init__(self, *, is_offered: bool, on_message: Callable[[str | bytes], None]):
        self._is_expected = is_offered
        self._on_message = on_message
        self._channel: RTCDataChannel | None = None
        self._waiting: deque[str] = deque()
        self._waiting_bytes = 0

    def bind(self, channel: RTCDataChannel) -> None:
        """Use a channel the client has opened, if its label fits; the newest wins."""
        if channel.label != LABEL:
            return
        channel.on("message", self._on_message)
        self._channel = channel
        self._is_expected = False
        while self._waiting and channel.readyState == "open":
            channel.send(self._waiting.popleft())
        self._waiting_bytes = 0

    def close(self) -> None:
        """Stop waiting for a channel that the client does not open."""
        self._is_expected = False
        self._waiting.clear()

    def send(self, text: str) -> bool:
        """Send, or queue until the channel opens; False when the client is too slow."""
        if self._is_expected:
            self._waiting.append(text)
            self._waiting_bytes += len(text)
            return len(self._waiting) <= MAX_WAITING and self._waiting_bytes <= MAX_WAITING_BYTES
        if self._channel is None or self._channel.readyState != "open":
            return True  # no channel offered, or closed by the client: events are not wanted
        try:
            self._channel.send(text)
        except ValueError:
            return False  # larger than the client accepts
        return self._channel.bufferedAmount <= MAX_WAITING_BYTES

    @property
    def is_flushed(self) -> bool:
        """Whether the client has acknowledged every message."""
        if self._is_expected:
            return not self._waiting
        return self._channel is None or self._channel.readyState != "open" or is_flushed(self._channel)
