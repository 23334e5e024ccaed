"""The signal requests of a client that concern its room."""

from typing import Literal

from livekit.protocol.models import AudioTrackFeature
from livekit.protocol.rtc import AddTrackRequest, RequestResponse, SignalRequest, SignalResponse, TrackPublishedResponse
from livekit.protocol.rtc import UpdateParticipantMetadata as Description

from mediaserver.livekit.room.participant import Participant, TooLong
from mediaserver.livekit.room.publications import TooMany
from mediaserver.livekit.room.room import Room
from pipeline.errors import ProtocolError

MAX_ANNOUNCEMENT = 8_000
"""Bytes of a track's announcement, which is sent to all with every change of its publisher; most have some 300."""

MAX_PERMISSIONS = 32_000
"""Bytes of a subscription permission, which is searched for every track and participant."""

MAX_SUBSCRIPTION = 32_000
"""Bytes of a subscription: some 2,000 tracks."""

Reason = Literal["OK", "NOT_ALLOWED", "LIMIT_EXCEEDED", "UNSUPPORTED_TYPE", "INVALID_REQUEST"]

_DATA_TRACKS = (
    "publish_data_track_request",
    "unpublish_data_track_request",
    "update_data_subscription",
    "store_data_blob_request",
    "get_data_blob_request",
)


def apply_request(room: Room, participant: Participant, request: SignalRequest) -> None:
    """Apply a request that concerns neither the media connections nor the socket; ignore unknown ones.

    Raises `ProtocolError`.
    """
    tracks = participant.publications.tracks
    match request.WhichOneof("message"):
        case "add_track":
            add_track(room, participant, request.add_track)
        case "mute":
            room.mute(participant, request.mute.sid, is_muted=request.mute.muted)
        case "subscription":
            subscription = request.subscription
            if subscription.ByteSize() > MAX_SUBSCRIPTION:
                raise ProtocolError(f"`subscription` takes at most {MAX_SUBSCRIPTION} bytes.")
            named = [sid for each in subscription.participant_tracks for sid in each.track_sids]
            room.subscribe(participant, [*subscription.track_sids, *named], is_wanted=subscription.subscribe)
        case "subscription_permission":
            if request.subscription_permission.ByteSize() > MAX_PERMISSIONS:
                raise ProtocolError(f"`subscription_permission` takes at most {MAX_PERMISSIONS} bytes.")
            room.permit_subscribers(participant, request.subscription_permission)
        case "update_metadata":
            _describe(room, participant, request.update_metadata)
        case "update_audio_track" if (track := tracks.get(request.update_audio_track.track_sid)) is not None:
            known = AudioTrackFeature.values()
            features = [each for each in dict.fromkeys(request.update_audio_track.features) if each in known]
            del track.info.audio_features[:]
            track.info.audio_features.extend(features)
            room.changed(participant)
        case "update_video_track" if (track := tracks.get(request.update_video_track.track_sid)) is not None:
            track.info.width, track.info.height = request.update_video_track.width, request.update_video_track.height
            room.changed(participant)
        case kind if kind in _DATA_TRACKS:
            _refuse_data_track(room, participant, request)


def add_track(room: Room, participant: Participant, request: AddTrackRequest) -> None:
    """Announce a track, or refuse it in a response."""
    if not participant.may_publish(request.source):
        return _refuse_track(room, participant, request, "NOT_ALLOWED")
    if request.type not in (0, 1):
        return _refuse_track(room, participant, request, "UNSUPPORTED_TYPE")
    if not request.cid or request.ByteSize() > MAX_ANNOUNCEMENT:
        return _refuse_track(room, participant, request, "INVALID_REQUEST")
    try:
        track, is_new = participant.publications.add(request)
    except TooMany:
        return _refuse_track(room, participant, request, "LIMIT_EXCEEDED")
    published = TrackPublishedResponse(cid=request.cid, track=track.info)
    room.post(participant.sid, SignalResponse(track_published=published))
    if is_new:
        room.changed(participant, to_itself=False)
    return None


def refuse(reason: Reason, message: str) -> SignalResponse:
    """Build the refusal of a message that has no request id."""
    return SignalResponse(request_response=RequestResponse(reason=reason, message=message))


def _refuse_track(room: Room, participant: Participant, request: AddTrackRequest, reason: Reason) -> None:
    room.post(participant.sid, SignalResponse(request_response=RequestResponse(reason=reason, add_track=request)))


def _describe(room: Room, participant: Participant, request: Description) -> None:
    reason: Reason = "OK"
    message = ""
    if not participant.permission.can_update_metadata:
        reason, message = "NOT_ALLOWED", "does not have permission to update own metadata"
    else:
        try:
            attributes = dict(request.attributes)
            room.describe(participant, name=request.name, metadata=request.metadata, attributes=attributes)
        except TooLong:
            reason, message = "LIMIT_EXCEEDED", "name, metadata or attributes are too long"
    response = RequestResponse(request_id=request.request_id, reason=reason, message=message, update_metadata=request)
    room.post(participant.sid, SignalResponse(request_response=response))


def _refuse_data_track(room: Room, participant: Participant, request: SignalRequest) -> None:
    response = RequestResponse(reason="UNSUPPORTED_TYPE", message="data tracks and blobs are not supported")
    match request.WhichOneof("message"):
        case "publish_data_track_request":
            response.publish_data_track.CopyFrom(request.publish_data_track_request)
        case "unpublish_data_track_request":
            response.unpublish_data_track.CopyFrom(request.unpublish_data_track_request)
        case "store_data_blob_request":
            response.request_id = request.store_data_blob_request.request_id
        case "get_data_blob_request":
            response.request_id = request.get_data_blob_request.request_id
    room.post(participant.sid, SignalResponse(request_response=response))
