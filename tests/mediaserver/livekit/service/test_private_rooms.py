"""Rooms that are their first user's: knowing a room's name lets nobody listen in."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from livekit import api
from livekit.protocol.models import ClientInfo, DataPacket

from mediaserver.caller import Caller
from mediaserver.livekit.protocol.access_token import AccessTokenClaims
from mediaserver.livekit.protocol.join_request import Join
from mediaserver.livekit.service.live_room import RoomNotOwned
from pipeline.events import EndReason
from tests.support.livekit_harness import SECRET, Server, serving, token


@pytest.fixture
async def server(nothing_is_left: None) -> AsyncIterator[Server]:
    async with serving(are_rooms_shared=False) as server:
        yield server


async def refused(server: Server, access: str) -> bool:
    """Whether both the socket and what a browser asks after it say so."""
    answer = await server.http.get("/rtc/v1/validate", params={"access_token": access})
    text = await answer.text()
    return answer.status == 403 and "another user's" in text


async def test_another_user_does_not_come_in_by_the_rooms_name(server: Server) -> None:
    await server.join("ada", owner="u-ada")

    with pytest.raises(Exception, match="403"):
        await server.join("eve", owner="u-eve")
    assert await refused(server, token("eve", owner="u-eve"))
    assert len(server.conversation.peers) == 1


async def test_whom_its_user_has_asked_a_token_for_comes_in(server: Server) -> None:
    await server.join("ada", owner="u-ada")

    await server.join("bob", owner="u-ada")

    assert not await refused(server, token("bob", owner="u-ada"))
    assert list(server.conversation.peers.values()) == ["Ada", "Bob"]


async def test_whoever_signs_tokens_says_who_comes_in(server: Server) -> None:
    await server.join("ada", owner="u-ada")

    await server.join("bob", owner=None)
    await server.join("carol", owner=None)

    assert len(server.conversation.peers) == 3


async def test_a_room_of_those_whom_another_server_lets_in_is_no_users(server: Server) -> None:
    await server.join("ada", owner=None)

    with pytest.raises(Exception, match="403"):
        await server.join("eve", owner="u-eve")


async def test_a_room_that_was_made_for_all_takes_all(server: Server) -> None:
    address = str(server.http.make_url("")).rstrip("/")
    async with api.LiveKitAPI(address, "devkey", SECRET) as library:
        await library.room.create_room(api.CreateRoomRequest(name="r"))

    await server.join("ada", owner="u-ada")
    await server.join("bob", owner="u-bob")

    assert len(server.conversation.peers) == 2


async def test_after_the_end_of_its_conversation_a_room_is_anybodys(server: Server) -> None:
    ada = await server.join("ada", owner="u-ada")
    server.conversation.end(EndReason.IDLE)
    await ada.closed()

    assert not await refused(server, token("bob", owner="u-bob"))
    bob = await server.join("bob", owner="u-bob")
    bob.link.say(DataPacket(chat_message={"message": "hello"}))

    assert server.session_factory.owners == ["u-ada", "u-bob"]
    assert server.conversation.questions == ["hello"]


async def test_two_users_who_come_at_once_do_not_share_a_conversation(server: Server) -> None:
    server.session_factory.delay = 0.05
    room = await server.livekit.rooms.get_or_create("r")
    join = Join(is_dual=False, client=ClientInfo())

    hosts = await asyncio.gather(
        *(
            room.prepare(AccessTokenClaims(name, name, "devkey", 0.0), join, Caller(name, is_guest=False))
            for name in ("ada", "bob")
        ),
        return_exceptions=True,
    )

    assert hosts[0] is server.conversation
    assert isinstance(hosts[1], RoomNotOwned)
