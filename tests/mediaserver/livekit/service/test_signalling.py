"""The signalling socket: joining, negotiating, publishing, leaving, coming back."""

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from livekit.protocol.models import DataPacket, DisconnectReason, ParticipantInfo, ParticipantPermission
from livekit.protocol.rtc import (
    AddTrackRequest,
    LeaveRequest,
    MuteTrackRequest,
    Ping,
    RequestResponse,
    SessionDescription,
    SignalRequest,
    SignalTarget,
    SimulateScenario,
    SyncState,
    TrickleRequest,
    UpdateParticipantMetadata,
    UpdateSubscription,
)

from mediaserver.bad_messages import BadMessageBudget
from mediaserver.livekit.media.types import LinkState, Target
from mediaserver.livekit.protocol.access_token import ApiKeys
from mediaserver.livekit.room import active_speakers as speakers
from mediaserver.livekit.service import signal_socket
from mediaserver.livekit.service.signal_socket import BURST, MAX_BAD_MESSAGES
from mediaserver.registry import Draining, Full, SessionLimit
from pipeline.events import EndReason, State, StateChanged, TextInput
from pipeline.media import AudioChunk
from tests.support.livekit_harness import (
    QUICK,
    SECRET,
    Server,
    join_request,
    joined,
    offer,
    receiving,
    sending,
    serving,
    token,
)

PATHS = ["/rtc", "/rtc/v1"]
KEYS = ApiKeys({"devkey": SECRET})


# Before a socket opens.


@pytest.mark.parametrize("path", PATHS)
async def test_a_good_token_is_valid_in_the_header_and_in_the_query(server: Server, path: str) -> None:
    in_header = await server.http.get(f"{path}/validate", headers={"Authorization": f"Bearer {token()}"})
    in_query = await server.http.get(f"{path}/validate", params={"access_token": token()})

    assert (in_header.status, await in_header.text()) == (in_query.status, await in_query.text()) == (200, "success")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("access", "status", "expected"),
    [
        ("", 401, "no authorization token"),
        ("nonsense", 401, "no JWT"),
        (jwt.encode({"iss": "devkey", "sub": "a", "exp": 1}, SECRET, "HS256"), 401, "expired"),
        (token(video={"roomJoin": False}), 401, "roomJoin"),
        (token(room=""), 400, "room name cannot be empty"),
        (token(identity=""), 400, "identity cannot be empty"),
        (token(identity="assistant"), 401, "assistant"),
    ],
)
async def test_a_bad_token_is_told_why_before_and_instead_of_the_socket(
    server: Server, path: str, access: str, status: int, expected: str
) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    for asked in (f"{path}/validate", path):
        answer = await server.http.get(asked, params={"access_token": access}, headers=upgrade)
        assert answer.status == status
        assert expected in await answer.text()


async def test_a_token_is_for_one_room(server: Server) -> None:
    answer = await server.http.get("/rtc/validate", params={"access_token": token(room="r"), "room": "q"})

    assert (answer.status, "another room" in await answer.text()) == (401, True)


async def test_an_authorization_that_is_no_bearer_is_refused(server: Server) -> None:
    answer = await server.http.get("/rtc/validate", headers={"Authorization": "Basic x"})

    assert answer.status == 401


