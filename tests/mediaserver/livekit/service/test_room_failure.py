"""What breaks: a bug in a room, a client that does not read, a socket that is torn."""

import asyncio

import pytest
from livekit.protocol.models import ClientInfo, DisconnectReason
from livekit.protocol.rtc import LeaveRequest, SignalResponse

from mediaserver.caller import Caller
from mediaserver.half_open import HalfOpenConnections
from mediaserver.livekit.protocol.access_token import AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.service import signal_socket
from mediaserver.livekit.service.live_room import RoomClosed, RoomRuntime
from mediaserver.session_factory import SessionOptions
from pipeline.events import EndReason, State, StateChanged
from tests.support.livekit_harness import QUICK, Client, FakeConversation, Server, join_request, joined, token


def room_of(server: Server, name: str = "r") -> RoomRuntime:
    room = server.livekit.rooms.find(name)
    assert room is not None
    return room


def goodbyes(client: Client) -> int:
    return sum(b"session_ended" in packet.user.payload for packet in client.link.packets())


async def test_a_bug_in_a_room_sends_its_clients_to_a_new_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    client, other = await server.join("ada", room="r"), await server.join("bob", room="q")

    monkeypatch.setattr(room_of(server)._speakers, "changes", None)
    leave = await client.until("leave")

    assert leave.action == LeaveRequest.RECONNECT
    await client.closed()
    await server.until(lambda: client.link.is_closed)
    assert server.session_factory.conversations[0].graces == [QUICK.grace]
    await other.send(ping=1)
    await other.until("pong")
    again = await server.join("ada", room="r")
    assert joined(again).room.sid != joined(client).room.sid


@pytest.mark.parametrize(("bound", "most"), [("MAX_QUEUED", 50), ("MAX_QUEUED_BYTES", 100)])
async def test_a_client_that_does_not_read_is_left(
    server: Server, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    client = await server.join()
    monkeypatch.setattr(signal_socket, bound, most)
    session = room_of(server).session(joined(client).participant.sid)
    assert session is not None

    for _ in range(60):  # faster than anybody could read
        session.post(SignalResponse(pong=1))

    assert await client.closed() == 1008


async def test_a_socket_that_is_torn_is_lost_and_not_the_session(server: Server) -> None:
    client = await server.join()
    transport = client.ws._response.connection.transport  # type: ignore[union-attr]
    assert transport is not None
    transport.abort()

    back = await server.resume(client)

    assert (await back.next()).HasField("reconnect")


async def test_a_room_that_was_closed_lets_nobody_in(server: Server) -> None:
    room = await server.livekit.rooms.get_or_create("r")
    assert server.livekit.rooms.delete("r")
    assert not server.livekit.rooms.delete("r")

    half_open = await HalfOpenConnections().admit(Caller("u", is_guest=False))
    with pytest.raises(RoomClosed):
        room.admit(AccessTokenClaims("ada", "u", "devkey", 0.0), Join(is_dual=False, client=ClientInfo()), half_open)


async def test_a_room_that_is_ending_is_none_any_more(server: Server) -> None:
    rooms = server.livekit.rooms
    room = await rooms.get_or_create("r")

    room.close(DisconnectReason.ROOM_CLOSED)

    assert rooms.find("r") is None
    assert rooms.all == ()
    assert not rooms.delete("r")
    assert await rooms.get_or_create("r") is not room


async def test_two_who_come_first_at_once_share_a_conversation(server: Server) -> None:
    room = await server.livekit.rooms.get_or_create("r")
    join = Join(is_dual=False, client=ClientInfo())

    hosts = await asyncio.gather(
        *(
            room.prepare(AccessTokenClaims(name, name, "devkey", 0.0), join, Caller(name, is_guest=False))
            for name in ("ada", "bob")
        )
    )

    assert hosts == [server.conversation, server.conversation]


async def test_a_room_does_not_end_while_somebody_is_about_to_come_in(server: Server) -> None:
    room = await server.livekit.rooms.get_or_create("r")
    room.room.empty_timeout = 0
    room.configure(metadata="", max_participants=0, empty_timeout=0, departure_timeout=0)
    server.session_factory.delay = 5 * QUICK.tick

    claims, join = AccessTokenClaims("ada", "ada", "devkey", 0.0), Join(is_dual=False, client=ClientInfo())
    host = await room.prepare(claims, join, Caller("ada", is_guest=False))

    assert not room.is_closed
    assert host is server.conversation


async def test_who_was_about_to_enter_a_room_that_is_deleted_comes_again(server: Server) -> None:
    server.session_factory.delay = 0.1
    joining = asyncio.create_task(server.open("/rtc/v1", {"join_request": join_request()}, token()))
    await server.until(lambda: len(server.livekit.rooms))
    server.livekit.rooms.delete("r")

    leave = await (await joining).until("leave")

    assert leave.action == LeaveRequest.RECONNECT


async def test_who_was_about_to_enter_a_conversation_that_ends_comes_again(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = FakeConversation("over", SessionOptions(label="r"))
    over.is_ending = True

    async def enter(caller: Caller, options: SessionOptions) -> FakeConversation:
        return over

    monkeypatch.setattr(server.session_factory, "get_or_create", enter)
    client = await server.open("/rtc/v1", {"join_request": join_request()}, token())

    assert (await client.next()).leave.action == LeaveRequest.RECONNECT
    assert over.peers == {}


async def test_the_goodbye_is_said_once_whoever_says_it(server: Server) -> None:
    ada, bob = await server.join("ada", room="r"), await server.join("bob", room="q")

    (peer,) = server.session_factory.conversations[0].peers
    peer.disconnect(EndReason.IDLE)
    peer.send_event(StateChanged(State.THINKING))
    server.session_factory.conversations[1].end(EndReason.IDLE)

    assert (goodbyes(ada), goodbyes(bob)) == (1, 1)
    await ada.until("leave")
    await bob.until("leave")
