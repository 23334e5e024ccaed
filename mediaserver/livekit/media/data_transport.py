"""The data packets of one client: sequence numbers, replay and a rate limit."""

from time import monotonic

from livekit.protocol.models import DataPacket

from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.media.types import LOSSY, RELIABLE
from mediaserver.livekit.protocol.access_token import ASSISTANT
from mediaserver.livekit.protocol.data_packet import parse_packet
from mediaserver.livekit.protocol.reliable_sequence import ReceiveSequence, SendSequence
from mediaserver.livekit.protocol.token_bucket import TokenBucket
from pipeline.errors import FaultCode, MediaError

RATE, BURST = 500.0, 5_000.0
"""The rate limit of one client, whose packets may each go to many others: packets a second, and at once."""


class DataTransport:
    """Numbers, parses and replays the packets of one client's data channels."""

    def __init__(self, link: Link, assistant_sid: str):
        self._link = link
        self._assistant_sid = assistant_sid
        self._received = ReceiveSequence()
        self._sent = SendSequence()
        self._rate_limit = TokenBucket(rate=RATE, burst=BURST)

    @property
    def last(self) -> int:
        """The sequence number of the newest reliable packet received."""
        return self._received.last

    def receive(self, label: str, data: bytes) -> DataPacket | None:
        """Parse a message; None for a duplicate, or one over the rate limit.

        Raises `ProtocolError`, and `MediaError` once a second while the client exceeds the rate limit.
        """
        now = monotonic()
        if label not in (RELIABLE, LOSSY):
            return None
        if not self._rate_limit.admit(now):
            if self._rate_limit.should_report(now):
                message = f"At most {RATE:.0f} data packets a second are taken."
                raise MediaError(FaultCode.RATE_LIMITED, message, where="livekit")
            return None
        packet = parse_packet(data)
        is_new = label == LOSSY or self._received.admit(packet.sequence)
        return packet if is_new else None

    def send(self, packet: DataPacket) -> bool:
        """Send a packet as the assistant, unless it names another sender; False if the send buffer is full."""
        packet.participant_identity = packet.participant_identity or ASSISTANT
        # Clients count by sid: the sequence is the assistant's, whatever identity the packet names.
        packet.participant_sid = self._assistant_sid
        packet.sequence = self._sent.next()
        return self.relay(packet, RELIABLE)

    def relay(self, packet: DataPacket, label: str, *, is_of_others: bool = False) -> bool:
        """Send a packet as it is; False if the send buffer is full."""
        if label == LOSSY:
            packet.kind = DataPacket.LOSSY
        data = packet.SerializeToString()
        is_taken = self._link.send(label, data, is_of_others=is_of_others)
        if is_taken and label == RELIABLE:
            self._sent.keep(packet.participant_sid, packet.sequence, data, monotonic())
        return is_taken

    def replay(self, last: dict[str, int]) -> None:
        """Send again the packets after the client's last sequence number of each sender."""
        for data in self._sent.missed(last, monotonic()):
            self._link.send(RELIABLE, data)
