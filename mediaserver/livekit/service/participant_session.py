"""One participant's session, from the join to the leave, over any number of signalling sockets."""

import asyncio
from functools import partial
from time import monotonic, time

from livekit.protocol.models import DataPacket, DisconnectReason
from livekit.protocol.rtc import ICEServer, Pong, SignalRequest, SignalResponse, SyncState
from loguru import logger

from mediaserver.half_open import HalfOpenConnection
from mediaserver.livekit.agent.participant_peer import ParticipantPeer
from mediaserver.livekit.media.link_protocol import MakeLink
from mediaserver.livekit.media.types import LinkState
from mediaserver.livekit.protocol.access_token import ASSISTANT, AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.protocol.transcription import TrackRef
from mediaserver.livekit.room import signal_requests as requests
from mediaserver.livekit.room.join_response import join_response, reconnect_response
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.room import LeaveAction, leave_response
from mediaserver.livekit.service.room_context import RoomContext
from mediaserver.livekit.service.session_channel import SessionChannel
from mediaserver.livekit.service.session_data import SessionData
from mediaserver.livekit.service.session_media import SessionMedia
from mediaserver.livekit.service.session_negotiation import SessionNegotiation
from mediaserver.livekit.service.session_socket import SessionSocket
from mediaserver.livekit.service.signal_socket import SignalSocket
from pipeline.errors import MediaError
from pipeline.media import AudioChunk, ScreenFrame
from pipeline.peer import ConversationPort

_CLOSED_STATES = (LinkState.FAILED, LinkState.CLOSED)