@pytest.mark.parametrize("path", PATHS)
async def test_a_request_without_a_socket_is_told_there_is_nothing(server: Server, path: str) -> None:
    assert (await server.http.get(path, params={"access_token": token()})).status == 404


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/rtc", {"protocol": "x"}),
        ("/rtc/v1", {}),
        ("/rtc/v1", {"join_request": join_request(metadata="x" * 65_000)}),
        ("/rtc/v1", {"join_request": join_request(participant_attributes={"a": "x" * 65_000})}),
    ],
    ids=["no number", "nothing", "metadata", "attributes"],
)
async def test_a_malformed_query_is_told_why(server: Server, path: str, query: dict[str, str]) -> None:
    with pytest.raises(Exception, match="400"):
        await server.open(path, query, token())
    assert len(server.livekit.rooms) == 0


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Full(SessionLimit.SERVER), 503),
        (Full(SessionLimit.GUESTS), 503),
        (Full(SessionLimit.USER), 429),
        (Full(SessionLimit.ADDRESS), 429),
        (Draining(), 503),
    ],
)
async def test_a_server_that_takes_nobody_says_so(server: Server, refusal: Exception, status: int) -> None:
    server.session_factory.refusal = refusal

    with pytest.raises(WSServerHandshakeError) as refused:
        await server.join()
    assert refused.value.status == status
    assert refused.value.headers is not None
    assert int(refused.value.headers["Retry-After"]) > 0


async def test_who_asks_too_often_is_refused(server: Server) -> None:
    await server.join()
    server.limiter.most = 1

    with pytest.raises(Exception, match="429"):
        await server.join()
    assert server.limiter.counts["u-ada"] == 2


async def test_guests_of_one_address_are_counted_as_one(server: Server) -> None:
    for number in range(3):
        await server.join(f"guest{number}", room=f"r{number}", owner=f"guest-{number}")

    assert server.limiter.counts == {"127.0.0.1": 3}
    assert {(each.network, each.is_guest) for each in server.session_factory.callers} == {("127.0.0.1", True)}


async def test_turn_credentials_are_those_of_the_tokens_user(server: Server) -> None:
    client = await server.join(owner="u-ada")

    assert [each.username for each in joined(client).ice_servers] == ["1:u-ada"]


async def test_a_full_room_takes_nobody(server: Server) -> None:
    await server.join()
    room = server.livekit.rooms.find("r")
    assert room is not None
    room.room.max_participants = 1

    with pytest.raises(Exception, match="429"):
        await server.join("bob")


# Joining.


async def test_a_join_answers_with_everything_clients_need(server: Server) -> None:
    client = await server.join(connect=False)

    join = joined(client)
    assert join.room.sid.startswith("RM_")
    assert join.room.name == "r"
    assert join.participant.sid.startswith("PA_")
    assert (join.participant.identity, join.participant.name) == ("ada", "Ada")
    assert join.participant.permission.can_publish
    assert [info.identity for info in join.other_participants] == ["assistant"]
    assert join.server_info.version == join.server_version == "1.9.0"
    assert (join.ping_interval, join.ping_timeout) == (5, 15)
    assert [list(each.urls) for each in join.ice_servers] == [["turn:turn.example"]]
    assert [codec.mime for codec in join.enabled_publish_codecs] == ["video/VP8", "video/H264", "audio/opus"]
    assert (join.subscriber_primary, join.fast_publish) == (False, True)


async def test_the_offer_of_a_join_is_answered_with_the_assistants_voice_in_it(server: Server) -> None:
    client = await server.join(connect=False)

    answer = client.seen[-1].answer
    assistant = joined(client).other_participants[0]
    track = assistant.tracks[0].sid
    assert (answer.type, answer.id) == ("answer", 1)
    assert dict(answer.mid_to_track_id) == {"0": track}
    assert client.link.outgoing[track].stream == f"{assistant.sid}|{track}"


async def test_the_offer_may_come_after_the_join(server: Server) -> None:
    client = await server.open("/rtc/v1", {"join_request": join_request()}, token())
    await client.until("join")

    answer = await client.offer(offer(*receiving("0")), 7)

    assert (answer.id, len(answer.mid_to_track_id)) == (7, 1)


async def test_with_two_connections_the_server_offers_what_it_sends(server: Server) -> None:
    client = await server.join(dual=True, connect=False)

    ours = client.seen[-1].offer
    assert client.seen[0].join.subscriber_primary
    assert (ours.type, list(ours.mid_to_track_id.values())) == ("offer", list(client.link.outgoing))
    await client.send(answer=SessionDescription(type="answer", sdp="theirs", id=ours.id))
    answer = await client.offer(offer(sending("0", "mic")))
    assert client.link.answers == ["theirs"]
    assert not answer.mid_to_track_id


