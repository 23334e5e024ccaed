"""A room that lives: its participants' sessions, the conversation they share, and what happens by itself."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from time import monotonic, time

from livekit.protocol.models import ConnectionQuality, DataPacket, DisconnectReason
from livekit.protocol.rtc import ConnectionQualityInfo, ICEServer, SignalResponse
from loguru import logger

from mediaserver.livekit.agent.session_options import session_options
from mediaserver.livekit.agent.transcript_log import TranscriptLog, TranscriptLogs
from mediaserver.livekit.media.link_protocol import MakeLink
from mediaserver.livekit.protocol.access_token import AccessTokenClaims, ApiKeys
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.room.active_speakers import ActiveSpeakers
from mediaserver.livekit.room.limits import Limits
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.room import Room
from mediaserver.livekit.service.participant_session import Session
from mediaserver.rtc.config import IceServer
from mediaserver.session_factory import SessionFactoryPort
from pipeline.events import EndReason
from pipeline.peer import ConversationPort

MAX_RENEWED = 6_000
"""Characters of a new token: some clients send it in a header field, which has at most 8190 bytes."""

GOOD_LOSS, POOR_LOSS = 0.02, 0.1
"""Shares of lost packets from which a connection is no longer excellent, and no longer good."""


class RoomClosed(Exception):
    """A room was closed while somebody was about to come in."""


class RoomNotOwned(Exception):
    """A room is another user's, who has asked no token for this participant."""


