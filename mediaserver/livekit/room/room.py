"""The state of a room: participants, publications, subscriptions and routing. No I/O, no clock, no task."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from livekit.protocol.models import (
    DataPacket,
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    SpeakerInfo,
)
from livekit.protocol.models import Room as RoomInfo
from livekit.protocol.rtc import (
    ConnectionQualityInfo,
    ConnectionQualityUpdate,
    LeaveRequest,
    MuteTrackRequest,
    ParticipantUpdate,
    RoomUpdate,
    SignalResponse,
    SpeakersChanged,
    SubscriptionPermission,
    SubscriptionPermissionUpdate,
    SubscriptionResponse,
    TrackSubscribed,
    TrackUnpublishedResponse,
)

from mediaserver.livekit.media.types import OfferedSection
from mediaserver.livekit.protocol.access_token import ASSISTANT, AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.room.participant import AgentParticipant, Participant, checked_details, permission_of
from mediaserver.livekit.room.publications import VIDEO_MIMES, Publications, Track, TrackChanges

Post = Callable[[str, SignalResponse], None]
"""Sends a message to the participant of a sid."""

MAX_PARTICIPANTS = 100
"""The default limit of participants in a room; they share one conversation."""

MAX_DEPARTED = 100
"""Departed identities that are kept for participants who resume."""

LeaveAction = Literal["DISCONNECT", "RESUME", "RECONNECT"]


class RoomFull(Exception):
    """The room has reached its limit of participants."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A track of one participant to forward to another."""

    publisher: str
    """The sid of its publisher."""
    track: str
    mid: str
    kind: str
    is_muted: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class DataRoute:
    """The recipients of a data packet: participants by sid, and perhaps the assistant."""

    to: tuple[str, ...]
    is_for_assistant: bool


def make_sid(prefix: str) -> str:
    """Generate a unique id; its prefix names the kind of object."""
    return prefix + secrets.token_hex(6)


