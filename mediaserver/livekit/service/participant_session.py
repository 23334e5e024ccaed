"""One participant's session: its socket while it has one, its media, and its part in the conversation."""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from time import monotonic, time

from livekit.protocol.models import DataPacket, DisconnectReason
from livekit.protocol.rtc import (
    Pong,
    SignalRequest,
    SignalResponse,
    SyncState,
)
from loguru import logger

from mediaserver.livekit.agent.participant_peer import ParticipantPeer
from mediaserver.livekit.agent.track_selection import TrackSelection
from mediaserver.livekit.media.data_transport import DataTransport
from mediaserver.livekit.media.link_protocol import Link, MakeLink
from mediaserver.livekit.media.negotiation import Negotiation
from mediaserver.livekit.media.types import LinkState, OfferedSection, Outgoing
from mediaserver.livekit.protocol.access_token import ASSISTANT, AccessTokenClaims
from mediaserver.livekit.protocol.data_packet import rpc_ack, rpc_error
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.protocol.rpc import RECIPIENT_NOT_FOUND
from mediaserver.livekit.protocol.transcription import TrackRef
from mediaserver.livekit.room import signal_requests as requests
from mediaserver.livekit.room.active_speakers import level_of
from mediaserver.livekit.room.join_response import join_response, reconnect_response
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.publications import Track
from mediaserver.livekit.room.room import LeaveAction, leave_response
from mediaserver.livekit.service.room_context import RoomContext
from mediaserver.livekit.service.signal_socket import SignalSocket
from mediaserver.livekit.service.subscriptions import SubscriptionForwarder
from mediaserver.rtc.sdp.offer import OfferError
from mediaserver.rtc.throttle import Throttle
from pipeline.errors import FaultCode, MediaError
from pipeline.events import EndReason, fault_from
from pipeline.media import SPEECH_SAMPLE_RATE, AudioChunk, ScreenFrame, SpeechFrame
from pipeline.peer import ConversationPort

_GONE = (LinkState.FAILED, LinkState.CLOSED)
_REASONS: dict[EndReason, DisconnectReason] = {
    EndReason.CLIENT: DisconnectReason.ROOM_CLOSED,
    EndReason.IDLE: DisconnectReason.ROOM_CLOSED,
    EndReason.LIMIT: DisconnectReason.ROOM_CLOSED,
    EndReason.SHUTDOWN: DisconnectReason.SERVER_SHUTDOWN,
    EndReason.ERROR: DisconnectReason.AGENT_ERROR,
}