class ParticipantSession:
    """Owns a participant's socket, link, media, data and peer. Implements `LinkEvents` and `SessionControl`."""

    def __init__(
        self,
        context: RoomContext,
        participant: Participant,
        *,
        is_dual: bool,
        make_link: MakeLink,
        half_open: HalfOpenConnection,
    ):
        self.participant = participant
        self.is_over = False
        self._context = context
        self._room = context.room
        self._is_dual = is_dual
        self._peer: ParticipantPeer | None = None
        self._conversation: ConversationPort | None = None
        self._socket = SessionSocket()
        self._sent_token: tuple[AccessTokenClaims, float] | None = None  # with the time (monotonic s) of sending
        self._is_ending = False
        self._half_open = half_open
        self._joined_at = monotonic()
        self._has_connected = False
        self.link = make_link(self, is_dual, half_open.caller.address)
        self._media = SessionMedia(context, participant, self.link)
        self._data = SessionData(self, context, participant, self.link)
        self._negotiation = SessionNegotiation(self, context, participant, self.link, self._media, is_dual=is_dual)

    # The signalling socket.

    def post(self, response: SignalResponse) -> None:
        """Send a signal message if a socket is attached; a client that resumes gets the state as a whole."""
        self._socket.post(response)

    async def open(self, socket: SignalSocket, join: Join, conversation: ConversationPort) -> None:
        """Send the join response, attach the peer, and handle the requests that came with the join."""
        self._socket.attach(socket)
        room = self._room
        self.post(join_response(room, self.participant, self._ice_servers(), is_dual=self._is_dual))
        self._attach_peer(conversation)
        self._half_open.open(conversation, self._give_way)
        for request in join.add_tracks:
            requests.add_track(room, self.participant, request)
        self._context.send_snapshot(self.participant.sid)
        self._context.reconcile()
        if join.offer is not None:
            await self._negotiation.take_offer(join.offer)
        if self._is_dual:
            await self._negotiation.offer()

    async def resume(self, socket: SignalSocket, join: Join) -> None:
        """Continue on another socket, and close the older one if it is still open."""
        self._socket.attach(socket)
        self.post(reconnect_response(self._ice_servers(), self._data.last))
        self._room.refresh(self.participant.sid)
        self._context.send_snapshot(self.participant.sid)
        self._sent_token = None
        if join.sync_state is not None:
            self._sync(join.sync_state)
        if self._is_dual:
            await self._negotiation.offer(again=True)

    def on_socket_lost(self, socket: SignalSocket) -> None:
        """Record the loss of a socket; the client may resume for a while."""
        self._socket.on_lost(socket, monotonic())

    def is_resumable(self, grant: AccessTokenClaims) -> bool:
        """Whether the holder of a grant may resume this session: identity and owner must be the same."""
        begun = self.participant.grant
        is_same = (grant.identity, grant.owner) == (begun.identity, begun.owner)
        return not self.is_over and self.link.state not in _CLOSED_STATES and is_same

    async def on_signal_request(self, request: SignalRequest) -> None:
        """Handle a signal message of the client. Raises `ProtocolError`."""
        if self.is_over:
            return
        match request.WhichOneof("message"):
            case "offer":
                await self._negotiation.take_offer(request.offer)
            case "answer" if self._is_dual:
                await self._negotiation.take_answer(request.answer)
            case "trickle" if request.trickle.candidateInit:
                self._negotiation.take_candidate(request.trickle)
            case "ping":
                self.post(SignalResponse(pong=int(time() * 1000)))
            case "ping_req":
                sent = request.ping_req.timestamp
                self.post(SignalResponse(pong_resp=Pong(last_ping_timestamp=sent, timestamp=int(time() * 1000))))
            case "leave":
                self.end(DisconnectReason.CLIENT_INITIATED)
            case "sync_state":
                self._sync(request.sync_state)
            case "simulate":
                self._simulate(request)
            case _:
                requests.apply_request(self._room, self.participant, request)
                self._context.reconcile()

    # Life.

    def check_health(self, now: float) -> None:
        """Apply timeouts and send what is due at `now` (monotonic s)."""
        if self._context.is_revoked(self.participant.grant):
            self.end(DisconnectReason.PARTICIPANT_REMOVED, "DISCONNECT")
            return
        lost_at = self._socket.lost_at
        if lost_at is None:
            self._refresh_token(now)
        elif self.link.state in _CLOSED_STATES or now - lost_at > self._context.limits.resume:
            self.end(DisconnectReason.SIGNAL_CLOSE)
        if not self._has_connected and now - self._joined_at > self._context.limits.connect:
            self.end(DisconnectReason.CONNECTION_TIMEOUT, "RECONNECT")
        self._media.send_due(now)
        if self._peer is not None:
            self._peer.check_timeouts(now)

    def reconcile(self) -> None:
        """Apply the present publications and subscriptions to this participant's media."""
        if not self.is_over and self._media.update():
            self._negotiation.renegotiate()

    def end(self, reason: DisconnectReason, action: LeaveAction | None = None) -> None:
        """Leave the room now; with an `action`, the client gets a leave message."""
        if self.is_over:
            return
        self.is_over = True
        self._half_open.release()
        if action is not None:
            self.post(leave_response(reason, action))
        self._socket.close("left")
        self._detach_peer()
        self._room.leave(self.participant.sid, reason)
        self._context.spawn(self.link.close())
        self._context.forget(self.participant.sid)
        logger.info("participant left", reason=DisconnectReason.Name(reason))

    def schedule_end(self, reason: DisconnectReason, delay: float, action: LeaveAction = "DISCONNECT") -> None:
        """End the session after `delay` seconds; later calls have no effect."""

        async def end_later() -> None:
            await asyncio.sleep(delay)
            self.end(reason, action)

        # Not at once, even without a delay: the caller is still using the session.
        if not self._is_ending and not self.is_over:
            self._is_ending = True
            self._context.spawn(end_later())

    def close_for_rejoin(self) -> None:
        """Close after a failure of the room; the client is asked to join a new one."""
        self.is_over = True
        self._half_open.release()
        self.post(leave_response(DisconnectReason.STATE_MISMATCH, "RECONNECT"))
        self._socket.close("the room has failed")
        self._detach_peer()

    # Calls by the room for other participants.

    def mark_subscribed(self, track: str) -> None:
        """Schedule the report to the client that a track of it has a receiver."""
        self._media.mark_subscribed(track)

    def relay(self, packet: DataPacket, label: str) -> bool:
        """Send another participant's packet; False if it was dropped because the send buffer is full."""
        return self._data.relay(packet, label)

    # Events of the link.

    def on_audio(self, mid: str, chunk: AudioChunk) -> None:
        """Pass on decoded audio of a section."""
        if not self.is_over:
            self._media.push_audio(mid, chunk)

    def on_frame(self, mid: str, frame: ScreenFrame) -> None:
        """Pass on a decoded video frame of a section."""
        if not self.is_over:
            self._media.push_frame(mid, frame)

    def on_pause(self, mid: str) -> None:
        """Handle an RTCP BYE of a section."""
        if not self.is_over:
            self._media.pause(mid)

    def on_fault(self, mid: str, error: MediaError) -> None:
        """Report a decoder error of a section."""
        if not self.is_over:
            self._media.report_error(mid, error)

    def on_data(self, label: str, data: bytes) -> None:
        """Route a message from the data channel of that label."""
        if not self.is_over:
            self._data.receive(label, data)

    def on_state(self, state: LinkState) -> None:
        """Activate the participant once connected; end the session after a loss."""
        if self.is_over:
            return
        match state:
            case LinkState.CONNECTED:
                self._has_connected = True
                self._half_open.establish()
                self._room.activate(self.participant.sid)
                self._context.reconcile()
            case LinkState.FAILED if self._socket.is_attached:
                # The client itself would detect the loss only some 20 s later.
                self.end(DisconnectReason.CONNECTION_TIMEOUT, "RECONNECT")
            case LinkState.CLOSED:
                # A client that leaves closes its connection before it sends `leave`.
                self.schedule_end(DisconnectReason.CONNECTION_TIMEOUT, self._context.limits.hung_up, "RECONNECT")

    # Parts of the above.

    def _attach_peer(self, conversation: ConversationPort) -> None:
        channel = SessionChannel(self, self._context, self.link, self._media, self._data)
        self._conversation = conversation
        self._peer = ParticipantPeer(
            channel,
            conversation,
            self._context.transcript_log(conversation),
            TrackRef(ASSISTANT, self._room.assistant.track.sid),
            name=self.participant.name or self.participant.identity,
            count_bad_message=partial(self._context.bad_messages.spend, self._half_open.caller.address),
        )
        self._media.set_peer(self._peer)
        self._data.peer = self._peer

    def _detach_peer(self) -> None:
        if self._peer is not None and self._conversation is not None:
            # An abandoned join must not keep a conversation that it started.
            is_abandoned = not self._has_connected and not self._conversation.is_used
            self._peer.leave(grace=0.0 if is_abandoned else self._context.limits.grace)

    async def _give_way(self) -> None:
        """Leave the room for a newer connection of the same user."""
        self.end(DisconnectReason.CONNECTION_TIMEOUT, "DISCONNECT")
        await self.link.close()

    def _ice_servers(self) -> list[ICEServer]:
        return self._context.ice_servers(self.participant.grant.owner)

    def _refresh_token(self, now: float) -> None:
        claims = self.participant.granted
        if self._sent_token is not None:
            sent, sent_at = self._sent_token
            if claims == sent and now - sent_at < self._context.limits.refresh:
                return
        self._sent_token = claims, now
        self._context.spawn(self._check_and_refresh())

    async def _check_and_refresh(self) -> None:
        """Send a new token, or end the session if the user's account is gone."""
        if not await self._context.user_exists(self.participant.grant):
            self.end(DisconnectReason.PARTICIPANT_REMOVED, "DISCONNECT")
        if self.is_over:
            return
        token = self._context.refresh_token(self.participant)
        if token is not None:
            self.post(SignalResponse(refresh_token=token))

    def _simulate(self, request: SignalRequest) -> None:
        # Scenarios that the test suites of LiveKit's clients request.
        match request.simulate.WhichOneof("scenario"):
            case "leave_request_full_reconnect":
                self.end(DisconnectReason.CLIENT_INITIATED, "RECONNECT")
            case "migration":
                self.post(leave_response(DisconnectReason.MIGRATION, "RESUME"))
            case "server_leave":
                self.end(DisconnectReason.SERVER_SHUTDOWN, "DISCONNECT")

    def _sync(self, state: SyncState) -> None:
        subscription = state.subscription
        named = [sid for each in subscription.participant_tracks for sid in each.track_sids]
        self._room.subscribe(self.participant, [*subscription.track_sids, *named], is_wanted=subscription.subscribe)
        self._data.replay({each.publisher_sid: each.last_seq for each in state.datachannel_receive_states})
        self._context.reconcile()
