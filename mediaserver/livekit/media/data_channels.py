"""The reliable and the lossy data channel of a client."""

from collections import deque
from collections.abc import Callable

from aiortc import RTCDataChannel, RTCPeerConnection

from mediaserver.livekit.media.renegotiation import MAX_MESSAGE
from mediaserver.livekit.media.types import LOSSY, RELIABLE

MAX_BUFFERED_RELAY = 4_000_000
"""Bytes buffered for a client up to which relayed data is accepted: the size of the largest stream."""

MAX_BUFFERED = 5_000_000
"""Bytes buffered for a client up to which the server's own data is accepted."""

MAX_BUFFERED_LOSSY = 100_000
"""Bytes buffered on the lossy channel, from which packets are dropped rather than delayed."""


class DataChannels:
    """Sends and receives on both channels, which the client opens (`bind`) or the server (`open`)."""

    def __init__(self, *, on_data: Callable[[str, bytes], None]):
        self._on_data = on_data
        self._channels: dict[str, RTCDataChannel] = {}
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0

    def open(self, connection: RTCPeerConnection) -> None:
        """Create both channels on a connection that has a media section already."""
        self.bind(connection.createDataChannel(RELIABLE))
        self.bind(connection.createDataChannel(LOSSY, ordered=False, maxRetransmits=0))

    def subscribe(self, channel: RTCDataChannel) -> None:
        """Receive on a channel with a known label, without sending on it."""
        label = channel.label

        def on_message(message: str | bytes) -> None:
            if isinstance(message, bytes) and len(message) <= MAX_MESSAGE:
                self._on_data(label, message)

        if label in (RELIABLE, LOSSY):
            channel.on("message", on_message)

    def bind(self, channel: RTCDataChannel) -> None:
        """Send and receive on a channel with a known label; the newest of a label is used."""
        if channel.label not in (RELIABLE, LOSSY):
            return
        self.subscribe(channel)
        self._channels[channel.label] = channel
        channel.on("open", self._flush)
        self._flush()

    def send(self, label: str, data: bytes, *, is_of_others: bool = False) -> bool:
        """Send on the channel of that label, or queue until it is open; False if the buffer is full."""
        limit = MAX_BUFFERED_RELAY if is_of_others else MAX_BUFFERED
        channel = self._channels.get(label)
        is_open = channel is not None and channel.readyState == "open"
        if label != RELIABLE:
            if channel is not None and is_open and channel.bufferedAmount <= MAX_BUFFERED_LOSSY:
                return _send(channel, data)
            return True
        if channel is not None and is_open and not self._queue:
            return channel.bufferedAmount + len(data) <= limit and _send(channel, data)
        if self._queued_bytes + len(data) > limit:
            return False
        self._queue.append(data)
        self._queued_bytes += len(data)
        return True

    def _flush(self) -> None:
        channel = self._channels.get(RELIABLE)
        while channel is not None and channel.readyState == "open" and self._queue:
            data = self._queue.popleft()
            self._queued_bytes -= len(data)
            _send(channel, data)


def _send(channel: RTCDataChannel, data: bytes) -> bool:
    try:
        channel.send(data)
    except ValueError:
        return False  # larger than the client's max-message-size
    return True