async def test_an_answer_to_no_offer_is_ignored(server: Server) -> None:
    client = await server.join()
    await client.send(answer=SessionDescription(type="answer", sdp="bad", id=1))
    await client.send(ping=1)
    await client.until("pong")

    dual = await server.join("bob", dual=True)
    await dual.send(answer=SessionDescription(type="answer", sdp="bad", id=99))
    await dual.send(ping=1)
    await dual.until("pong")


async def test_who_is_connected_is_active_and_hears_what_the_assistant_does(server: Server) -> None:
    client = await server.join()

    server.conversation.emit(StateChanged(State.SPEAKING))

    state = await client.about("assistant")
    assert state.attributes["lk.agent.state"] == "speaking"


async def test_a_conversation_belongs_to_who_came_first_and_has_the_rooms_name(server: Server) -> None:
    await server.join("ada", room="desk")
    await server.join("bob", room="desk")

    assert server.session_factory.owners == ["u-ada"]
    assert server.conversation.options.label == "desk"
    assert server.conversation.options.transport == "livekit"
    assert sorted(server.conversation.peers.values()) == ["Ada", "Bob"]


async def test_a_token_of_another_server_owns_by_identity(server: Server) -> None:
    await server.join(owner=None)

    assert server.session_factory.owners == ["livekit:ada"]


async def test_attributes_request_a_voice_and_a_language(server: Server) -> None:
    query = {"participant_attributes": {"language": "de", "voice": "not a voice!", "model": "x"}}
    await server.join(query=query, attributes={"model": "gemini-3.8-live"})

    options = server.conversation.options
    assert (options.language, options.voice, options.model) == ("de", None, "gemini-3.8-live")


async def test_tracks_announced_with_the_join_are_published(server: Server) -> None:
    client = await server.join(
        offered=offer(*receiving("0"), sending("1", "mic")),
        query={"add_track_requests": [AddTrackRequest(cid="mic", source="MICROPHONE")]},
    )

    assert client.count("track_published") == 1
    assert client.link.listening == {"1"}


async def test_an_offer_that_cannot_be_used_is_the_end_of_a_join(server: Server) -> None:
    client = await server.open(
        "/rtc/v1", {"join_request": join_request(publisher_offer={"type": "offer", "sdp": "bad"})}, token()
    )

    leave = await client.until("leave")

    assert (leave.action, leave.reason) == (LeaveRequest.DISCONNECT, DisconnectReason.JOIN_FAILURE)
    assert await client.closed() == 1000


