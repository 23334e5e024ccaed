"""Several people in one room: each is sent what the others publish, as it is."""

import pytest
from livekit.protocol.models import DataPacket, ParticipantInfo, UserPacket
from livekit.protocol.rtc import (
    LeaveRequest,
    MuteTrackRequest,
    SessionDescription,
    SubscriptionPermission,
    SyncState,
    UpdateSubscription,
)

from mediaserver.livekit.media.types import LOSSY
from pipeline.events import EndReason, State, StateChanged
from tests.support.livekit_harness import Server, events, joined, offer, receiving, sending


async def test_what_one_publishes_the_other_is_sent_once_it_offers_a_section(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")

    sid = await ada.publish(mid="3")

    assert server.links[1].sources == {sid: (ada.link, "3")}
    assert bob.link.outgoing[sid].stream == f"{joined(ada).participant.sid}|{sid}"
    required = await bob.until("media_sections_requirement")
    assert (required.num_audios, required.num_videos) == (0, 0)  # one of those offered is free
    answer = await bob.offer(offer(*receiving("0", "1")))
    assert answer.mid_to_track_id["1"] == sid


async def test_who_has_too_few_sections_is_asked_once_for_more(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob", offered=offer(*receiving("0")))
    sid = await ada.publish(mid="3")
    required = await bob.until("media_sections_requirement")
    assert (required.num_audios, required.num_videos) == (1, 0)

    await bob.offer(offer(*receiving("0")))
    await bob.send(ping=1)
    await bob.until("pong")
    assert bob.count("media_sections_requirement") == 1

    answer = await bob.offer(offer(*receiving("0", "7")))
    assert answer.mid_to_track_id["7"] == sid


async def test_who_comes_later_is_sent_what_is_published_already(server: Server) -> None:
    ada = await server.join("ada")
    sid = await ada.publish(mid="3")

    bob = await server.join("bob")

    others = {info.identity: info for info in joined(bob).other_participants}
    assert [track.sid for track in others["ada"].tracks] == [sid]
    assert sid in bob.seen[-1].answer.mid_to_track_id.values() or sid in bob.link.outgoing


async def test_with_two_connections_the_server_offers_again_one_offer_at_a_time(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob", dual=True)
    first = next(each.offer for each in bob.seen if each.HasField("offer"))
    mic = await ada.publish("mic", "3")
    screen = await ada.publish("screen", "4", video=True)

    await bob.send(answer=SessionDescription(type="answer", sdp="theirs", id=first.id))
    second = await bob.until("offer")

    assert second.id == first.id + 1
    assert screen in second.mid_to_track_id.values()
    assert mic not in bob.link.outgoing  # the second offer of `publish` has no section for it any more


async def test_a_camera_is_sent_on_though_the_assistant_does_not_look(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")

    sid = await ada.publish("cam", "5", video=True, source="CAMERA")
    await bob.until("media_sections_requirement")
    await bob.offer(offer(*receiving("0"), *receiving("2", kind="video")))

    assert (await ada.until("track_subscribed")).track_sid == sid
    assert ada.link.listening == set()


async def test_who_leaves_is_sent_on_no_more(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    sid = await ada.publish()
    assert sid in bob.link.outgoing

    await ada.send(leave=LeaveRequest())
    await ada.closed()

    assert sid not in bob.link.outgoing
    await bob.about("ada", lambda info: info.state == ParticipantInfo.DISCONNECTED)


async def test_what_is_unpublished_or_not_wanted_is_sent_on_no_more(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    sid = await ada.publish(mid="3")

    await bob.send(subscription=UpdateSubscription(track_sids=[sid], subscribe=False))
    await server.until(lambda: sid not in bob.link.outgoing)
    await bob.send(sync_state=SyncState(subscription=UpdateSubscription(track_sids=[sid], subscribe=True)))
    await server.until(lambda: sid in bob.link.outgoing)

    await ada.offer(offer(*receiving("0"), sending("3", "mic", sends=False)))
    assert sid not in bob.link.outgoing


async def test_who_is_muted_is_not_sent_on_whatever_comes_until_that_ends(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    sid = await ada.publish()
    room = server.livekit.rooms.find("r")
    assert room is not None

    room.room.mute(room.room.participants[0], sid, is_muted=True, by_server=True)
    room.reconcile()
    assert sid in bob.link.paused
    await ada.send(mute=MuteTrackRequest(sid=sid, muted=False))

    await server.until(lambda: sid not in bob.link.paused)
    assert sid in bob.link.outgoing


async def test_somebody_who_comes_later_is_not_sent_what_is_muted(server: Server) -> None:
    ada = await server.join("ada")
    sid = await ada.publish(muted=True)

    bob = await server.join("bob")

    assert sid in bob.link.paused


async def test_a_flood_of_data_does_not_drive_others_out(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    ada.link.packets()
    bob.link.takes_data_of_others = False

    ada.link.say(DataPacket(user=UserPacket(payload=b"x" * 50_000, topic="t"), sequence=1))
    server.conversation.emit(StateChanged(State.THINKING))

    assert [event["code"] for event in events(ada.link.packets()) if event["action"] == "error"] == ["RATE_LIMITED"]
    await bob.send(ping=1)
    await bob.until("pong")
    assert not bob.link.is_closed


async def test_a_publisher_may_keep_others_out(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    sid = await ada.publish()

    await ada.send(subscription_permission=SubscriptionPermission(all_participants=False))

    permission = await bob.until("subscription_permission_update")
    assert (permission.track_sid, permission.allowed) == (sid, False)
    await server.until(lambda: sid not in bob.link.outgoing)


@pytest.mark.parametrize("label", ["_reliable", LOSSY])
async def test_data_goes_on_in_its_senders_name(server: Server, label: str) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    bob.link.packets()

    ada.link.say(DataPacket(user=UserPacket(payload=b"x", topic="t"), participant_identity="eve", sequence=1), label)

    assert bob.link.sent[0][0] == label
    (packet,) = bob.link.packets()
    assert (packet.participant_identity, packet.participant_sid) == ("ada", joined(ada).participant.sid)
    assert packet.user.payload == b"x"
    assert packet.kind == (DataPacket.LOSSY if label == LOSSY else DataPacket.RELIABLE)


async def test_data_for_one_goes_to_no_other_and_not_to_the_assistant(server: Server) -> None:
    ada, bob, eve = await server.join("ada"), await server.join("bob"), await server.join("eve")
    for each in (bob, eve):
        each.link.packets()

    ada.link.say(DataPacket(chat_message={"message": "psst"}, destination_identities=["bob"]))

    assert len(bob.link.packets()) == 1
    assert eve.link.packets() == []
    assert server.conversation.questions == []


async def test_rooms_know_nothing_of_one_another(server: Server) -> None:
    ada, bob = await server.join("ada", room="r"), await server.join("bob", room="q")
    bob.link.packets()
    await ada.publish()

    ada.link.say(DataPacket(chat_message={"message": "hello"}))

    assert bob.link.packets() == []
    assert len(bob.link.outgoing) == 1
    assert server.session_factory.owners == ["u-ada", "u-bob"]


async def test_the_conversation_goes_on_when_who_began_it_leaves(server: Server) -> None:
    ada, bob = await server.join("ada"), await server.join("bob")
    await ada.send(leave=LeaveRequest())
    await ada.closed()

    bob.link.say(DataPacket(chat_message={"message": "still there?"}))
    eve = await server.join("eve")

    assert server.session_factory.owners == ["u-ada"]
    assert server.conversation.questions == ["still there?"]
    server.conversation.end(EndReason.IDLE)
    for each in (bob, eve):
        await each.until("leave")
