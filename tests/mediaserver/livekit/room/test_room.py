import itertools
from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest
from livekit.protocol.models import (
    AudioTrackFeature,
    ClientInfo,
    DataPacket,
    DisconnectReason,
    ParticipantInfo,
    ParticipantPermission,
    TrackSource,
    TrackType,
    UserPacket,
    VideoLayer,
)
from livekit.protocol.rtc import (
    AddTrackRequest,
    LeaveRequest,
    MuteTrackRequest,
    RequestResponse,
    SignalRequest,
    SignalResponse,
    SimulcastCodec,
    SubscriptionPermission,
    TrackPermission,
    UpdateLocalAudioTrack,
    UpdateLocalVideoTrack,
    UpdateParticipantMetadata,
    UpdateSubscription,
)

from mediaserver.livekit.media.types import OfferedSection
from mediaserver.livekit.protocol.access_token import MAX_NAME, AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.publications import MAX_TRACKS
from mediaserver.livekit.room.room import MAX_PARTICIPANTS, Room, RoomFull, leave_response
from mediaserver.livekit.room.signal_requests import MAX_PERMISSIONS, MAX_SUBSCRIPTION, apply_request
from pipeline.errors import ProtocolError

GRANT = AccessTokenClaims("ada", "u-ada", "devkey", 0.0, room="r", room_join=True, can_update_own_metadata=True)


class Mail:
    """What everybody in a room was told, by sid."""

    def __init__(self) -> None:
        self._all: dict[str, list[SignalResponse]] = defaultdict(list)

    def post(self, sid: str, response: SignalResponse) -> None:
        self._all[sid].append(response)

    def take(self, participant: Participant) -> list[SignalResponse]:
        return self._all.pop(participant.sid, [])

    def updates(self, participant: Participant) -> list[ParticipantInfo]:
        return [info for response in self.take(participant) for info in response.update.participants]


@pytest.fixture
def mail() -> Mail:
    return Mail()


@pytest.fixture
def room(mail: Mail) -> Room:
    numbers = itertools.count(1)
    return Room("r", post=mail.post, now_ms=5_000, make_sid=lambda prefix: f"{prefix}{next(numbers)}")


def enter(room: Room, identity: str, mail: Mail | None = None, *, join: Any = None, **granted: Any) -> Participant:
    grant = replace(GRANT, identity=identity, owner=f"u-{identity}", **granted)
    participant = room.join(grant, join or Join(is_dual=False, client=ClientInfo(client_protocol=2)), 7_000)
    if mail is not None:
        for each in room.participants:
            mail.take(each)
    return participant


def publish(room: Room, participant: Participant, cid: str = "a", mid: str = "1", *, video: bool = False) -> str:
    kind, source = (TrackType.VIDEO, TrackSource.SCREEN_SHARE) if video else (TrackType.AUDIO, TrackSource.MICROPHONE)
    apply_request(room, participant, SignalRequest(add_track=AddTrackRequest(cid=cid, type=kind, source=source)))
    room.match(participant, [OfferedSection(mid, "video" if video else "audio", True, False, cid)])
    track = participant.publications.carried_by(mid)
    assert track is not None
    return track.sid


def test_the_assistant_is_an_agent_with_one_microphone(room: Room) -> None:
    assistant = room.assistant.info()

    assert (assistant.identity, assistant.kind, assistant.state) == (
        "assistant",
        ParticipantInfo.AGENT,
        ParticipantInfo.ACTIVE,
    )
    (track,) = assistant.tracks
    assert (track.type, track.source, track.mime_type) == (TrackType.AUDIO, TrackSource.MICROPHONE, "audio/opus")
    assert assistant.attributes["lk.agent.state"] == "initializing"
    assert assistant.client_protocol == 0
    assert assistant.sid.startswith("PA_")
    assert track.sid.startswith("TR_")


