"""LiveKit's RoomService, called by LiveKit's own library and by hand."""

import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from livekit import api
from livekit.protocol.room import CreateRoomRequest

from mediaserver.livekit.service.room_service import MAX_DATA
from tests.support.livekit_harness import SECRET, Server, joined, token


@pytest.fixture
async def library(server: Server) -> AsyncIterator[api.LiveKitAPI]:
    async with api.LiveKitAPI(str(server.http.make_url("/")), "devkey", SECRET) as library:
        yield library


def access(**video: object) -> str:
    claims = {
        "iss": "devkey",
        "sub": "server",
        "exp": time.time() + 3_600,  # some are made when the tests are collected
        "video": video,
    }
    return jwt.encode(claims, SECRET, "HS256")


ADMIN = access(roomCreate=True, roomList=True, roomAdmin=True, room="r")


async def post(server: Server, method: str, body: Any = None, bearer: str = ADMIN) -> tuple[int, Any, str]:
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    answer = await server.http.post(f"/twirp/livekit.RoomService/{method}", json=body or {}, headers=headers)
    return answer.status, await answer.json(), answer.headers["Content-Type"]


async def test_a_room_is_made_listed_and_deleted(server: Server, library: api.LiveKitAPI) -> None:
    made = await library.room.create_room(
        api.CreateRoomRequest(name="r", metadata="m", max_participants=3, empty_timeout=9, departure_timeout=8)
    )
    again = await library.room.create_room(api.CreateRoomRequest(name="r", metadata="other"))

    assert (made.name, made.metadata, made.max_participants, made.empty_timeout, made.departure_timeout) == (
        "r",
        "m",
        3,
        9,
        8,
    )
    assert again == made
    listed = (await library.room.list_rooms(api.ListRoomsRequest())).rooms
    assert [(room.sid, room.num_participants) for room in listed] == [(made.sid, 0)]
    assert not (await library.room.list_rooms(api.ListRoomsRequest(names=["q"]))).rooms

    await library.room.delete_room(api.DeleteRoomRequest(room="r"))
    assert not (await library.room.list_rooms(api.ListRoomsRequest())).rooms


async def test_a_room_that_nobody_enters_is_gone_after_its_time(server: Server) -> None:
    room = await server.livekit.rooms.get_or_create("r")
    room.room.empty_timeout = 0
    room.configure(metadata="", max_participants=0, empty_timeout=0, departure_timeout=0)

    await server.until(lambda: len(server.livekit.rooms) == 0)


async def test_a_deleted_room_is_left_by_everybody_and_its_conversation_ends(
    server: Server, library: api.LiveKitAPI
) -> None:
    client = await server.join()

    await library.room.delete_room(api.DeleteRoomRequest(room="r"))

    assert (await client.until("leave")).reason == 5
    assert server.conversation.is_ending
    await server.join()
    assert len(server.session_factory.conversations) == 2


async def test_participants_are_listed_with_the_assistant(server: Server, library: api.LiveKitAPI) -> None:
    client = await server.join()

    listed = (await library.room.list_participants(api.ListParticipantsRequest(room="r"))).participants
    ada = await library.room.get_participant(api.RoomParticipantIdentity(room="r", identity="ada"))
    assistant = await library.room.get_participant(api.RoomParticipantIdentity(room="r", identity="assistant"))

    assert [info.identity for info in listed] == ["assistant", "ada"]
    assert ada.sid == joined(client).participant.sid
    assert assistant.kind == 4


async def test_a_participant_can_be_removed(server: Server, library: api.LiveKitAPI) -> None:
    client = await server.join()

    await library.room.remove_participant(api.RoomParticipantIdentity(room="r", identity="ada"))

    assert (await client.until("leave")).reason == 4
    assert await client.closed() == 1000


async def test_a_track_can_be_muted(server: Server, library: api.LiveKitAPI) -> None:
    client = await server.join()
    sid = await client.publish()

    muted = await library.room.mute_published_track(
        api.MuteRoomTrackRequest(room="r", identity="ada", track_sid=sid, muted=True)
    )

    assert muted.track.muted
    assert (await client.until("mute")).sid == sid
    with pytest.raises(api.TwirpError, match="track is not published"):
        await library.room.mute_published_track(
            api.MuteRoomTrackRequest(room="r", identity="ada", track_sid="TR_x", muted=True)
        )


async def test_a_participant_can_be_changed(server: Server, library: api.LiveKitAPI) -> None:
    client = await server.join()
    sid = await client.publish()

    after = await library.room.update_participant(
        api.UpdateParticipantRequest(
            room="r",
            identity="ada",
            metadata="m",
            name="Lady",
            attributes={"a": "b"},
            permission=api.ParticipantPermission(can_subscribe=True, can_publish=False),
        )
    )

    assert (after.name, after.metadata, dict(after.attributes), list(after.tracks)) == ("Lady", "m", {"a": "b"}, [])
    assert (await client.until("track_unpublished")).track_sid == sid
    assert client.link.listening == set()
    with pytest.raises(api.TwirpError, match="too long"):
        await library.room.update_participant(
            api.UpdateParticipantRequest(room="r", identity="ada", metadata="x" * 70_000)
        )


async def test_data_that_somebody_cannot_take_is_refused(server: Server, library: api.LiveKitAPI) -> None:
    client = await server.join()
    client.link.takes_data_of_others = False

    with pytest.raises(api.TwirpError, match="cannot take"):
        await library.room.send_data(api.SendDataRequest(room="r", data=b"x", kind=api.DataPacket.RELIABLE))


