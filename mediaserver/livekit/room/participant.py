"""The participants of a room, as they are announced to each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from livekit.protocol.models import (
    ClientInfo,
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    TrackInfo,
    TrackSource,
    TrackType,
)
from livekit.protocol.rtc import SubscriptionPermission

from mediaserver.livekit.protocol.access_token import ASSISTANT, MAX_NAME, SOURCES, AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.room.publications import AUDIO_MIME, Publications, Track

MAX_METADATA = 64_000
"""Bytes of a participant's metadata, and of all its attributes."""

AGENT_STATE = "lk.agent.state"


class TooLong(Exception):
    """The metadata, attributes or name of a participant exceed their limit."""


@dataclass(slots=True, eq=False)
class Participant:
    """A client in a room. Its `version` grows with every change, and the room announces every change."""

    sid: str
    identity: str
    grant: AccessTokenClaims
    name: str
    metadata: str
    attributes: dict[str, str]
    permission: ParticipantPermission
    client: ClientInfo
    joined_at_ms: int
    publications: Publications
    auto_subscribe: bool = True
    state: ParticipantInfo.State = ParticipantInfo.JOINING
    version: int = 1
    reason: DisconnectReason = DisconnectReason.UNKNOWN_REASON
    wanted: dict[str, bool] = field(default_factory=dict)
    """Explicit subscriptions and unsubscriptions by track, which override `auto_subscribe`."""
    subscription_permission: SubscriptionPermission = field(
        default_factory=lambda: SubscriptionPermission(all_participants=True)
    )
    """The participants that may subscribe to these publications."""

    @property
    def granted(self) -> AccessTokenClaims:
        """The token's claims, updated by later changes of rights and description."""
        rights = self.permission
        names = [TrackSource.Name(source).lower() for source in rights.can_publish_sources]
        sources = tuple(name for name in names if name in SOURCES)
        return replace(
            self.grant,
            name=self.name,
            metadata=self.metadata,
            attributes=dict(self.attributes),
            can_subscribe=rights.can_subscribe,
            can_publish=rights.can_publish and (bool(sources) or not names),  # no source at all would mean all
            can_publish_data=rights.can_publish_data,
            can_publish_sources=sources,
            hidden=rights.hidden,
            recorder=rights.recorder,
            can_update_own_metadata=rights.can_update_metadata,
        )

    @property
    def is_hidden(self) -> bool:
        """Whether it is not announced to the others."""
        return self.permission.hidden

    def info(self) -> ParticipantInfo:
        """Return the announcement to the room."""
        return ParticipantInfo(
            sid=self.sid,
            identity=self.identity,
            name=self.name,
            state=self.state,
            metadata=self.metadata,
            attributes=self.attributes,
            tracks=[track.info for track in self.publications.tracks.values()],
            joined_at=self.joined_at_ms // 1000,
            joined_at_ms=self.joined_at_ms,
            version=self.version,
            permission=self.permission,
            is_publisher=bool(self.publications.tracks),
            kind=ParticipantInfo.STANDARD,
            disconnect_reason=self.reason,
            client_protocol=self.client.client_protocol,
            capabilities=self.client.capabilities,
        )

    def may_publish(self, source: TrackSource) -> bool:
        """Whether it may publish a track of this source."""
        sources = self.permission.can_publish_sources
        return self.permission.can_publish and (not sources or source in sources)

    def describe(self, *, name: str = "", metadata: str = "", attributes: Mapping[str, str] | None = None) -> bool:
        """Change the fields that are not empty, and remove attributes with an empty value.

        True if anything has changed. Raises `TooLong`.
        """
        changed = {**self.attributes, **(attributes or {})}
        kept = {key: value for key, value in changed.items() if value}
        after = (name or self.name, metadata or self.metadata, kept)
        _check_length(*after)
        is_new = after != (self.name, self.metadata, self.attributes)
        self.name, self.metadata, self.attributes = after
        return is_new

    def allows_subscriber(self, track: Track, other: "Participant") -> bool:
        """Whether another participant may subscribe to a track of this one."""
        if self.subscription_permission.all_participants:
            return True
        return any(
            (each.participant_sid == other.sid or each.participant_identity == other.identity)
            and (each.all_tracks or track.sid in each.track_sids)
            for each in self.subscription_permission.track_permissions
        )

    def wants(self, track: str) -> bool:
        """Whether it is subscribed to a track of another, explicitly or by `auto_subscribe`."""
        return self.permission.can_subscribe and self.wanted.get(track, self.auto_subscribe)


def checked_details(grant: AccessTokenClaims, join: Join) -> tuple[str, dict[str, str]]:
    """Return the metadata and attributes of a joining participant. Raises `TooLong`."""
    metadata, attributes = grant.metadata, dict(grant.attributes)
    if grant.can_update_own_metadata:
        metadata = join.metadata or metadata
        attributes = {key: value for key, value in {**attributes, **join.attributes}.items() if value}
    _check_length(grant.name, metadata, attributes)
    return metadata, attributes


def permission_of(grant: AccessTokenClaims) -> ParticipantPermission:
    """Convert the rights of a token to their announcement."""
    return ParticipantPermission(
        can_subscribe=grant.can_subscribe,
        can_publish=grant.can_publish,
        can_publish_data=grant.can_publish_data,
        can_publish_sources=[name.upper() for name in grant.can_publish_sources],
        hidden=grant.hidden,
        recorder=grant.recorder,
        can_update_metadata=grant.can_update_own_metadata,
    )


class AgentParticipant:
    """The assistant as a participant, with a voice track and a state attribute."""

    def __init__(self, make_sid: Callable[[str], str], joined_at_ms: int):
        self.sid = make_sid("PA_")
        self.track = TrackInfo(
            sid=make_sid("TR_"),
            type=TrackType.AUDIO,
            source=TrackSource.MICROPHONE,
            name="voice",
            mime_type=AUDIO_MIME,
            stream=ASSISTANT,
        )
        self._joined_at_ms = joined_at_ms
        self._version = 1
        self._attributes = {
            AGENT_STATE: "initializing",
            "lk.agent.name": ASSISTANT,
            "lk.agent.inputs": '["audio","video","text"]',
            "lk.agent.outputs": '["audio","transcription"]',
        }

    def set_state(self, state: str) -> bool:
        """Set the state attribute; True if it has changed."""
        if self._attributes[AGENT_STATE] == state:
            return False
        self._attributes[AGENT_STATE] = state
        self._version += 1
        return True

    def info(self) -> ParticipantInfo:
        """Return the announcement to the room. Its `client_protocol` of 0 asks for streams and RPC of version 1."""
        return ParticipantInfo(
            sid=self.sid,
            identity=ASSISTANT,
            name="Assistant",
            state=ParticipantInfo.ACTIVE,
            kind=ParticipantInfo.AGENT,
            attributes=self._attributes,
            tracks=[self.track],
            joined_at=self._joined_at_ms // 1000,
            joined_at_ms=self._joined_at_ms,
            version=self._version,
            permission=ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True, agent=True),
            is_publisher=True,
        )


def _check_length(name: str, metadata: str, attributes: Mapping[str, str]) -> None:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in attributes.items())
    if max(size, len(metadata.encode())) > MAX_METADATA or len(name) > MAX_NAME:
        raise TooLong
