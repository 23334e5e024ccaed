"""The data channels that carry packets, found by their labels."""

from collections import deque
from collections.abc import Callable

from aiortc import RTCDataChannel, RTCPeerConnection

from mediaserver.livekit.media.renegotiation import MAX_MESSAGE
from mediaserver.livekit.media.types import LOSSY, RELIABLE

MAX_OF_OTHERS = 4_000_000
"""Bytes that may wait for a client before what others send it is refused: as much as a stream may have."""

MAX_WAITING = 5_000_000
"""Bytes that may wait for a client; more, and it does not take what it is sent."""

MAX_LATE = 100_000
"""Bytes that may wait on the lossy channel before what is sent is dropped: late is as bad as lost there."""


class DataChannels:
    """Made before the channels are: `adopt` the client's, or `open` some of ours."""

    def __init__(self, *, on_data: Callable[[str, bytes], None]):
        self._on_data = on_data
        self._channels: dict[str, RTCDataChannel] = {}
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0

    def open(self, connection: RTCPeerConnection) -> None:
        """Make both channels of a connection that has a media section already."""
        self.bind(connection.createDataChannel(RELIABLE))
        self.bind(connection.createDataChannel(LOSSY, ordered=False, maxRetransmits=0))

    def subscribe(self, channel: RTCDataChannel) -> None:
        """Take what comes on a channel, if it is one of ours; nothing is sent on it."""
        label = channel.label

        def take(message: str | bytes) -> None:
            if isinstance(message, bytes) and len(message) <= MAX_MESSAGE:
                self._on_data(label, message)

        if label in (RELIABLE, LOSSY):
            channel.on("message", take)

    def bind(self, channel: RTCDataChannel) -> None:
        """Use a channel both ways, if it is one of ours; the newest of a label wins."""
        if channel.label not in (RELIABLE, LOSSY):
            return
        self.subscribe(channel)
        self._channels[channel.label] = channel
        channel.on("open", self._flush)
        self._flush()

    def send(self, label: str, data: bytes, *, is_of_others: bool = False) -> bool:
        """Send on the channel of that label; False if the client does not take it."""
        most = MAX_OF_OTHERS if is_of_others else MAX_WAITING
        channel = self._channels.get(label)
        is_open = channel is not None and channel.readyState == "open"
        if label != RELIABLE:
            if channel is not None and is_open and channel.bufferedAmount <= MAX_LATE:
                return _send(channel, data)
            return True
        if channel is not None and is_open and not self._waiting:
            return channel.bufferedAmount + len(data) <= most and _send(channel, data)
        if self._waiting_bytes + len(data) > most:
            return False
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        return True

    def _flush(self) -> None:
        channel = self._channels.get(RELIABLE)
        while channel is not None and channel.readyState == "open" and self._waiting:
            data = self._waiting.popleft()
            self._waiting_bytes -= len(data)
            _send(channel, data)


def _send(channel: RTCDataChannel, data: bytes) -> bool:
    try:
        channel.send(data)
    except ValueError:
        return False  # larger than the client said it takes
    return True