class RoomRuntime:
    """Made when somebody comes or it is created; `run` ends once it is closed, or nobody is or comes back."""

    def __init__(
        self,
        name: str,
        lobby: SessionFactoryPort,
        keys: ApiKeys,
        make_link: MakeLink,
        *,
        chronicles: TranscriptLogs,
        ice_servers: Callable[[], Sequence[IceServer]],
        limits: Limits,
        is_shared: bool,
    ):
        self.room = Room(name, post=self._post, now_ms=_now_ms())
        self.limits = limits
        self._lobby = lobby
        self._keys = keys
        self._make_link = make_link
        self._ice_servers = ice_servers
        self._sessions: dict[str, Session] = {}
        self._is_shared = is_shared
        self._host: ConversationPort | None = None
        self._owner = ""
        """Whose conversation it is; nobody's at first."""
        self._chronicles = chronicles
        self._entering = asyncio.Lock()
        self._speakers = ActiveSpeakers()
        self._qualities: dict[str, ConnectionQuality] = {}
        self._looked_at = 0.0
        self._tasks: asyncio.TaskGroup | None = None
        self._is_closed = False
        self._news = asyncio.Event()
        self._kept_until = monotonic() + limits.grace
        """Without participants and conversation, until (monotonic s) then."""

    # Who comes and goes.

    @property
    def is_closed(self) -> bool:
        """Whether nobody can come in any more."""
        return self._is_closed

    def session(self, sid: str) -> Session | None:
        """A participant's session."""
        return self._sessions.get(sid)

    async def prepare(self, grant: AccessTokenClaims, join: Join) -> ConversationPort:
        """The conversation that a participant is about to join, begun if there is none.

        Raises `registry.Full` or `Draining`, `RoomFull` and `NotYours`.
        """
        self.room.check_space(grant.identity)
        self._kept_until = max(self._kept_until, monotonic() + self.limits.grace)
        async with self._entering:
            if self._host is None or self._host.is_ending:
                self._host = await self._lobby.get_or_create(grant.owner, session_options(self.room.name, grant, join))
                self._owner = grant.owner
            self.check_owner(grant)
            return self._host

    def check_owner(self, grant: AccessTokenClaims) -> None:
        """Raise `NotYours` if the room is another user's; with a shared one, its name is enough to come in."""
        is_taken = self._host is not None and not self._host.is_ending and self._owner != grant.owner
        if is_taken and not self._is_shared and not grant.is_external:
            raise RoomNotOwned

    def transcript_log(self, host: ConversationPort) -> TranscriptLog:
        """What was said in a conversation."""
        return self._chronicles.of(host)

    def admit(self, grant: AccessTokenClaims, join: Join) -> Session:
        """Let a participant in; whoever has its identity has to go. Raises `RoomClosed`, `RoomFull` and `TooLong`."""
        if self._is_closed:
            raise RoomClosed
        old = self.room.find(grant.identity)
        if old is not None:
            self._sessions[old.sid].end(DisconnectReason.DUPLICATE_IDENTITY, "DISCONNECT")
        participant = self.room.join(grant, join, _now_ms())
        session = Session(self, participant, is_dual=join.is_dual, make_link=self._make_link)
        self._sessions[participant.sid] = session
        logger.info("participant joined", dual=join.is_dual, participants=len(self._sessions))
        return session

    def renew(self, participant: Participant) -> str:
        """A new token for a participant as it is now, but for a description that has grown too long to be sent."""
        token = self._keys.refresh(participant.granted)
        if len(token) <= MAX_RENEWED:
            return token
        came = participant.grant
        return self._keys.refresh(replace(participant.granted, metadata=came.metadata, attributes=came.attributes))

    def forget(self, session: Session) -> None:
        """A session is over."""
        sid = session.participant.sid
        self._sessions.pop(sid, None)
        self._qualities.pop(sid, None)
        self._speakers.remove(sid)
        if not self._sessions:
            self._kept_until = monotonic() + max(self.limits.grace, self.room.departure_timeout)
        self.reconcile()

    def catch_up(self, sid: str) -> None:
        """Tell a participant, who comes or comes back, what else is told only when it changes."""
        self._qualities.pop(sid, None)
        known = [self.room.assistant.sid, *(each.sid for each in self.room.participants if not each.is_hidden)]
        self.room.speakers_changed(self._speakers.all(known), to=sid)

    def configure(self, *, metadata: str, max_participants: int, empty_timeout: int, departure_timeout: int) -> None:
        """Say how a room that is new is to be; 0 stands for what rooms are like."""
        room = self.room
        self._is_shared = True  # by whoever manages the rooms of this server
        room.metadata, room.max_participants = metadata, max_participants
        room.empty_timeout = empty_timeout or room.empty_timeout
        room.departure_timeout = departure_timeout or room.departure_timeout
        self._kept_until = monotonic() + room.empty_timeout

    def remove(self, sid: str, reason: DisconnectReason) -> None:
        """Show a participant the door."""
        session = self._sessions.get(sid)
        if session is not None:
            session.end(reason, "DISCONNECT")

    def delete(self) -> None:
        """Everybody has to go, and what was said is not gone on with."""
        self.close(DisconnectReason.ROOM_DELETED)
        if self._host is not None:
            self._host.end(EndReason.CLIENT)

    def close(self, reason: DisconnectReason) -> None:
        """Everybody has to go."""
        self._is_closed = True
        for session in list(self._sessions.values()):
            session.end(reason, "DISCONNECT")
        self._news.set()

    # Life.

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Do something that takes time; it is done before the room is over."""
        assert self._tasks is not None
        self._tasks.create_task(work)

    async def run(self, begun: asyncio.Event) -> None:
        """Live; `begun` is set once sessions may begin."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                begun.set()
                while not self._is_closed:
                    try:
                        async with asyncio.timeout(self.limits.tick):
                            await self._news.wait()
                    except TimeoutError:
                        self._check_health(monotonic())
        finally:
            # After a bug: what still runs has been cancelled, and clients come back to a new room.
            self._is_closed = True
            for session in list(self._sessions.values()):
                session.close_for_rejoin()
                await session.link.close()

    def _check_health(self, now: float) -> None:
        for session in list(self._sessions.values()):
            session.check_health(now)
        self.room.speakers_changed(self._speakers.changes(now))
        if now - self._looked_at >= self.limits.quality:
            self._looked_at = now
            self._look_at_quality()
        is_kept = self._host is not None and not self._host.is_ending
        if not self._sessions and not is_kept and now >= self._kept_until:
            self._is_closed = True

    def reconcile(self) -> None:
        """Let everybody send and hear what is published and wanted now."""
        for session in list(self._sessions.values()):
            session.reconcile()

    def on_audio_level(self, sid: str, level: float) -> None:
        """Somebody is that loud."""
        self._speakers.push_level(sid, level, monotonic())

    def on_muted(self, sid: str) -> None:
        """Somebody is muted."""
        self._speakers.remove(sid)

    def deliver(self, packet: DataPacket, to: Iterable[str], label: str) -> bool:
        """Send a packet to participants by sid; False if it is more than one of them can take."""
        is_taken = True
        for sid in to:
            session = self._sessions.get(sid)
            if session is not None and not session.relay(packet, label):
                is_taken = False
        return is_taken

    def ice_servers(self) -> list[ICEServer]:
        """What clients may use to reach us."""
        return [
            ICEServer(urls=server.urls, username=server.username, credential=server.credential)
            for server in self._ice_servers()
        ]

    def _post(self, sid: str, response: SignalResponse) -> None:
        session = self._sessions.get(sid)
        if session is not None:
            session.post(response)

    def _look_at_quality(self) -> None:
        losses = {sid: session.link.reception().loss for sid, session in self._sessions.items()}
        before, self._qualities = self._qualities, {sid: _quality(loss) for sid, loss in losses.items()}
        has_newcomer = bool(losses.keys() - before.keys())
        self.room.quality_changed(
            ConnectionQualityInfo(participant_sid=sid, quality=quality, score=5.0 * (1.0 - min(1.0, losses[sid] * 4)))
            for sid, quality in self._qualities.items()
            if has_newcomer or before[sid] != quality
        )


def _quality(loss: float) -> ConnectionQuality:
    # Never LOST: a client that is told so of itself for 10 s connects anew.
    if loss < GOOD_LOSS:
        return ConnectionQuality.EXCELLENT
    return ConnectionQuality.GOOD if loss < POOR_LOSS else ConnectionQuality.POOR


def _now_ms() -> int:
    return int(time() * 1000)
