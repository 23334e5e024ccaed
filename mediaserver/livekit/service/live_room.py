"""The runtime of a room: its sessions, its conversation, its tasks and its timers."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from time import monotonic, time

from livekit.protocol.models import ConnectionQuality, DataPacket, DisconnectReason
from livekit.protocol.rtc import ConnectionQualityInfo, ICEServer, SignalResponse
from loguru import logger

from mediaserver.bad_messages import BadMessageBudget
from mediaserver.caller import Caller
from mediaserver.half_open import HalfOpenConnection
from mediaserver.livekit.agent.session_options import session_options
from mediaserver.livekit.agent.transcript_log import TranscriptLog, TranscriptLogs
from mediaserver.livekit.media.link_protocol import Link, MakeLink
from mediaserver.livekit.protocol.access_token import AccessTokenClaims, ApiKeys, UserExists
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.room.active_speakers import ActiveSpeakers
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.room import Room
from mediaserver.livekit.service.participant_session import ParticipantSession
from mediaserver.rtc.config import IceServer
from mediaserver.session_factory import SessionFactoryPort
from pipeline.events import EndReason
from pipeline.peer import ConversationPort

MAX_REFRESHED_TOKEN = 6_000
"""Characters of a refreshed token: some clients send it in a header field, which has at most 8190 bytes."""

GOOD_LOSS, POOR_LOSS = 0.02, 0.1
"""Packet loss (0 to 1) from which a connection is no longer excellent, and no longer good."""


class RoomClosed(Exception):
    """The room was closed during a join."""


class RoomNotOwned(Exception):
    """The room belongs to another user, who has issued no token for this participant."""


class RoomRuntime:
    """Runs one room. `run` ends once the room is closed, or has been empty for its timeout."""

    def __init__(
        self,
        name: str,
        session_factory: SessionFactoryPort,
        keys: ApiKeys,
        make_link: MakeLink,
        *,
        transcript_logs: TranscriptLogs,
        ice_servers: Callable[[str], Sequence[IceServer]],
        bad_messages: BadMessageBudget,
        limits: RoomLimits,
        is_shared: bool,
        user_exists: UserExists,
    ):
        self.room = Room(name, post=self._post, now_ms=_now_ms())
        self.limits = limits
        self.bad_messages = bad_messages
        self._session_factory = session_factory
        self._keys = keys
        self._make_link = make_link
        self._ice_servers = ice_servers
        self._sessions: dict[str, ParticipantSession] = {}
        self._is_shared = is_shared
        self._user_exists = user_exists
        self._conversation: ConversationPort | None = None
        self._owner = ""
        """The id of the conversation's user; empty at first."""
        self._transcript_logs = transcript_logs
        self._join_lock = asyncio.Lock()
        self._speakers = ActiveSpeakers()
        self._qualities: dict[str, ConnectionQuality] = {}
        self._quality_sampled_at = 0.0
        self._tasks: asyncio.TaskGroup | None = None
        self._is_closed = False
        self._closed = asyncio.Event()
        self._kept_until = monotonic() + limits.grace
        """The time (monotonic s) until which the room lives without participants and conversation."""

    # Joining and leaving.

    @property
    def is_closed(self) -> bool:
        """Whether the room accepts no more joins."""
        return self._is_closed

    def session(self, sid: str) -> ParticipantSession | None:
        """Return a participant's session."""
        return self._sessions.get(sid)

    def link(self, sid: str) -> Link | None:
        """Return a participant's media link."""
        session = self._sessions.get(sid)
        return session.link if session is not None else None

    async def prepare(self, grant: AccessTokenClaims, join: Join, caller: Caller) -> ConversationPort:
        """Return the conversation for a join, and start it if there is none.

        Raises `registry.Full`, `registry.Draining`, `RoomFull` and `RoomNotOwned`.
        """
        self.room.check_space(grant.identity)
        self._kept_until = max(self._kept_until, monotonic() + self.limits.grace)
        async with self._join_lock:
            if self._conversation is None or self._conversation.is_ending:
                self._conversation = await self._session_factory.get_or_create(
                    caller, session_options(self.room.name, grant, join)
                )
                self._owner = grant.owner
            self.check_owner(grant)
            return self._conversation

    def check_owner(self, grant: AccessTokenClaims) -> None:
        """Raise `RoomNotOwned` if the room is not shared and belongs to another user."""
        if self._has_conversation and self._owner != grant.owner and not self._is_shared and not grant.is_external:
            raise RoomNotOwned

    def transcript_log(self, conversation: ConversationPort) -> TranscriptLog:
        """Return the transcript log of a conversation."""
        return self._transcript_logs.of(conversation)

    def admit(self, grant: AccessTokenClaims, join: Join, half_open: HalfOpenConnection) -> ParticipantSession:
        """Add a participant, and disconnect another one of the same identity; the session releases `half_open`.

        Raises `RoomClosed`, `RoomFull` and `TooLong`.
        """
        if self._is_closed:
            raise RoomClosed
        old = self.room.find(grant.identity)
        if old is not None:
            self._sessions[old.sid].end(DisconnectReason.DUPLICATE_IDENTITY, "DISCONNECT")
        participant = self.room.join(grant, join, _now_ms())
        session = ParticipantSession(
            self, participant, is_dual=join.is_dual, make_link=self._make_link, half_open=half_open
        )
        self._sessions[participant.sid] = session
        logger.info("participant joined", dual=join.is_dual, participants=len(self._sessions))
        return session

    def refresh_token(self, participant: Participant) -> str | None:
        """Return a token with a participant's present rights and description; None after its absolute lifetime.

        A description that would make the token too long is replaced by that of the join.
        """
        joined, joined_at = participant.grant, participant.joined_at_ms / 1000
        token = self._keys.refresh(participant.granted, joined_at=joined_at)
        if token is None or len(token) <= MAX_REFRESHED_TOKEN:
            return token
        shorter = replace(participant.granted, metadata=joined.metadata, attributes=joined.attributes)
        return self._keys.refresh(shorter, joined_at=joined_at)

    def is_revoked(self, grant: AccessTokenClaims) -> bool:
        """Whether the token, the login or the user that a grant came from is revoked."""
        return self._keys.is_revoked(grant)

    async def user_exists(self, grant: AccessTokenClaims) -> bool:
        """Whether the user of a grant still has an account; True for the users of another server."""
        return grant.is_external or await self._user_exists(grant.owner)

    def forget(self, sid: str) -> None:
        """Remove a session that has ended."""
        self._sessions.pop(sid, None)
        self._qualities.pop(sid, None)
        self._speakers.remove(sid)
        if not self._sessions:
            self._kept_until = monotonic() + max(self.limits.grace, self.room.departure_timeout)
        self.reconcile()

    def send_snapshot(self, sid: str) -> None:
        """Send a joining or resuming participant the speakers and connection qualities."""
        self._qualities.pop(sid, None)
        known = [self.room.assistant.sid, *(each.sid for each in self.room.participants if not each.is_hidden)]
        self.room.speakers_changed(self._speakers.all(known), to=sid)

    def configure(self, *, metadata: str, max_participants: int, empty_timeout: int, departure_timeout: int) -> None:
        """Set the properties of a new room; 0 keeps the default of a limit or timeout."""
        room = self.room
        self._is_shared = True  # created by an administrator, for all users
        room.metadata, room.max_participants = metadata, max_participants
        room.empty_timeout = empty_timeout or room.empty_timeout
        room.departure_timeout = departure_timeout or room.departure_timeout
        self._kept_until = monotonic() + room.empty_timeout

    def remove(self, sid: str, reason: DisconnectReason) -> None:
        """Disconnect a participant."""
        session = self._sessions.get(sid)
        if session is not None:
            session.end(reason, "DISCONNECT")

    def delete(self) -> None:
        """Disconnect all participants and end the conversation."""
        self.close(DisconnectReason.ROOM_DELETED)
        if self._conversation is not None:
            self._conversation.end(EndReason.CLIENT)

    def close(self, reason: DisconnectReason) -> None:
        """Disconnect all participants; the conversation waits for them."""
        self._is_closed = True
        for session in list(self._sessions.values()):
            session.end(reason, "DISCONNECT")
        self._closed.set()

    # Life.

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of the room, which `run` waits for."""
        assert self._tasks is not None
        self._tasks.create_task(work)

    async def run(self, started: asyncio.Event) -> None:
        """Run until the room is closed; sets `started` once participants may join."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                started.set()
                while not self._is_closed:
                    try:
                        async with asyncio.timeout(self.limits.tick):
                            await self._closed.wait()
                    except TimeoutError:
                        self._check_health(monotonic())
        finally:
            # Reached with sessions only after a bug: the tasks are cancelled, and the clients join a new room.
            self._is_closed = True
            for session in list(self._sessions.values()):
                session.close_for_rejoin()
                await session.link.close()

    def _check_health(self, now: float) -> None:
        for session in list(self._sessions.values()):
            session.check_health(now)
        self.room.speakers_changed(self._speakers.changes(now))
        if now - self._quality_sampled_at >= self.limits.quality:
            self._quality_sampled_at = now
            self._sample_quality()
        if not self._sessions and not self._has_conversation and now >= self._kept_until:
            self._is_closed = True

    @property
    def _has_conversation(self) -> bool:
        return self._conversation is not None and not self._conversation.is_ending

    def reconcile(self) -> None:
        """Update every session after a change of publications or subscriptions."""
        for session in list(self._sessions.values()):
            session.reconcile()

    def on_audio_level(self, sid: str, level: float) -> None:
        """Record a participant's audio level, from 0 to 1."""
        self._speakers.push_level(sid, level, monotonic())

    def on_muted(self, sid: str) -> None:
        """Record that a participant was muted."""
        self._speakers.remove(sid)

    def mark_subscribed(self, publisher: str, track: str) -> None:
        """Report by sid that a participant's track has a receiver."""
        session = self._sessions.get(publisher)
        if session is not None:
            session.mark_subscribed(track)

    def deliver(self, packet: DataPacket, to: Iterable[str], label: str) -> bool:
        """Send a packet to participants by sid; False if the send buffer of one of them is full."""
        is_taken = True
        for sid in to:
            session = self._sessions.get(sid)
            if session is not None and not session.relay(packet, label):
                is_taken = False
        return is_taken

    def ice_servers(self, user: str) -> list[ICEServer]:
        """Return the ICE servers for a user's clients."""
        return [
            ICEServer(urls=server.urls, username=server.username, credential=server.credential)
            for server in self._ice_servers(user)
        ]

    def _post(self, sid: str, response: SignalResponse) -> None:
        session = self._sessions.get(sid)
        if session is not None:
            session.post(response)

    def _sample_quality(self) -> None:
        losses = {sid: session.link.reception().loss for sid, session in self._sessions.items()}
        before, self._qualities = self._qualities, {sid: _quality(loss) for sid, loss in losses.items()}
        has_newcomer = bool(losses.keys() - before.keys())
        self.room.quality_changed(
            ConnectionQualityInfo(participant_sid=sid, quality=quality, score=5.0 * (1.0 - min(1.0, losses[sid] * 4)))
            for sid, quality in self._qualities.items()
            if has_newcomer or before[sid] != quality
        )


def _quality(loss: float) -> ConnectionQuality:
    # Never LOST: a client that gets it about itself for 10 s reconnects.
    if loss < GOOD_LOSS:
        return ConnectionQuality.EXCELLENT
    return ConnectionQuality.GOOD if loss < POOR_LOSS else ConnectionQuality.POOR


def _now_ms() -> int:
    return int(time() * 1000)