def test_who_joins_is_told_of_all_others_and_they_of_it(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada", mail)
    bob = enter(room, "bob")

    assert [info.identity for info in room.others(bob)] == ["assistant", "ada"]
    (info,) = mail.updates(ada)
    assert (info.identity, info.state, info.client_protocol) == ("bob", ParticipantInfo.JOINED, 2)
    assert mail.updates(bob) == []


def test_a_grants_rights_are_told(room: Room) -> None:
    ada = enter(room, "ada", can_publish=True, can_publish_sources=("screen_share",), can_subscribe=False)

    permission = ada.info().permission
    assert list(permission.can_publish_sources) == [TrackSource.SCREEN_SHARE]
    assert (permission.can_publish, permission.can_subscribe, permission.can_publish_data) == (True, False, True)


def test_versions_grow_with_every_change(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada", mail)

    room.activate(ada.sid)
    room.activate(ada.sid)
    publish(room, ada)
    room.mute(ada, next(iter(ada.publications.tracks)), is_muted=True)

    versions = [info.version for info in mail.updates(ada)]
    assert versions == sorted(versions)
    assert len(set(versions)) == len(versions)
    assert ada.state == ParticipantInfo.ACTIVE


def test_who_leaves_is_told_as_disconnected_with_the_reason(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada")
    bob = enter(room, "bob", mail)

    room.leave(bob.sid, DisconnectReason.DUPLICATE_IDENTITY)
    room.leave(bob.sid, DisconnectReason.CLIENT_INITIATED)

    (info,) = mail.updates(ada)
    assert (info.identity, info.state) == ("bob", ParticipantInfo.DISCONNECTED)
    assert info.disconnect_reason == DisconnectReason.DUPLICATE_IDENTITY
    assert room.find("bob") is None


def test_a_hidden_participant_is_seen_by_nobody(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada", mail)
    ghost = enter(room, "ghost", hidden=True)

    publish(room, ghost)
    room.leave(ghost.sid, DisconnectReason.CLIENT_INITIATED)

    assert mail.updates(ada) == []
    assert room.info().num_participants == 1


def test_what_a_hidden_participant_publishes_is_sent_to_nobody(room: Room) -> None:
    bob = enter(room, "bob")
    publish(room, enter(room, "ghost", hidden=True))

    assert room.forwards(bob) == {}


def test_attributes_of_a_join_need_the_right_to_change_them(room: Room) -> None:
    join = Join(is_dual=False, client=ClientInfo(), metadata="mine", attributes={"a": "b"})

    assert enter(room, "ada", join=join).attributes == {"a": "b"}
    assert enter(room, "bob", join=join, can_update_own_metadata=False).attributes == {}


def test_a_full_room_takes_nobody_but_who_is_here(room: Room) -> None:
    room.max_participants = 1
    enter(room, "ada")

    room.check_space("ada")
    with pytest.raises(RoomFull):
        enter(room, "bob")


def test_a_track_is_confirmed_at_once_and_told_to_the_others(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada")
    bob = enter(room, "bob", mail)
    request = AddTrackRequest(cid="c", type=TrackType.AUDIO, source=TrackSource.MICROPHONE, name="mic")

    apply_request(room, ada, SignalRequest(add_track=request))

    (confirmed,) = mail.take(ada)
    assert (confirmed.track_published.cid, confirmed.track_published.track.name) == ("c", "mic")
    (info,) = mail.updates(bob)
    assert info.tracks[0].sid == confirmed.track_published.track.sid
    assert info.is_publisher


@pytest.mark.parametrize(
    ("granted", "said", "reason"),
    [
        ({"can_publish": False}, {}, RequestResponse.NOT_ALLOWED),
        ({"can_publish_sources": ("camera",)}, {}, RequestResponse.NOT_ALLOWED),
        ({}, {"type": TrackType.DATA}, RequestResponse.UNSUPPORTED_TYPE),
        ({}, {"cid": ""}, RequestResponse.INVALID_REQUEST),
    ],
)
def test_a_track_that_may_not_be_is_refused(
    room: Room, mail: Mail, granted: dict[str, Any], said: dict[str, Any], reason: int
) -> None:
    ada = enter(room, "ada", mail, **granted)
    fields: dict[str, Any] = {"cid": "c", "type": TrackType.AUDIO, "source": TrackSource.MICROPHONE, **said}
    request = AddTrackRequest(**fields)

    apply_request(room, ada, SignalRequest(add_track=request))

    (refused,) = mail.take(ada)
    assert refused.request_response.reason == reason
    assert refused.request_response.add_track == request
    assert not ada.publications.tracks


def test_a_hundred_tracks_are_refused_from_the_limit_on(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada", mail)

    for number in range(100):
        apply_request(room, ada, SignalRequest(add_track=AddTrackRequest(cid=str(number), type=TrackType.AUDIO)))

    answers = mail.take(ada)
    assert sum(answer.HasField("track_published") for answer in answers) == MAX_TRACKS
    reasons = [answer.request_response.reason for answer in answers if answer.HasField("request_response")]
    assert reasons == [RequestResponse.LIMIT_EXCEEDED] * (100 - MAX_TRACKS)


@pytest.mark.parametrize(
    "said",
    [
        {"name": "x" * 20_000},
        {"layers": [VideoLayer(width=1)] * 5_000},
        {"simulcast_codecs": [SimulcastCodec(codec="vp8", cid="c" * 20_000)]},
    ],
    ids=["name", "layers", "codecs"],
)
def test_an_announcement_that_is_told_to_everybody_is_short(room: Room, mail: Mail, said: dict[str, Any]) -> None:
    ada = enter(room, "ada", mail)

    apply_request(room, ada, SignalRequest(add_track=AddTrackRequest(cid="a", source="MICROPHONE", **said)))

    (info,) = mail.take(ada)
    assert info.request_response.reason == RequestResponse.INVALID_REQUEST
    assert ada.publications.tracks == {}


def test_features_are_told_once_each(room: Room) -> None:
    ada = enter(room, "ada")
    sid = publish(room, ada)

    update = UpdateLocalAudioTrack(track_sid=sid, features=[AudioTrackFeature.TF_STEREO] * 50_000)
    apply_request(room, ada, SignalRequest(update_audio_track=update))

    assert list(ada.publications.tracks[sid].info.audio_features) == [AudioTrackFeature.TF_STEREO]


def test_a_subscription_beyond_a_bound_is_refused(room: Room) -> None:
    ada = enter(room, "ada")
    subscription = UpdateSubscription(track_sids=["TR_x" * 5] * 2_000, subscribe=True)

    with pytest.raises(ProtocolError, match=str(MAX_SUBSCRIPTION)):
        apply_request(room, ada, SignalRequest(subscription=subscription))


def test_permissions_beyond_a_bound_are_refused(room: Room) -> None:
    ada = enter(room, "ada")
    permissions = [TrackPermission(participant_sid="PA_x" * 5)] * 2_000

    with pytest.raises(ProtocolError, match=str(MAX_PERMISSIONS)):
        apply_request(
            room, ada, SignalRequest(subscription_permission=SubscriptionPermission(track_permissions=permissions))
        )


def test_a_room_has_room_for_so_many(room: Room) -> None:
    for number in range(MAX_PARTICIPANTS):
        enter(room, str(number))

    with pytest.raises(RoomFull):
        enter(room, "one more")


def test_a_track_that_ends_is_told_by_its_absence(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada")
    bob = enter(room, "bob")
    publish(room, ada)
    mail.take(bob)

    matched = room.match(ada, [OfferedSection("1", "audio", False, False, "a")])

    assert len(matched.ended) == 1
    (info,) = mail.updates(bob)
    assert (list(info.tracks), info.is_publisher) == ([], False)


def test_a_track_of_no_common_codec_is_unpublished(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada")
    apply_request(room, ada, SignalRequest(add_track=AddTrackRequest(cid="v", type=TrackType.VIDEO)))
    (sid,) = ada.publications.tracks
    mail.take(ada)

    room.match(ada, [OfferedSection("1", "video", True, False, "v", is_refused=True)])

    assert mail.take(ada)[0].track_unpublished.track_sid == sid
    assert not ada.publications.tracks


def test_a_mute_is_told_to_everybody(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada")
    bob = enter(room, "bob")
    sid = publish(room, ada)
    mail.take(ada)
    mail.take(bob)

    apply_request(room, ada, SignalRequest(mute=MuteTrackRequest(sid=sid, muted=True)))
    apply_request(room, ada, SignalRequest(mute=MuteTrackRequest(sid=sid, muted=True)))
    apply_request(room, ada, SignalRequest(mute=MuteTrackRequest(sid="TR_none", muted=True)))

    assert [info.tracks[0].muted for info in mail.updates(bob)] == [True]
    assert [info.tracks[0].muted for info in mail.updates(ada)] == [True]


def test_a_client_muted_by_the_server_is_told_to_mute(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada")
    sid = publish(room, ada)
    mail.take(ada)

    room.mute(ada, sid, is_muted=True, by_server=True)

    assert mail.take(ada)[0].mute == MuteTrackRequest(sid=sid, muted=True)


def test_a_description_is_changed_told_and_confirmed(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada", mail, attributes={"old": "1", "gone": "1"})
    request = UpdateParticipantMetadata(metadata="m", attributes={"gone": "", "new": "2"}, request_id=9)

    apply_request(room, ada, SignalRequest(update_metadata=request))

    update, response = mail.take(ada)
    (info,) = update.update.participants
    assert (info.metadata, dict(info.attributes)) == ("m", {"old": "1", "new": "2"})
    assert (response.request_response.request_id, response.request_response.reason) == (9, RequestResponse.OK)


@pytest.mark.parametrize(
    ("granted", "said", "reason"),
    [
        ({"can_update_own_metadata": False}, {"name": "x"}, RequestResponse.NOT_ALLOWED),
        ({}, {"metadata": "x" * 70_000}, RequestResponse.LIMIT_EXCEEDED),
        ({}, {"attributes": {"a": "x" * 70_000}}, RequestResponse.LIMIT_EXCEEDED),
    ],
)
def test_a_description_that_may_not_be_is_refused(
    room: Room, mail: Mail, granted: dict[str, Any], said: dict[str, Any], reason: int
) -> None:
    ada = enter(room, "ada", mail, **granted)

    apply_request(room, ada, SignalRequest(update_metadata=UpdateParticipantMetadata(request_id=3, **said)))

    (response,) = mail.take(ada)
    assert (response.request_response.request_id, response.request_response.reason) == (3, reason)
    assert (ada.name, ada.metadata) == ("", "")


def test_a_name_is_none_that_no_token_could_say(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada", mail)

    apply_request(room, ada, SignalRequest(update_metadata=UpdateParticipantMetadata(name="x" * (MAX_NAME + 1))))

    assert mail.take(ada)[-1].request_response.reason == RequestResponse.LIMIT_EXCEEDED
    assert ada.name == ""


def test_features_and_sizes_of_tracks_can_change(room: Room) -> None:
    ada = enter(room, "ada")
    sid = publish(room, ada)

    apply_request(
        room, ada, SignalRequest(update_audio_track=UpdateLocalAudioTrack(track_sid=sid, features=["TF_STEREO"]))
    )
    apply_request(room, ada, SignalRequest(update_video_track=UpdateLocalVideoTrack(track_sid=sid, width=3, height=2)))

    (info,) = ada.info().tracks
    assert (list(info.audio_features), info.width, info.height) == ([0], 3, 2)


@pytest.mark.parametrize(
    "request_", [SignalRequest(), SignalRequest(update_video_track=UpdateLocalVideoTrack(track_sid="TR_none"))]
)
def test_what_means_nothing_here_is_ignored(room: Room, mail: Mail, request_: SignalRequest) -> None:
    ada = enter(room, "ada", mail)

    apply_request(room, ada, request_)

    assert mail.take(ada) == []


def test_data_tracks_are_refused(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada", mail)
    requests = [
        SignalRequest(publish_data_track_request={"pub_handle": 4}),
        SignalRequest(unpublish_data_track_request={"pub_handle": 4}),
        SignalRequest(store_data_blob_request={"request_id": 5}),
        SignalRequest(get_data_blob_request={"request_id": 6}),
        SignalRequest(update_data_subscription={}),
    ]

    for request in requests:
        apply_request(room, ada, request)

    answers = [each.request_response for each in mail.take(ada)]
    assert {answer.reason for answer in answers} == {RequestResponse.UNSUPPORTED_TYPE}
    assert answers[0].publish_data_track.pub_handle == answers[1].unpublish_data_track.pub_handle == 4
    assert [answer.request_id for answer in answers[2:4]] == [5, 6]


def test_everybody_is_sent_what_the_others_publish(room: Room) -> None:
    ada, bob = enter(room, "ada"), enter(room, "bob")
    sid = publish(room, ada, mid="4", video=True)

    (forward,) = room.forwards(bob).values()
    assert (forward.publisher, forward.track, forward.mid, forward.kind) == (ada.sid, sid, "4", "video")
    assert room.forwards(ada) == {}


def test_a_track_without_media_is_sent_to_nobody(room: Room) -> None:
    ada, bob = enter(room, "ada"), enter(room, "bob")

    apply_request(room, ada, SignalRequest(add_track=AddTrackRequest(cid="c", type=TrackType.AUDIO)))

    assert room.forwards(bob) == {}


def test_only_what_is_wanted_is_sent(room: Room, mail: Mail) -> None:
    ada, bob = enter(room, "ada"), enter(room, "bob")
    sid = publish(room, ada)
    mail.take(bob)

    apply_request(
        room, bob, SignalRequest(subscription=UpdateSubscription(track_sids=[sid, "TR_none"], subscribe=False))
    )
    assert room.forwards(bob) == {}
    assert mail.take(bob)[0].subscription_response.track_sid == "TR_none"

    apply_request(room, bob, SignalRequest(subscription=UpdateSubscription(track_sids=[sid], subscribe=True)))
    assert sid in room.forwards(bob)


def test_the_assistants_voice_can_be_unsubscribed(room: Room) -> None:
    ada = enter(room, "ada")
    assert room.is_subscribed_to_assistant(ada)

    tracks = [{"participant_sid": room.assistant.sid, "track_sids": [room.assistant.track.sid]}]
    apply_request(room, ada, SignalRequest(subscription=UpdateSubscription(participant_tracks=tracks, subscribe=False)))

    assert not room.is_subscribed_to_assistant(ada)


def test_who_may_not_subscribe_is_sent_nothing(room: Room) -> None:
    ada, bob = enter(room, "ada"), enter(room, "bob", can_subscribe=False)
    publish(room, ada)

    assert room.forwards(bob) == {}
    assert not room.is_subscribed_to_assistant(bob)


def test_who_does_not_subscribe_by_itself_asks_for_each_track(room: Room) -> None:
    bob = enter(room, "bob", join=Join(is_dual=False, client=ClientInfo(), auto_subscribe=False))
    sid = publish(room, enter(room, "ada"))
    assert room.forwards(bob) == {}

    room.subscribe(bob, [sid], is_wanted=True)

    assert sid in room.forwards(bob)


def test_a_publisher_says_who_may_subscribe(room: Room, mail: Mail) -> None:
    ada, bob, eve = enter(room, "ada"), enter(room, "bob"), enter(room, "eve")
    sid = publish(room, ada)
    mail.take(eve)

    permission = SubscriptionPermission(
        track_permissions=[
            TrackPermission(participant_identity="bob", track_sids=[sid]),
            TrackPermission(participant_sid=eve.sid, track_sids=["TR_other"]),
        ]
    )
    apply_request(room, ada, SignalRequest(subscription_permission=permission))

    assert (sid in room.forwards(bob), sid in room.forwards(eve)) == (True, False)
    (info,) = mail.take(eve)
    assert info.subscription_permission_update.track_sid == sid
    assert not info.subscription_permission_update.allowed


def user(**said: Any) -> DataPacket:
    destinations = said.pop("to", ())
    return DataPacket(user=UserPacket(payload=b"x", **said), destination_identities=destinations)


def test_data_without_a_recipient_goes_to_everybody_and_the_assistant(room: Room) -> None:
    ada, bob, eve = enter(room, "ada"), enter(room, "bob"), enter(room, "eve")

    route = room.route(ada, user())

    assert route is not None
    assert (route.to, route.is_for_assistant) == ((bob.sid, eve.sid), True)


@pytest.mark.parametrize("said", [{"to": ["bob"]}, {"destination_identities": ["bob"]}])
def test_data_goes_to_whom_it_names_alone(room: Room, said: dict[str, Any]) -> None:
    ada, bob, _ = enter(room, "ada"), enter(room, "bob"), enter(room, "eve")

    route = room.route(ada, user(**said))

    assert route is not None
    assert (route.to, route.is_for_assistant) == ((bob.sid,), False)


def test_data_may_name_the_assistant_or_a_sid(room: Room) -> None:
    ada, bob = enter(room, "ada"), enter(room, "bob")

    to_assistant, to_bob = room.route(ada, user(to=["assistant"])), room.route(ada, user(destination_sids=[bob.sid]))

    assert to_assistant is not None
    assert to_bob is not None
    assert (to_assistant.to, to_assistant.is_for_assistant) == ((), True)
    assert (to_bob.to, to_bob.is_for_assistant) == ((bob.sid,), False)


def test_nobody_can_speak_for_another(room: Room) -> None:
    ada = enter(room, "ada")
    packet = user(participant_identity="bob", participant_sid="PA_bob")
    packet.participant_identity, packet.participant_sid = "bob", "PA_bob"

    room.route(ada, packet)

    assert (packet.participant_identity, packet.participant_sid) == ("ada", ada.sid)
    assert (packet.user.participant_identity, packet.user.participant_sid) == ("ada", ada.sid)


def test_who_may_not_send_data_sends_none(room: Room) -> None:
    assert room.route(enter(room, "ada", can_publish_data=False), user()) is None
    assert room.route(enter(room, "bob"), DataPacket()) is None


def test_the_assistants_state_is_told_when_it_changes(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada", mail)

    room.set_agent_state("listening")
    room.set_agent_state("listening")

    (info,) = mail.updates(ada)
    assert info.attributes["lk.agent.state"] == "listening"
    assert info.version == 2


def test_rights_can_be_taken_and_with_them_tracks(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada")
    sid = publish(room, ada)
    mail.take(ada)

    room.permit(ada, ParticipantPermission(can_subscribe=True))

    unpublished, update = mail.take(ada)
    assert unpublished.track_unpublished.track_sid == sid
    assert not update.update.participants[0].permission.can_publish


def test_a_publisher_is_told_once_that_somebody_receives(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada")
    sid = publish(room, ada)
    mail.take(ada)

    room.subscription_permitted(ada, ada.publications.tracks[sid])
    room.subscription_permitted(ada, ada.publications.tracks[sid])

    assert [each.track_subscribed.track_sid for each in mail.take(ada)] == [sid]


def test_who_has_come_back_is_told_who_has_gone_meanwhile(room: Room, mail: Mail) -> None:
    ada, bob, eve = enter(room, "ada"), enter(room, "bob"), enter(room, "eve")
    for each in (bob, eve, enter(room, "spy", hidden=True)):
        room.leave(each.sid, DisconnectReason.CLIENT_INITIATED)
    enter(room, "eve", mail)

    room.refresh(ada.sid)

    info = [(info.identity, info.state == ParticipantInfo.DISCONNECTED) for info in mail.updates(ada)]
    assert info == [("bob", True), ("ada", False), ("assistant", False), ("eve", False)]


def test_who_has_come_back_knows_the_rooms_metadata(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada")
    room.set_metadata("new")
    mail.take(ada)

    room.refresh(ada.sid)

    assert [info.room_update.room.metadata for info in mail.take(ada) if info.HasField("room_update")] == ["new"]


def test_who_has_come_back_is_told_of_everybody(room: Room, mail: Mail) -> None:
    ada, _ = enter(room, "ada"), enter(room, "bob")
    mail.take(ada)

    room.refresh(ada.sid)

    assert [info.identity for info in mail.updates(ada)] == ["ada", "assistant", "bob"]


@pytest.mark.parametrize(
    ("action", "number", "can_reconnect"),
    [("DISCONNECT", LeaveRequest.DISCONNECT, False), ("RESUME", 1, True), ("RECONNECT", 2, True)],
)
def test_a_client_is_told_how_to_leave(action: Any, number: int, can_reconnect: bool) -> None:
    info = leave_response(DisconnectReason.STATE_MISMATCH, action)

    assert info.leave == LeaveRequest(reason="STATE_MISMATCH", action=number, can_reconnect=can_reconnect)  # type: ignore[arg-type]


def test_the_rooms_metadata_is_told(room: Room, mail: Mail) -> None:
    ada = enter(room, "ada", mail)

    room.set_metadata("m")

    assert mail.take(ada)[0].room_update.room.metadata == "m"
    assert (room.info().name, room.info().creation_time) == ("r", 5)
