"""LiveKit's RoomService API, with which another server manages rooms and participants."""

from collections.abc import Iterable

from livekit.protocol.models import DataPacket, DisconnectReason, ParticipantInfo
from livekit.protocol.models import Room as RoomInfo
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    DeleteRoomResponse,
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsRequest,
    ListRoomsResponse,
    MuteRoomTrackRequest,
    MuteRoomTrackResponse,
    RemoveParticipantResponse,
    RoomParticipantIdentity,
    SendDataRequest,
    SendDataResponse,
    UpdateParticipantRequest,
    UpdateRoomMetadataRequest,
    UpdateSubscriptionsRequest,
    UpdateSubscriptionsResponse,
)

from mediaserver.livekit.media.types import LOSSY, RELIABLE
from mediaserver.livekit.protocol.access_token import (
    ASSISTANT,
    MAX_NAME,
    AccessTokenClaims,
    ApiKeys,
    check_admin,
    check_create,
    check_list,
)
from mediaserver.livekit.protocol.data_packet import user_packet
from mediaserver.livekit.protocol.twirp import Method, Service, TwirpError
from mediaserver.livekit.room.participant import MAX_METADATA, Participant, TooLong
from mediaserver.livekit.service.live_room import RoomRuntime
from mediaserver.livekit.service.room_registry import RoomRegistry

NAME = "livekit.RoomService"
MAX_ROOMS = 1_000
MAX_TIMEOUT = 86_400
MAX_DATA = 60_000