async def test_a_later_offer_that_cannot_be_used_harms_nobody_else(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")

    await ada.send(offer=SessionDescription(type="offer", sdp="bad", id=3))

    leave = await ada.until("leave")
    assert (leave.action, leave.reason) == (LeaveRequest.RECONNECT, DisconnectReason.STATE_MISMATCH)
    await bob.about("ada", lambda info: info.state == ParticipantInfo.DISCONNECTED)
    await bob.send(ping=1)
    await bob.until("pong")


# While it lasts.


async def test_pings_are_answered(server: Server) -> None:
    client = await server.join()
    await client.send(ping=5)
    await client.send(ping_req=Ping(timestamp=7))

    assert abs((await client.until("pong")) / 1000 - time.time()) < 60
    assert (await client.until("pong_resp")).last_ping_timestamp == 7


async def test_text_is_answered_in_text_and_bytes_in_bytes(server: Server) -> None:
    client = await server.join()

    await client.ws.send_str('{"pingReq": {"timestamp": "9"}}')
    text = await client.ws.receive(timeout=10)
    while text.type is not WSMsgType.TEXT:
        text = await client.ws.receive(timeout=10)
    assert json.loads(text.data)["pongResp"]["lastPingTimestamp"] == "9"

    await client.send(ping=1)
    await client.until("pong")


async def test_candidates_are_taken_for_either_connection(server: Server) -> None:
    client = await server.join()

    for target in (SignalTarget.PUBLISHER, SignalTarget.SUBSCRIBER):
        candidate = json.dumps({"candidate": "candidate:1", "sdpMid": "0"})
        await client.send(trickle=TrickleRequest(candidateInit=candidate, target=target))
    await client.send(trickle=TrickleRequest(final=True))

    await server.until(lambda: len(client.link.candidates) == 2)
    assert [target for _, target in client.link.candidates] == [Target.PUBLISHER, Target.SUBSCRIBER]


@pytest.mark.parametrize("candidate", ['{"candidate": "bad"}', "{", "[]", '{"candidate": 3}', "[" * 9_000])
async def test_a_malformed_candidate_is_told_and_the_session_goes_on(server: Server, candidate: str) -> None:
    client = await server.join()

    await client.send(trickle=TrickleRequest(candidateInit=candidate))

    assert (await client.until("request_response")).reason == RequestResponse.INVALID_REQUEST
    await client.send(ping=1)
    await client.until("pong")


async def test_a_microphone_is_heard_and_its_publisher_told(server: Server) -> None:
    client = await server.join()

    sid = await client.publish(mid="3")

    assert client.link.listening == {"3"}
    await client.send(ping=1)
    await client.until("pong")
    assert client.count("track_subscribed") == 0  # a client may not know its own track yet

    for _ in range(3):
        client.link.events.on_audio("3", AudioChunk(bytes(1_920), 48_000, 0.0))
    assert client.count("track_subscribed") == 0  # nor now
    assert (await client.until("track_subscribed")).track_sid == sid
    await client.send(ping=1)
    await client.until("pong")
    assert client.count("track_subscribed") == 1


async def test_a_track_that_is_unpublished_is_heard_no_more(server: Server) -> None:
    client = await server.join()
    await client.publish(mid="3")

    await client.offer(offer(*receiving("0"), sending("3", "mic", sends=False)))

    assert client.link.listening == set()
    assert "silence" in server.conversation.calls


async def test_a_track_can_be_published_three_times(server: Server) -> None:
    client = await server.join()

    sids = []
    for mid in ("3", "4", "5"):
        sids.append(await client.publish(mid=mid))
        assert client.link.listening == {mid}
        await client.offer(offer(*receiving("0"), sending(mid, "mic", sends=False)))

    assert len(set(sids)) == 3


async def test_a_voice_that_was_sought_in_the_wrong_section_is_found(server: Server) -> None:
    client = await server.join()
    await client.send(add_track=AddTrackRequest(cid="mic", source="MICROPHONE"))
    await client.offer(offer(*receiving("0"), sending("3", "other")))
    assert client.link.listening == {"3"}

    await client.offer(offer(*receiving("0"), sending("3", "other"), sending("4", "mic")))

    assert client.link.listening == {"4"}


async def test_a_mute_closes_the_utterance(server: Server) -> None:
    client = await server.join()
    sid = await client.publish()
    server.conversation.calls.clear()

    await client.send(mute=MuteTrackRequest(sid=sid, muted=True))

    await client.about("ada", lambda info: info.tracks[0].muted)
    await server.until(lambda: "silence" in server.conversation.calls)


async def test_a_share_that_is_muted_or_replaced_is_seen_no_more(server: Server) -> None:
    client = await server.join()
    sid = await client.publish("screen", "4", video=True)
    assert client.link.listening == {"4"}

    await client.send(mute=MuteTrackRequest(sid=sid, muted=True))

    await server.until(lambda: client.link.listening == set())
    assert "unwatch" in server.conversation.calls


async def test_the_assistants_voice_stops_where_nobody_subscribes(server: Server) -> None:
    client = await server.join()
    track = joined(client).other_participants[0].tracks[0].sid

    await client.send(subscription=UpdateSubscription(track_sids=[track], subscribe=False))
    await server.until(lambda: track in client.link.paused)

    await client.send(subscription=UpdateSubscription(track_sids=[track], subscribe=True))
    await server.until(lambda: track not in client.link.paused)


async def test_a_new_token_comes_at_once_and_again_when_what_it_says_has_changed(server: Server) -> None:
    client = await server.join()
    first = KEYS.read(await client.first("refresh_token"))

    await client.send(update_metadata=UpdateParticipantMetadata(name="Countess", attributes={"a": "b"}))
    second = KEYS.read(await client.until("refresh_token"))

    assert (first.identity, first.owner, first.room, first.room_join) == ("ada", "u-ada", "r", True)
    assert (first.name, first.attributes) == ("Ada", {})
    assert first.expires_at > time.time() + 500
    assert (second.name, second.attributes) == ("Countess", {"a": "b"})


async def test_rights_that_were_taken_do_not_come_back_with_a_new_token(server: Server) -> None:
    client = await server.join(video={"canPublishSources": ["camera", "microphone"]})
    before = KEYS.read(await client.first("refresh_token"))
    room = server.livekit.rooms.find("r")
    assert room is not None

    rights = ParticipantPermission(can_publish=True, can_publish_sources=["CAMERA"], can_publish_data=True)
    room.room.permit(room.room.participants[0], rights)
    after = KEYS.read(await client.until("refresh_token"))

    assert (before.can_publish_sources, before.can_subscribe) == (("camera", "microphone"), True)
    assert (after.can_publish, after.can_publish_sources, after.can_publish_data) == (True, ("camera",), True)
    assert (after.can_subscribe, after.can_update_own_metadata) == (False, False)


async def test_a_new_token_fits_into_the_request_that_brings_it(server: Server) -> None:
    client = await server.join(metadata="short")
    await client.first("refresh_token")

    await client.send(update_metadata=UpdateParticipantMetadata(name="Countess", metadata="x" * 50_000))
    fresh = await client.until("refresh_token")

    assert len(fresh) < 8_000
    assert (KEYS.read(fresh).name, KEYS.read(fresh).metadata) == ("Countess", "short")


async def test_malformed_messages_are_told_and_twenty_in_a_row_are_the_end(server: Server) -> None:
    client, other = await server.join(), await server.join("bob")
    for _ in range(MAX_BAD_MESSAGES - 1):
        await client.ws.send_bytes(b"\xff\xff")
    await client.send(ping=1)
    await client.until("pong")
    assert client.count("request_response") == MAX_BAD_MESSAGES - 1

    for _ in range(MAX_BAD_MESSAGES):
        await client.ws.send_str("[]")

    assert await client.closed() == 1008
    assert client.ws.closed
    await other.send(ping=1)
    await other.until("pong")


async def test_bad_messages_between_good_ones_are_the_end_when_their_address_has_sent_too_many() -> None:
    async with serving(bad_messages=BadMessageBudget(3)) as server:
        client = await server.join()
        for _ in range(4):
            await client.ws.send_str("[]")
            await client.send(ping=1)

        assert await client.closed() == 1008


async def test_a_long_message_counts_as_many(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_socket, "monotonic", lambda: 9.0)
    client = await server.join()
    long = SignalRequest(update_metadata=UpdateParticipantMetadata(metadata="x" * 200_000)).SerializeToString()
    for _ in range(int(BURST * 1024) // len(long)):
        await client.ws.send_bytes(long)
    await client.send(ping_req=Ping(timestamp=1))
    await client.until("pong_resp")
    await client.ws.send_bytes(long)
    refused = await client.until("request_response")

    assert refused.reason == RequestResponse.LIMIT_EXCEEDED


async def test_compressed_frames_are_refused(server: Server) -> None:
    query = {"join_request": join_request(), "access_token": token()}
    offer = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    client = await server.http.ws_connect("/rtc/v1", params=query, headers=offer)
    assert client.compress == 0
    await client._writer.send_frame(b"{}" * 100, 1, compress=15)
    async with asyncio.timeout(10):
        while (await client.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED):
            pass
    assert client.close_code == 1002


async def test_a_flood_is_refused_and_harms_nobody_else(server: Server) -> None:
    client, other = await server.join(), await server.join("bob")

    for _ in range(int(BURST) + 200):
        await client.send(ping_req=Ping(timestamp=1))
    refused = await client.until("request_response")

    assert refused.reason == RequestResponse.LIMIT_EXCEEDED
    await other.send(ping=1)
    await other.until("pong")


async def test_a_flood_that_does_not_end_is_the_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_socket, "MAX_REFUSED", 50)
    client = await server.join()

    for _ in range(int(BURST) + 300):
        await client.send(ping_req=Ping(timestamp=1))

    assert await client.closed() == 1008
    assert client.seen[-1].leave.reason == DisconnectReason.PARTICIPANT_REMOVED


async def test_a_hundred_tracks_are_too_many(server: Server) -> None:
    client = await server.join()

    for number in range(100):
        await client.send(add_track=AddTrackRequest(cid=str(number), source="MICROPHONE"))
    await client.send(ping=1)
    await client.until("pong")

    refused = [each.request_response for each in client.seen if each.HasField("request_response")]
    assert client.count("track_published") + len(refused) == 100
    assert {each.reason for each in refused} == {RequestResponse.LIMIT_EXCEEDED}


async def test_an_offer_without_a_common_codec_costs_that_track_alone(server: Server) -> None:
    client = await server.join()
    await client.publish("mic", "3")
    await client.send(add_track=AddTrackRequest(cid="v", type="VIDEO", source="CAMERA"))
    sid = (await client.until("track_published")).track.sid

    await client.send(
        offer=SessionDescription(
            sdp=offer(*receiving("0"), sending("3", "mic"), sending("4", "v", "video", refused=True)), id=9
        )
    )

    assert (await client.until("track_unpublished")).track_sid == sid
    assert client.link.listening == {"3"}


async def test_a_bad_connection_is_told(server: Server) -> None:
    client = await server.join()
    sid = joined(client).participant.sid

    client.link.loss = 0.2
    expected = await client.until("connection_quality", lambda expected: expected.updates[0].quality == 0)
    assert [each.participant_sid for each in expected.updates] == [sid]

    client.link.loss = 0.0
    expected = await client.until("connection_quality", lambda expected: expected.updates[0].quality == 2)
    assert expected.updates[0].score == 5.0


async def test_who_comes_or_comes_back_is_told_how_everybody_is_connected(server: Server) -> None:
    ada = await server.join("ada")
    await ada.first("connection_quality")

    bob = await server.join("bob")
    expected = await bob.first("connection_quality")
    await bob.ws.close()
    back = await server.resume(bob, identity="bob", owner="u-bob")
    again = await back.until("connection_quality")

    sids = {joined(each).participant.sid for each in (ada, bob)}
    assert (
        {each.participant_sid for each in expected.updates} == {each.participant_sid for each in again.updates} == sids
    )


async def test_who_comes_back_is_told_who_speaks_and_who_does_not_any_more(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speakers, "HOLD", 3_600)
    ada, bob = await server.join("ada"), await server.join("bob")
    track = await ada.publish(mid="3")
    ada.link.events.on_audio("3", AudioChunk(bytes([77]) * 1_920, 48_000, 0.0))
    sid = joined(ada).participant.sid
    await bob.until("speakers_changed", lambda expected: expected.speakers[0].active)
    eve = await server.join("eve")
    expected = {each.sid: each.active for each in (await eve.first("speakers_changed")).speakers}
    assert expected[sid]

    await bob.ws.close()
    await ada.send(mute=MuteTrackRequest(sid=track, muted=True))
    await eve.until(
        "speakers_changed", lambda expected: any(each.sid == sid and not each.active for each in expected.speakers)
    )
    back = await server.resume(bob, identity="bob", owner="u-bob")

    expected = {each.sid: each.active for each in (await back.until("speakers_changed")).speakers}
    assert expected[sid] is False


# Leaving.


async def test_who_says_goodbye_is_gone_and_the_conversation_waits(server: Server) -> None:
    client = await server.join()

    await client.send(leave=LeaveRequest())

    assert await client.closed() == 1000
    assert server.conversation.graces == [QUICK.grace]
    assert client.link.is_closed


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (EndReason.IDLE, DisconnectReason.ROOM_CLOSED),
        (EndReason.SHUTDOWN, DisconnectReason.SERVER_SHUTDOWN),
        (EndReason.ERROR, DisconnectReason.AGENT_ERROR),
    ],
)
async def test_the_end_of_the_conversation_is_told(server: Server, reason: EndReason, expected: int) -> None:
    client = await server.join()

    server.conversation.end(reason)

    leave = await client.until("leave")
    assert (leave.action, leave.reason) == (LeaveRequest.DISCONNECT, expected)
    assert await client.closed() == 1000