class Session:
    """From the join to the leave, over any number of sockets. Its link and its `RoomPeer` call it back."""

    def __init__(self, hall: RoomContext, participant: Participant, *, is_dual: bool, make_link: MakeLink):
        self.participant = participant
        self.is_over = False
        self._hall = hall
        self._room = hall.room
        self._is_dual = is_dual
        self._peer: ParticipantPeer | None = None
        self._socket: SignalSocket | None = None
        self._lost_at: float | None = None
        self._renewed: tuple[AccessTokenClaims, float] | None = (
            None  # what the newest token says, and when (monotonic s) it was sent
        )
        self._received: dict[str, float] = {}  # tracks, and when (monotonic s) to say so
        self._complaints = Throttle(1.0)
        self._wants_voice = True
        self._is_parting = False
        self.link = make_link(self, is_dual)
        track, assistant = self._room.assistant.track.sid, self._room.assistant.sid
        self.link.speak(Outgoing(track, f"{assistant}|{track}", "audio"))
        self._delivery = DataTransport(self.link, assistant)
        self._attention = TrackSelection(
            participant, self.link, on_received=self.mark_subscribed, on_level=self._on_level
        )
        self._forwarding = SubscriptionForwarder(self.link, self._link_of)
        self._negotiation = Negotiation(
            self.link, is_dual=is_dual, post=self.post, on_sections=self._on_sections, on_sent=self._on_sent
        )

    @property
    def voice(self) -> TrackRef:
        """Who it is, and the track of its microphone."""
        track = self._attention.voice
        return TrackRef(self.participant.identity, track.sid if track is not None else "")

    # The socket.

    def post(self, response: SignalResponse) -> None:
        """Send a message, if there is a socket; who comes back is told how everything is by then."""
        if self._socket is not None:
            self._socket.put(response)

    async def open(self, socket: SignalSocket, join: Join, host: ConversationPort) -> None:
        """Tell a client that it has joined, and answer what it has asked with that."""
        self._socket = socket
        room = self._room
        self.post(join_response(room, self.participant, self._hall.ice_servers(), is_dual=self._is_dual))
        name = self.participant.name or self.participant.identity
        self._peer = ParticipantPeer(
            self, host, self._hall.transcript_log(host), TrackRef(ASSISTANT, room.assistant.track.sid), name=name
        )
        self._attention.peer = self._peer
        for request in join.add_tracks:
            requests.add_track(room, self.participant, request)
        self._hall.catch_up(self.participant.sid)
        self._hall.reconcile()
        if join.offer is not None:
            await self._negotiate(self._negotiation.take_offer(join.offer))
        if self._is_dual:
            await self._negotiate(self._negotiation.offer())

    async def resume(self, socket: SignalSocket, join: Join) -> None:
        """Go on where an older socket was lost, which is closed if it was not."""
        old, self._socket = self._socket, socket
        if old is not None:
            old.close("resumed on another socket")
        self._lost_at = None
        self.post(reconnect_response(self._hall.ice_servers(), self._delivery.last))
        self._room.refresh(self.participant.sid)
        self._hall.catch_up(self.participant.sid)
        self._renewed = None
        if join.sync_state is not None:
            self._sync(join.sync_state)
        if self._is_dual:
            await self._negotiate(self._negotiation.offer(again=True))

    def on_socket_lost(self, socket: SignalSocket) -> None:
        """A socket has ended; unless it was replaced, the client may come back for a while."""
        if self._socket is socket:
            self._socket = None
            self._lost_at = monotonic()

    def is_resumable(self, grant: AccessTokenClaims) -> bool:
        """Whether the holder of a grant may go on with this session: whoever began it, not a namesake."""
        begun = self.participant.grant
        is_same = (grant.identity, grant.owner) == (begun.identity, begun.owner)
        return not self.is_over and self.link.state not in _GONE and is_same

    async def on_signal_request(self, request: SignalRequest) -> None:
        """Take a message of the client. Raises `ProtocolError`."""
        if self.is_over:
            return
        match request.WhichOneof("message"):
            case "offer":
                await self._negotiate(self._negotiation.take_offer(request.offer))
            case "answer" if self._is_dual:
                await self._negotiate(self._negotiation.take_answer(request.answer))
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
                self._hall.reconcile()

    def check_health(self, now: float) -> None:
        """Do what is due at `now` (monotonic s)."""
        if self._lost_at is not None:
            if self.link.state in _GONE or now - self._lost_at > self._hall.limits.resume:
                self.end(DisconnectReason.SIGNAL_CLOSE)
        else:
            self._renew(now)
        self._on_quality_sample(now)
        if self._peer is not None:
            self._peer.check_timeouts(now)

    def end(self, reason: DisconnectReason, action: LeaveAction | None = None) -> None:
        """Leave the room; with an `action`, the client is told to go or to come back."""
        if self.is_over:
            return
        self.is_over = True
        if action is not None:
            self.post(leave_response(reason, action))
        if self._socket is not None:
            self._socket.close("left")
        if self._peer is not None:
            self._peer.leave(grace=self._hall.limits.grace)
        self._room.leave(self.participant.sid, reason)
        self._hall.spawn(self.link.close())
        self._hall.forget(self)
        logger.info("participant left", reason=DisconnectReason.Name(reason))

    def _renew(self, now: float) -> None:
        grant = self.participant.granted
        if self._renewed is not None:
            told, at = self._renewed
            if grant == told and now - at < self._hall.limits.refresh:
                return
        self._renewed = grant, now
        self.post(SignalResponse(refresh_token=self._hall.renew(self.participant)))

    def close_for_rejoin(self) -> None:
        """The room has failed: the client is told to come back to a new one."""
        self.is_over = True
        if self._socket is not None:
            self._socket.put(leave_response(DisconnectReason.STATE_MISMATCH, "RECONNECT"))
            self._socket.close("the room has failed")
        if self._peer is not None:
            self._peer.leave(grace=self._hall.limits.grace)

    def _simulate(self, request: SignalRequest) -> None:
        # What clients' own tests ask for.
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
        self._delivery.replay({each.publisher_sid: each.last_seq for each in state.datachannel_receive_states})
        self._hall.reconcile()

    # Negotiation.

    async def _negotiate(self, step: Awaitable[None]) -> None:
        try:
            await step
        except OfferError as error:
            logger.info("negotiation failed", reason=error.message)
            if self._negotiation.is_begun:
                self.end(DisconnectReason.STATE_MISMATCH, "RECONNECT")
            else:
                self.end(DisconnectReason.JOIN_FAILURE, "DISCONNECT")

    def _on_sections(self, sections: Iterable[OfferedSection]) -> None:
        if not self.is_over:
            self._room.match(self.participant, sections)
            self._hall.reconcile()

    def _on_sent(self, tracks: Iterable[str]) -> None:
        for sid in tracks:
            publisher = self._hall.session(self._forwarding.publisher(sid) or "")
            track = publisher.participant.publications.tracks.get(sid) if publisher is not None else None
            if publisher is not None and track is not None:
                publisher.mark_subscribed(track)

    # Media.

    def reconcile(self) -> None:
        """Send and listen to what is published and wanted now."""
        if self.is_over:
            return
        self._attention.choose()
        is_silent = not self._wants_voice or not self._room.hears_assistant(self.participant)
        self.link.pause(self._room.assistant.track.sid, is_paused=is_silent)
        is_more = self._forwarding.update(self._room.forwards(self.participant))
        if is_more and self._is_dual and self._negotiation.is_begun:
            self._hall.spawn(self._negotiate(self._negotiation.offer()))
        elif is_more:
            self._negotiation.ask_for_offer()

    def mark_subscribed(self, track: Track) -> None:
        """Somebody receives a track of this client, which is told so a little later."""
        # A client forgets what it is told of a track while it is still busy publishing it.
        if not track.is_subscribed and track.sid not in self._received:
            self._received[track.sid] = monotonic() + self._hall.limits.publish

    def _on_quality_sample(self, now: float) -> None:
        for sid in [sid for sid, due in self._received.items() if now >= due]:
            del self._received[sid]
            track = self.participant.publications.tracks.get(sid)
            if track is not None:
                self._room.subscription_permitted(self.participant, track)
                self._attention.expect_recording(track)

    def _on_level(self, level: float | None) -> None:
        if level is None:
            self._hall.on_muted(self.participant.sid)
        else:
            self._hall.on_audio_level(self.participant.sid, level)

    def _link_of(self, sid: str) -> Link | None:
        session = self._hall.session(sid)
        return session.link if session is not None else None

    def on_audio(self, mid: str, chunk: AudioChunk) -> None:
        """A section is heard."""
        if not self.is_over:
            self._attention.push_audio(mid, chunk)

    def on_frame(self, mid: str, frame: ScreenFrame) -> None:
        """A section is seen."""
        if not self.is_over:
            self._attention.push_frame(mid, frame)

    def on_pause(self, mid: str) -> None:
        """A section's sender pauses."""
        if not self.is_over:
            self._attention.pause(mid)

    def on_fault(self, mid: str, error: MediaError) -> None:
        """A section cannot be decoded."""
        if not self.is_over:
            self._attention.report_error(mid, error)

    def on_state(self, state: LinkState) -> None:
        """The connection is up, or gone."""
        if self.is_over:
            return
        match state:
            case LinkState.CONNECTED:
                self._room.activate(self.participant.sid)
                self._hall.reconcile()
            case LinkState.FAILED if self._socket is not None:
                # Rather now than when the client finds out by itself, some 20 s later.
                self.end(DisconnectReason.CONNECTION_TIMEOUT, "RECONNECT")
            case LinkState.CLOSED:
                # A client that leaves hangs up first and says so then.
                self._leave(DisconnectReason.CONNECTION_TIMEOUT, self._hall.limits.hung_up, "RECONNECT")

    # Data.

    def on_data(self, label: str, data: bytes) -> None:
        """A packet has come."""
        if self.is_over or self._peer is None:
            return
        try:
            packet = self._delivery.receive(label, data)
        except MediaError as error:
            self._peer.reject_message(error)
            return
        route = self._room.route(self.participant, packet) if packet is not None else None
        if packet is None or route is None:
            return
        if not route.to and not route.is_for_assistant and packet.WhichOneof("value") == "rpc_request":
            request, identity = packet.rpc_request.id, self.participant.identity
            self.send(rpc_ack(request, to=identity))  # without which a client waits for it, whatever else comes
            self.send(rpc_error(request, RECIPIENT_NOT_FOUND, "Recipient not found", to=identity))
        if not self._hall.deliver(packet, route.to, label) and self._complaints.allow(monotonic()):
            message = "Another participant cannot take data as fast as it is sent; some was dropped."
            self._peer.send_event(fault_from(MediaError(FaultCode.RATE_LIMITED, message, where="livekit")))
        if route.is_for_assistant:
            self._peer.on_data_packet(packet)

    def relay(self, packet: DataPacket, label: str) -> bool:
        """Send what another has sent; False if it is not, as too much of that waits for this client already."""
        return self.is_over or self._delivery.relay(packet, label, is_of_others=True)

    def send(self, packet: DataPacket) -> None:
        """Send a packet, in the assistant's name unless it says another's."""
        if not self.is_over and not self._delivery.send(packet):
            self.on_abuse()

    # The conversation's voice and will.

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        self.link.send_audio(frame.opus)
        self._hall.on_audio_level(self._room.assistant.sid, level_of(AudioChunk(frame.pcm, SPEECH_SAMPLE_RATE, 0.0)))

    def flush_audio(self) -> None:
        """Send nothing more of what was played."""
        self.link.flush_audio()

    def set_agent_state(self, state: str) -> None:
        """Show what the assistant does."""
        self._room.set_agent_state(state)

    def name_tracks(self, names: Mapping[str, str]) -> None:
        """Take what the client says of its videos, by section or by track."""
        self._attention.name(names)

    def want_voice(self, is_wanted: bool) -> None:
        """Send the assistant's voice, or not."""
        self._wants_voice = is_wanted
        self.reconcile()

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Do something that takes time."""
        self._hall.spawn(work)

    def on_dismissed(self, reason: EndReason) -> None:
        """The conversation is over, and with it the client's stay."""
        self._leave(_REASONS[reason], self._hall.limits.farewell)

    def on_abuse(self) -> None:
        """The client sends nothing but nonsense, or takes nothing that it is sent."""
        self._leave(DisconnectReason.PARTICIPANT_REMOVED, 0.0)

    def _leave(self, reason: DisconnectReason, delay: float, action: LeaveAction = "DISCONNECT") -> None:
        async def part() -> None:
            await asyncio.sleep(delay)
            self.end(reason, action)

        # Not at once: whoever calls is in the middle of something.
        if not self._is_parting and not self.is_over:
            self._is_parting = True
            self._hall.spawn(part())
