"""The data packets of one participant, between its data channels, the room and the assistant."""

from time import monotonic

from livekit.protocol.models import DataPacket, DisconnectReason

from mediaserver.livekit.agent.participant_peer import ParticipantPeer
from mediaserver.livekit.media.data_transport import DataTransport
from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.protocol.data_packet import rpc_ack, rpc_error
from mediaserver.livekit.protocol.rpc import RECIPIENT_NOT_FOUND
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.service.room_context import RoomContext
from mediaserver.livekit.service.session_control import SessionControl
from mediaserver.rtc.throttle import Throttle
from pipeline.errors import FaultCode, MediaError
from pipeline.events import fault_from

_OVERFLOW_REPORT_PERIOD = 1.0


class SessionData:
    """Routes received packets to the other participants and the assistant, and sends theirs."""

    def __init__(self, session: SessionControl, context: RoomContext, participant: Participant, link: Link):
        self.peer: ParticipantPeer | None = None
        """The receiver of packets for the assistant; None before the join is complete."""
        self._session = session
        self._context = context
        self._participant = participant
        self._transport = DataTransport(link, context.room.assistant.sid)
        self._overflow_reports = Throttle(_OVERFLOW_REPORT_PERIOD)

    @property
    def last(self) -> int:
        """The sequence number of the newest reliable packet received."""
        return self._transport.last

    def receive(self, label: str, data: bytes) -> None:
        """Parse and route a message from the data channel of that label."""
        if self.peer is None:
            return
        try:
            packet = self._transport.receive(label, data)
        except MediaError as error:
            self.peer.reject_message(error)
            return
        if packet is not None:
            self._route(packet, label, self.peer)

    def relay(self, packet: DataPacket, label: str) -> bool:
        """Send another participant's packet; False if it was dropped because the send buffer is full."""
        return self._session.is_over or self._transport.relay(packet, label, is_of_others=True)

    def send(self, packet: DataPacket) -> None:
        """Send a packet as the assistant, unless it names another sender; disconnect if the buffer is full."""
        if not self._session.is_over and not self._transport.send(packet):
            self._session.schedule_end(DisconnectReason.PARTICIPANT_REMOVED, 0.0)

    def replay(self, last: dict[str, int]) -> None:
        """Send the reliable packets after the client's last sequence number of each sender."""
        self._transport.replay(last)

    def _route(self, packet: DataPacket, label: str, peer: ParticipantPeer) -> None:
        route = self._context.room.route(self._participant, packet)
        if route is None:
            return
        if not route.to and not route.is_for_assistant and packet.WhichOneof("value") == "rpc_request":
            self._refuse_rpc(packet.rpc_request.id)
        if not self._context.deliver(packet, route.to, label) and self._overflow_reports.allow(monotonic()):
            message = "Another participant cannot take data as fast as it is sent; some was dropped."
            peer.send_event(fault_from(MediaError(FaultCode.RATE_LIMITED, message, where="livekit")))
        if route.is_for_assistant:
            peer.on_data_packet(packet)

    def _refuse_rpc(self, request: str) -> None:
        identity = self._participant.identity
        self.send(rpc_ack(request, to=identity))  # without it, the client waits for its timeout despite the error
        self.send(rpc_error(request, RECIPIENT_NOT_FOUND, "Recipient not found", to=identity))