async def test_after_the_end_a_new_conversation_begins_in_the_room(server: Server) -> None:
    client = await server.join()
    server.conversation.end(EndReason.IDLE)
    await client.closed()

    await server.join()

    assert len(server.session_factory.conversations) == 2


async def test_a_server_that_stops_says_so(server: Server) -> None:
    client = await server.join()

    await server.livekit.close()

    leave = await client.until("leave")
    assert (leave.action, leave.reason) == (LeaveRequest.DISCONNECT, DisconnectReason.SERVER_SHUTDOWN)


async def test_the_same_identity_again_takes_the_place_of_the_first(server: Server) -> None:
    first = await server.join()

    second = await server.join()

    leave = await first.until("leave")
    assert (leave.action, leave.reason) == (LeaveRequest.DISCONNECT, DisconnectReason.DUPLICATE_IDENTITY)
    assert joined(first).participant.sid != joined(second).participant.sid
    assert len(server.session_factory.conversations) == 1


async def test_a_connection_that_fails_is_made_anew(server: Server) -> None:
    client = await server.join()

    client.link.become(LinkState.FAILED)

    leave = await client.until("leave")
    assert (leave.action, leave.reason) == (LeaveRequest.RECONNECT, DisconnectReason.CONNECTION_TIMEOUT)