class RoomService:
    """Implements the methods; `service` serves them over Twirp."""

    def __init__(self, rooms: RoomRegistry, keys: ApiKeys):
        self._rooms = rooms
        methods = {
            "CreateRoom": Method(CreateRoomRequest, self.create_room),
            "ListRooms": Method(ListRoomsRequest, self.list_rooms),
            "DeleteRoom": Method(DeleteRoomRequest, self.delete_room),
            "ListParticipants": Method(ListParticipantsRequest, self.list_participants),
            "GetParticipant": Method(RoomParticipantIdentity, self.get_participant),
            "RemoveParticipant": Method(RoomParticipantIdentity, self.remove_participant),
            "MutePublishedTrack": Method(MuteRoomTrackRequest, self.mute_published_track),
            "UpdateParticipant": Method(UpdateParticipantRequest, self.update_participant),
            "UpdateSubscriptions": Method(UpdateSubscriptionsRequest, self.update_subscriptions),
            "UpdateRoomMetadata": Method(UpdateRoomMetadataRequest, self.update_room_metadata),
            "SendData": Method(SendDataRequest, self.send_data),
        }
        self.service = Service(NAME, methods, keys)

    async def create_room(self, grant: AccessTokenClaims, request: CreateRoomRequest) -> RoomInfo:
        """Create an empty room; an existing one is returned unchanged."""
        check_create(grant)
        if not 0 < len(request.name) <= MAX_NAME:
            raise TwirpError("invalid_argument", f"name must have 1 to {MAX_NAME} characters")
        _check_metadata(request.metadata)
        is_new = self._rooms.find(request.name) is None
        if is_new and len(self._rooms) >= MAX_ROOMS:
            raise TwirpError("resource_exhausted", f"there are {MAX_ROOMS} rooms already")
        room = await self._rooms.get_or_create(request.name)
        if is_new:
            room.configure(
                metadata=request.metadata,
                max_participants=request.max_participants,
                empty_timeout=min(request.empty_timeout, MAX_TIMEOUT),
                departure_timeout=min(request.departure_timeout, MAX_TIMEOUT),
            )
        return room.room.info()

    async def list_rooms(self, grant: AccessTokenClaims, request: ListRoomsRequest) -> ListRoomsResponse:
        """List all rooms, or those named."""
        check_list(grant)
        named = set(request.names)
        rooms = [room.room.info() for room in self._rooms.all if not named or room.room.name in named]
        return ListRoomsResponse(rooms=rooms)

    async def delete_room(self, grant: AccessTokenClaims, request: DeleteRoomRequest) -> DeleteRoomResponse:
        """Delete a room and disconnect its participants."""
        check_create(grant)
        if not self._rooms.delete(request.room):
            raise _no_room()
        return DeleteRoomResponse()

    async def list_participants(
        self, grant: AccessTokenClaims, request: ListParticipantsRequest
    ) -> ListParticipantsResponse:
        """List the participants of a room, the assistant included."""
        room = self._administrated(grant, request.room).room
        infos = [room.assistant.info(), *(each.info() for each in room.participants)]
        return ListParticipantsResponse(participants=infos)

    async def get_participant(self, grant: AccessTokenClaims, request: RoomParticipantIdentity) -> ParticipantInfo:
        """Return one participant of a room."""
        room = self._administrated(grant, request.room)
        if request.identity == ASSISTANT:
            return room.room.assistant.info()
        return _participant(room, request.identity).info()

    async def remove_participant(
        self, grant: AccessTokenClaims, request: RoomParticipantIdentity
    ) -> RemoveParticipantResponse:
        """Disconnect a participant, who can join again with a valid token."""
        room = self._administrated(grant, request.room)
        room.remove(_participant(room, request.identity).sid, DisconnectReason.PARTICIPANT_REMOVED)
        return RemoveParticipantResponse()

    async def mute_published_track(
        self, grant: AccessTokenClaims, request: MuteRoomTrackRequest
    ) -> MuteRoomTrackResponse:
        """Ask a client to mute or unmute a track."""
        room = self._administrated(grant, request.room)
        participant = _participant(room, request.identity)
        track = room.room.mute(participant, request.track_sid, is_muted=request.muted, by_server=True)
        if track is None:
            raise TwirpError("not_found", "track is not published")
        room.reconcile()
        return MuteRoomTrackResponse(track=track.info)

    async def update_participant(self, grant: AccessTokenClaims, request: UpdateParticipantRequest) -> ParticipantInfo:
        """Change a participant's rights or description.

        Empty fields stay unchanged; an attribute with an empty value is removed.
        """
        room = self._administrated(grant, request.room)
        participant = _participant(room, request.identity)
        try:
            attributes = dict(request.attributes)
            room.room.describe(participant, name=request.name, metadata=request.metadata, attributes=attributes)
        except TooLong:
            raise TwirpError("invalid_argument", "name, metadata or attributes are too long") from None
        if request.HasField("permission"):
            room.room.permit(participant, request.permission)
            room.reconcile()
        return participant.info()

    async def update_subscriptions(
        self, grant: AccessTokenClaims, request: UpdateSubscriptionsRequest
    ) -> UpdateSubscriptionsResponse:
        """Subscribe a participant to tracks, or unsubscribe it."""
        room = self._administrated(grant, request.room)
        participant = _participant(room, request.identity)
        named: Iterable[str] = (sid for each in request.participant_tracks for sid in each.track_sids)
        room.room.subscribe(participant, [*request.track_sids, *named], is_wanted=request.subscribe)
        room.reconcile()
        return UpdateSubscriptionsResponse()

    async def update_room_metadata(self, grant: AccessTokenClaims, request: UpdateRoomMetadataRequest) -> RoomInfo:
        """Change the metadata of a room."""
        room = self._administrated(grant, request.room)
        _check_metadata(request.metadata)
        room.room.set_metadata(request.metadata)
        return room.room.info()

    async def send_data(self, grant: AccessTokenClaims, request: SendDataRequest) -> SendDataResponse:
        """Send a packet without a sender to the named participants or to all, but not to the assistant."""
        room = self._administrated(grant, request.room)
        if len(request.data) > MAX_DATA:
            raise TwirpError("invalid_argument", f"data must have at most {MAX_DATA} bytes")
        packet = user_packet(request.data, request.topic, to=tuple(request.destination_identities))
        label = LOSSY if request.kind == DataPacket.LOSSY else RELIABLE
        to = room.room.addressed(request.destination_identities, request.destination_sids).to
        if not room.deliver(packet, to, label):
            raise TwirpError("resource_exhausted", "a participant cannot take data as fast as it is sent")
        return SendDataResponse()

    def _administrated(self, grant: AccessTokenClaims, name: str) -> RoomRuntime:
        check_admin(grant, name)
        room = self._rooms.find(name)
        if room is None:
            raise _no_room()
        return room


def _participant(room: RoomRuntime, identity: str) -> Participant:
    participant = room.room.find(identity)
    if participant is None:
        raise TwirpError("not_found", "participant does not exist")
    return participant


def _no_room() -> TwirpError:
    return TwirpError("not_found", "requested room does not exist")


def _check_metadata(metadata: str) -> None:
    if len(metadata.encode()) > MAX_METADATA:
        raise TwirpError("invalid_argument", f"metadata must have at most {MAX_METADATA} bytes")
