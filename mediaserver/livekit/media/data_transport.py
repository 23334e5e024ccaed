"""Data packets of one client, in and out: numbered, kept for a while, and within a budget."""

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
"""Packets a second, and at once, that are taken of one client: each may go to many others."""


class DataTransport:
    """Between one client's data channels and the room."""

    def __init__(self, link: Link, assistant_sid: str):
        self._link = link
        self._assistant_sid = assistant_sid
        self._inflow = ReceiveSequence()
        self._outflow = SendSequence()
        self._budget = TokenBucket(rate=RATE, burst=BURST)

    @property
    def last(self) -> int:
        """The number of the newest packet that has come."""
        return self._inflow.last

    def receive(self, label: str, data: bytes) -> DataPacket | None:
        """Read what has come; None for what is not to be taken. Raises `MediaError`, for a flood once a second."""
        now = monotonic()
        if label not in (RELIABLE, LOSSY):
            return None
        if not self._budget.admit(now):
            if self._budget.should_tell(now):
                message = f"At most {RATE:.0f} data packets a second are taken."
                raise MediaError(FaultCode.RATE_LIMITED, message, where="livekit")
            return None
        packet = parse_packet(data)
        is_new = label == LOSSY or self._inflow.admit(packet.sequence)
        return packet if is_new else None

    def send(self, packet: DataPacket) -> bool:
        """Send a packet of ours, in the assistant's name unless it says another's; False if nobody takes them."""
        packet.participant_identity = packet.participant_identity or ASSISTANT
        # The numbers are of whoever sends, whatever name it is in.
        packet.participant_sid = self._assistant_sid
        packet.sequence = self._outflow.next()
        return self.relay(packet, RELIABLE)

    def relay(self, packet: DataPacket, label: str, *, is_of_others: bool = False) -> bool:
        """Send a packet as it is; False if the client does not take it."""
        if label == LOSSY:
            packet.kind = DataPacket.LOSSY
        data = packet.SerializeToString()
        is_taken = self._link.send(label, data, is_of_others=is_of_others)
        if is_taken and label == RELIABLE:
            self._outflow.keep(packet.participant_sid, packet.sequence, data, monotonic())
        return is_taken

    def replay(self, last: dict[str, int]) -> None:
        """Send again what the client has missed, as it says by the last number it has of each sender."""
        for data in self._outflow.missed(last, monotonic()):
            self._link.send(RELIABLE, data)