async def test_who_hangs_up_and_says_nothing_is_told_to_come_back(server: Server) -> None:
    client = await server.join()

    client.link.become(LinkState.CLOSED)

    assert (await client.until("leave")).action == LeaveRequest.RECONNECT


@pytest.mark.parametrize(
    ("scenario", "action"),
    [
        ({"leave_request_full_reconnect": True}, LeaveRequest.RECONNECT),
        ({"migration": True}, LeaveRequest.RESUME),
        ({"server_leave": True}, LeaveRequest.DISCONNECT),
    ],
)
async def test_clients_can_have_themselves_told_to_leave(server: Server, scenario: dict[str, Any], action: int) -> None:
    client = await server.join()

    await client.send(simulate=SimulateScenario(**scenario))

    assert (await client.until("leave")).action == action


# Coming back.


@pytest.mark.parametrize("dual", [False, True])
async def test_a_lost_socket_is_replaced_and_nothing_else(server: Server, dual: bool) -> None:
    client = await server.join(dual=dual)
    await client.ws.close()

    back = await server.resume(client, dual=dual)
    first = await back.next()
    update = await back.until("update")

    assert first.HasField("reconnect")
    assert first.reconnect.server_info.version == "1.9.0"
    assert [info.identity for info in update.participants] == ["ada", "assistant"]
    assert len(server.links) == 1
    assert not client.link.is_closed
    assert server.conversation.graces == []
    if dual:
        assert (await back.until("offer")).id == 2