class Room:
    """One room with its assistant. Posts every change, in order, to the participants it concerns."""

    def __init__(self, name: str, *, post: Post, now_ms: int, make_sid: Callable[[str], str] = make_sid):
        self.name = name
        self.sid = make_sid("RM_")
        self.metadata = ""
        self.max_participants = 0
        """0 for `MAX_PARTICIPANTS`."""
        self.empty_timeout = 300
        self.departure_timeout = 20
        self.assistant = AgentParticipant(make_sid, now_ms)
        self._created_ms = now_ms
        self._make_sid = make_sid
        self.post = post
        self._participants: dict[str, Participant] = {}
        self._departed: dict[str, ParticipantInfo] = {}  # by identity, in order of departure

    # Participants.

    @property
    def participants(self) -> tuple[Participant, ...]:
        """All participants but the assistant, in order of their joins."""
        return tuple(self._participants.values())

    def get(self, sid: str) -> Participant | None:
        """Return a participant by sid."""
        return self._participants.get(sid)

    def find(self, identity: str) -> Participant | None:
        """Return a participant by identity."""
        return next((each for each in self._participants.values() if each.identity == identity), None)

    def info(self) -> RoomInfo:
        """Return the description of the room for clients and administrators."""
        return RoomInfo(
            sid=self.sid,
            name=self.name,
            empty_timeout=self.empty_timeout,
            departure_timeout=self.departure_timeout,
            max_participants=self.max_participants,
            creation_time=self._created_ms // 1000,
            creation_time_ms=self._created_ms,
            metadata=self.metadata,
            num_participants=sum(not each.is_hidden for each in self.participants),
            num_publishers=sum(bool(each.publications.tracks) for each in self.participants),
            enabled_codecs=[{"mime": mime} for mime in (*VIDEO_MIMES, "audio/opus")],
        )

    def check_space(self, identity: str) -> None:
        """Raise `RoomFull` if no more participant may join; a present identity may join again."""
        others = sum(each.identity != identity for each in self.participants)
        if others >= (self.max_participants or MAX_PARTICIPANTS):
            raise RoomFull

    def join(self, grant: AccessTokenClaims, join: Join, now_ms: int) -> Participant:
        """Add a participant, whose identity must not be in the room. Raises `RoomFull` and `TooLong`."""
        self.check_space(grant.identity)
        metadata, attributes = checked_details(grant, join)
        participant = Participant(
            sid=self._make_sid("PA_"),
            identity=grant.identity,
            grant=grant,
            name=grant.name,
            metadata=metadata,
            attributes=attributes,
            permission=permission_of(grant),
            client=join.client,
            joined_at_ms=now_ms,
            publications=Publications(self._make_sid),
            auto_subscribe=join.auto_subscribe,
            state=ParticipantInfo.JOINED,
        )
        self._participants[participant.sid] = participant
        self._departed.pop(participant.identity, None)
        self._announce(participant)
        return participant

    def others(self, participant: Participant) -> Iterator[ParticipantInfo]:
        """Return the other visible participants, the assistant first."""
        yield self.assistant.info()
        for other in self.participants:
            if other is not participant and not other.is_hidden:
                yield other.info()

    def activate(self, sid: str) -> None:
        """Mark a participant as active, as its media is connected."""
        participant = self._participants.get(sid)
        if participant is not None and participant.state != ParticipantInfo.ACTIVE:
            participant.state = ParticipantInfo.ACTIVE
            self.changed(participant)

    def leave(self, sid: str, reason: DisconnectReason) -> None:
        """Remove a participant."""
        participant = self._participants.pop(sid, None)
        if participant is None:
            return
        participant.state = ParticipantInfo.DISCONNECTED
        participant.reason = reason
        participant.version += 1
        if not participant.is_hidden:
            self._add_departed(participant)
        self._announce(participant)

    def refresh(self, sid: str) -> None:
        """Send a resumed participant the whole state: all participants, departed ones, itself, and the room."""
        participant = self._participants.get(sid)
        if participant is not None:
            # A client keeps every participant that is not announced as disconnected.
            self.post(sid, _update([*self._departed.values(), participant.info(), *self.others(participant)]))
            self.post(sid, SignalResponse(room_update=RoomUpdate(room=self.info())))

    # Publications and subscriptions.

    def match(self, participant: Participant, sections: Iterable[OfferedSection]) -> TrackChanges:
        """Bind a participant's tracks to the sections of an answered offer."""
        matched = participant.publications.match(sections)
        for track in matched.refused:
            self._unpublish(participant, track)
        if matched.ended or matched.refused:
            self.changed(participant)
        return matched

    def mute(
        self, participant: Participant, track_sid: str, *, is_muted: bool, by_server: bool = False
    ) -> Track | None:
        """Mute or unmute a track; with `by_server`, the client is asked to do so."""
        track = participant.publications.tracks.get(track_sid)
        if track is None:
            return None
        if by_server:
            self.post(participant.sid, SignalResponse(mute=MuteTrackRequest(sid=track_sid, muted=is_muted)))
        if track.info.muted != is_muted:
            track.info.muted = is_muted
            self.changed(participant)
        return track

    def subscribe(self, participant: Participant, tracks: Iterable[str], *, is_wanted: bool) -> None:
        """Subscribe a participant to tracks of others, or unsubscribe it."""
        known = {self.assistant.track.sid} | {sid for each in self.participants for sid in each.publications.tracks}
        for sid in dict.fromkeys(tracks):
            if sid in known:
                participant.wanted[sid] = is_wanted
            else:
                response = SubscriptionResponse(track_sid=sid, err="SE_TRACK_NOTFOUND")
                self.post(participant.sid, SignalResponse(subscription_response=response))

    def permit_subscribers(self, publisher: Participant, permission: SubscriptionPermission) -> None:
        """Set the participants that may subscribe to a publisher's tracks, and notify those it concerns."""
        before = self._permitted(publisher)
        publisher.subscription_permission = permission
        after = self._permitted(publisher)
        for sid, track in sorted(before ^ after):
            update = SubscriptionPermissionUpdate(
                participant_sid=publisher.sid, track_sid=track, allowed=(sid, track) in after
            )
            self.post(sid, SignalResponse(subscription_permission_update=update))

    def describe(
        self, participant: Participant, *, name: str = "", metadata: str = "", attributes: dict[str, str]
    ) -> None:
        """Change a participant's name, metadata or attributes. Raises `TooLong`."""
        if participant.describe(name=name, metadata=metadata, attributes=attributes):
            self.changed(participant)

    def permit(self, participant: Participant, permission: ParticipantPermission) -> None:
        """Change a participant's rights, and unpublish tracks that it may no longer publish."""
        participant.permission.CopyFrom(permission)
        for track in list(participant.publications.tracks.values()):
            if not participant.may_publish(track.info.source):
                self._unpublish(participant, track)
        self.changed(participant)

    def _unpublish(self, participant: Participant, track: Track) -> None:
        participant.publications.remove(track.sid)
        self.post(participant.sid, SignalResponse(track_unpublished=TrackUnpublishedResponse(track_sid=track.sid)))

    # Announcements.

    def set_metadata(self, metadata: str) -> None:
        """Change the metadata of the room."""
        self.metadata = metadata
        self._post_all(SignalResponse(room_update=RoomUpdate(room=self.info())))

    def set_agent_state(self, state: str) -> None:
        """Set the assistant's state attribute."""
        if self.assistant.set_state(state):
            self._post_all(_update([self.assistant.info()]))

    def speakers_changed(self, changes: Iterable[SpeakerInfo], *, to: str | None = None) -> None:
        """Announce active speakers, to the participant of that sid or to all."""
        speakers = list(changes)
        response = SignalResponse(speakers_changed=SpeakersChanged(speakers=speakers))
        if speakers and to is not None:
            self.post(to, response)
        elif speakers:
            self._post_all(response)

    def quality_changed(self, qualities: Iterable[ConnectionQualityInfo]) -> None:
        """Announce connection qualities."""
        updates = list(qualities)
        if updates:
            self._post_all(SignalResponse(connection_quality=ConnectionQualityUpdate(updates=updates)))

    def subscription_permitted(self, participant: Participant, track: Track) -> None:
        """Report to the publisher, once, that a track has a receiver."""
        if not track.is_subscribed:
            track.is_subscribed = True
            self.post(participant.sid, SignalResponse(track_subscribed=TrackSubscribed(track_sid=track.sid)))

    # Routing.

    def forwards(self, participant: Participant) -> dict[str, Forward]:
        """Return the tracks of others to forward to a participant, by track."""
        found: dict[str, Forward] = {}
        for other in self.participants:
            if other is participant or other.is_hidden:
                continue
            for track in other.publications.tracks.values():
                if (
                    track.mid is not None
                    and participant.wants(track.sid)
                    and other.allows_subscriber(track, participant)
                ):
                    found[track.sid] = Forward(other.sid, track.sid, track.mid, track.kind, track.info.muted)
        return found

    def is_subscribed_to_assistant(self, participant: Participant) -> bool:
        """Whether a participant is subscribed to the assistant's voice."""
        return participant.wants(self.assistant.track.sid)

    def route(self, sender: Participant, packet: DataPacket) -> DataRoute | None:
        """Set the sender in a packet, and return its recipients; None if the sender may not publish data."""
        kind = packet.WhichOneof("value")
        if not sender.permission.can_publish_data or kind in (None, "speaker"):
            return None
        packet.participant_identity = sender.identity
        packet.participant_sid = sender.sid
        named, sids = set(packet.destination_identities), set[str]()
        if kind == "user":
            # Older clients read the sender here, and name the recipients here.
            packet.user.participant_identity, packet.user.participant_sid = sender.identity, sender.sid
            named |= set(packet.user.destination_identities)
            sids = set(packet.user.destination_sids)
        return self._addressed(named, sids, sender)

    def addressed(self, identities: Iterable[str], sids: Iterable[str] = ()) -> DataRoute:
        """Return the recipients by identity or sid; none named means all."""
        return self._addressed(set(identities), set(sids), None)

    def _addressed(self, named: set[str], sids: set[str], sender: Participant | None) -> DataRoute:
        is_for_all = not named and not sids
        to = tuple(
            each.sid
            for each in self.participants
            if each is not sender and (is_for_all or each.identity in named or each.sid in sids)
        )
        return DataRoute(to, is_for_all or ASSISTANT in named or self.assistant.sid in sids)

    # Parts of the above.

    def _add_departed(self, gone: Participant) -> None:
        self._departed[gone.identity] = ParticipantInfo(
            sid=gone.sid,
            identity=gone.identity,
            state=gone.state,
            version=gone.version,
            disconnect_reason=gone.reason,
        )
        while len(self._departed) > MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]

    def changed(self, participant: Participant, *, to_itself: bool = True) -> None:
        """Announce a change of a participant to all, itself included if `to_itself`."""
        participant.version += 1
        if to_itself:
            self.post(participant.sid, _update([participant.info()]))
        self._announce(participant)

    def _announce(self, participant: Participant) -> None:
        if participant.is_hidden:
            return
        update = _update([participant.info()])
        for other in self.participants:
            if other is not participant:
                self.post(other.sid, update)

    def _post_all(self, response: SignalResponse) -> None:
        for participant in self.participants:
            self.post(participant.sid, response)

    def _permitted(self, publisher: Participant) -> set[tuple[str, str]]:
        return {
            (other.sid, track.sid)
            for other in self.participants
            if other is not publisher
            for track in publisher.publications.tracks.values()
            if publisher.allows_subscriber(track, other)
        }


def leave_response(reason: DisconnectReason, action: LeaveAction) -> SignalResponse:
    """Build the message that makes a client disconnect, resume or join again."""
    # Clients without support for actions (protocol below 13) use `can_reconnect`.
    leave = LeaveRequest(reason=reason, action=action, can_reconnect=action != "DISCONNECT")
    return SignalResponse(leave=leave)


def _update(participants: Iterable[ParticipantInfo]) -> SignalResponse:
    return SignalResponse(update=ParticipantUpdate(participants=participants))