async def test_subscriptions_can_be_changed(server: Server, library: api.LiveKitAPI) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    sid = await ada.publish()

    await library.room.update_subscriptions(
        api.UpdateSubscriptionsRequest(room="r", identity="bob", track_sids=[sid], subscribe=False)
    )

    assert sid not in bob.link.outgoing


async def test_a_rooms_metadata_can_be_changed(server: Server, library: api.LiveKitAPI) -> None:
    client = await server.join()

    after = await library.room.update_room_metadata(api.UpdateRoomMetadataRequest(room="r", metadata="m"))

    assert after.metadata == "m"
    assert (await client.until("room_update")).room.metadata == "m"


@pytest.mark.parametrize(("kind", "label"), [("RELIABLE", "_reliable"), ("LOSSY", "_lossy")])
async def test_data_can_be_sent_to_those_named(server: Server, library: api.LiveKitAPI, kind: Any, label: str) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    for each in (ada, bob):
        each.link.packets()

    await library.room.send_data(
        api.SendDataRequest(room="r", data=b"x", topic="t", kind=kind, destination_identities=["bob"])
    )

    assert ada.link.packets() == []
    assert bob.link.sent[0][0] == label
    (packet,) = bob.link.packets()
    assert (packet.user.payload, packet.user.topic, packet.participant_identity) == (b"x", "t", "")


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("ListParticipants", {"room": "q"}),
        ("DeleteRoom", {"room": "q"}),
        ("GetParticipant", {"room": "r", "identity": "x"}),
        ("RemoveParticipant", {"room": "r", "identity": "x"}),
    ],
)
async def test_what_is_not_there_is_not_found(server: Server, method: str, body: dict[str, str]) -> None:
    await server.join()
    admin = access(roomCreate=True, roomAdmin=True, room=body["room"])

    status, error, kind = await post(server, method, body, admin)

    assert (status, error["code"], kind) == (404, "not_found", "application/json")
    assert error["msg"]


@pytest.mark.parametrize(
    ("bearer", "status", "code"),
    [
        ("", 401, "unauthenticated"),
        ("nonsense", 401, "unauthenticated"),
        (token(), 403, "permission_denied"),
        (access(roomAdmin=True, room="q", roomList=True), 403, "permission_denied"),
    ],
)
@pytest.mark.parametrize("method", ["CreateRoom", "ListParticipants", "SendData", "RemoveParticipant"])
async def test_who_may_not_is_told_so(server: Server, method: str, bearer: str, status: int, code: str) -> None:
    answered, error, kind = await post(server, method, {"room": "r", "name": "r"}, bearer)

    assert (answered, error["code"], kind) == (status, code, "application/json")


async def test_a_participants_token_lists_no_rooms(server: Server) -> None:
    assert (await post(server, "ListRooms", {}, token()))[:1] == (403,)


@pytest.mark.parametrize(
    ("method", "body", "code"),
    [
        ("CreateRoom", {}, "invalid_argument"),
        ("CreateRoom", {"name": "x" * 300}, "invalid_argument"),
        ("CreateRoom", {"name": "q", "metadata": "x" * 70_000}, "invalid_argument"),
        ("CreateRoom", {"name": 3}, "malformed"),
        ("CreateRoom", [1], "malformed"),
        ("CreateRoom", {"name": "x" * 300_000}, "malformed"),
        ("ListRooms", {"names": [""] * 5_000}, "malformed"),
        ("SendData", {"room": "r", "data": "A" * (MAX_DATA * 2)}, "invalid_argument"),
        ("UpdateRoomMetadata", {"room": "r", "metadata": "x" * 70_000}, "invalid_argument"),
        ("Dance", {}, "bad_route"),
    ],
)
async def test_a_malformed_call_is_told_what_is_wrong(server: Server, method: str, body: Any, code: str) -> None:
    await server.join()

    status, error, kind = await post(server, method, body)

    assert (error["code"], kind) == (code, "application/json")
    assert status in (400, 404)


async def test_a_body_of_another_kind_is_refused(server: Server) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "text/plain"}
    answer = await server.http.post("/twirp/livekit.RoomService/ListRooms", data=b"", headers=headers)

    assert (answer.status, (await answer.json())["code"]) == (400, "malformed")


async def test_broken_protobuf_is_refused(server: Server) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/protobuf"}
    answer = await server.http.post("/twirp/livekit.RoomService/CreateRoom", data=b"\xff\xff", headers=headers)

    assert (answer.status, answer.headers["Content-Type"]) == (400, "application/json")


async def test_the_answer_is_of_the_kind_of_the_question(server: Server) -> None:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    path = "/twirp/livekit.RoomService"
    packed = await server.http.post(
        f"{path}/CreateRoom",
        data=CreateRoomRequest(name="r").SerializeToString(),
        headers={**headers, "Content-Type": "application/protobuf"},
    )
    response = await server.http.post(
        f"{path}/ListRooms", data="{}", headers={**headers, "Content-Type": "application/json;charset=UTF-8"}
    )

    assert packed.headers["Content-Type"] == "application/protobuf"
    rooms = (await response.json())["rooms"]
    assert [room["name"] for room in rooms] == ["r"]
    assert "creationTimeMs" in rooms[0]


async def test_other_services_are_not_here(server: Server) -> None:
    answer = await server.http.post("/twirp/livekit.Egress/ListEgress", json={})

    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/json")
    assert (await answer.json())["code"] == "bad_route"