async def test_a_socket_that_was_not_noticed_to_be_lost_is_closed(server: Server) -> None:
    client = await server.join()

    back = await server.resume(client)
    await back.until("reconnect")

    assert await client.closed() == 1000
    await back.send(ping=1)
    await back.until("pong")


async def test_who_does_not_come_back_is_gone_after_a_while(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")

    await ada.ws.close()

    gone = await bob.about("ada", lambda info: info.state == ParticipantInfo.DISCONNECTED)
    assert gone.disconnect_reason == DisconnectReason.SIGNAL_CLOSE
    assert server.conversation.graces == [QUICK.grace]


async def test_without_a_socket_a_connection_that_fails_is_the_end(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    await ada.ws.close()

    ada.link.become(LinkState.FAILED)

    await bob.about("ada", lambda info: info.state == ParticipantInfo.DISCONNECTED)


@pytest.mark.parametrize("how", ["unknown", "failed", "another identity", "another owner"])
async def test_what_cannot_be_resumed_is_made_anew(server: Server, how: str) -> None:
    client = await server.join()
    identity, owner = "ada", "u-ada"
    match how:
        case "unknown":
            joined(client).participant.sid = "PA_unknown"
        case "failed":
            await client.ws.close()
            client.link.state = LinkState.FAILED
        case "another owner":
            owner = "u-eve"  # may call herself what she likes, but a token of Ada's is not hers
        case _:
            identity = "eve"

    back = await server.resume(client, identity=identity, owner=owner)

    leave = (await back.next()).leave
    assert (leave.action, leave.reason) == (LeaveRequest.RECONNECT, DisconnectReason.STATE_MISMATCH)
    assert await back.closed() == 1000


async def test_packets_that_were_missed_are_sent_again(server: Server) -> None:
    client = await server.join()
    sent = [packet for packet in client.link.packets() if packet.sequence]
    assert [packet.sequence for packet in sent] == list(range(1, len(sent) + 1))
    client.link.say(DataPacket(user={"payload": b"x"}, sequence=4))
    await client.ws.close()

    back = await server.resume(client)
    assert (await back.until("reconnect")).last_message_seq == 4
    states = [{"publisher_sid": sent[0].participant_sid, "last_seq": 1}]
    await back.send(sync_state=SyncState(datachannel_receive_states=states))
    await back.send(ping=1)
    await back.until("pong")

    assert [packet.sequence for packet in client.link.packets()][: len(sent) - 1] == list(range(2, len(sent) + 1))


async def test_a_conversation_outlives_a_full_reconnect(server: Server) -> None:
    first = await server.join()
    await first.send(leave=LeaveRequest())
    await first.closed()

    second = await server.join()
    second.link.say(DataPacket(chat_message={"message": "still there?"}))

    assert len(server.session_factory.conversations) == 1
    assert server.conversation.commands == [TextInput("still there?")]


async def test_a_client_that_falls_silent_counts_as_lost() -> None:
    async with serving(limits=type(QUICK)(silence=0.05, resume=0.05, tick=0.02, flush=0.2)) as server:
        client = await server.join(connect=False)

        assert await client.closed() == 1001
        await server.until(lambda: client.link.is_closed)


async def test_a_room_is_forgotten_when_nobody_comes_back(server: Server) -> None:
    client = await server.join()
    room = server.livekit.rooms.find("r")
    assert room is not None
    room.room.departure_timeout = 0

    await client.send(leave=LeaveRequest())
    await client.closed()
    server.conversation.is_ending = True

    await server.until(lambda: len(server.livekit.rooms) == 0)
