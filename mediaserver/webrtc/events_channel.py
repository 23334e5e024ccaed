"""The data channel `events`: text both ways, nothing lost while it is not open yet."""

from collections import deque
from collections.abc import Callable

from aiortc import RTCDataChannel

from mediaserver.rtc.aiortc_patches.receivers import is_flushed

LABEL = "events"
MAX_WAITING = 1_000
MAX_WAITING_BYTES = 1_000_000


class EventsChannel:
    """Made before the client's channel is: `adopt` it when it comes."""

    def __init__(self, *, is_offered: bool, on_message: Callable[[str | bytes], None]):
        self._is_awaited = is_offered
        self._on_message = on_message
        self._channel: RTCDataChannel | None = None
        self._waiting: deque[str] = deque()
        self._waiting_bytes = 0

    def bind(self, channel: RTCDataChannel) -> None:
        """Use a channel the client has opened, if it is the one; the newest wins."""
        if channel.label != LABEL:
            return
        channel.on("message", self._on_message)
        self._channel = channel
        self._is_awaited = False
        while self._waiting and channel.readyState == "open":
            channel.send(self._waiting.popleft())
        self._waiting_bytes = 0

    def close(self) -> None:
        """Stop waiting for a client that seems to want no events."""
        self._is_awaited = False
        self._waiting.clear()

    def send(self, text: str) -> bool:
        """Send, or keep until the channel opens; False when the client does not take what it was sent."""
        if self._is_awaited:
            self._waiting.append(text)
            self._waiting_bytes += len(text)
            return len(self._waiting) <= MAX_WAITING and self._waiting_bytes <= MAX_WAITING_BYTES
        if self._channel is None or self._channel.readyState != "open":
            return True  # no channel offered, or closed by the client: it wants no events
        try:
            self._channel.send(text)
        except ValueError:
            return False  # larger than the client said it takes
        return self._channel.bufferedAmount <= MAX_WAITING_BYTES

    @property
    def is_flushed(self) -> bool:
        """Whether the client has acknowledged all that was sent."""
        if self._is_awaited:
            return not self._waiting
        return self._channel is None or self._channel.readyState != "open" or is_flushed(self._channel)
