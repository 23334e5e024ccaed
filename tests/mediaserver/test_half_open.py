"""Half-open connections: few per address, and a user's newest one wins."""

import pytest

from mediaserver.caller import Caller
from mediaserver.half_open import HalfOpenConnection, HalfOpenConnections, TooManyConnections, TooManyHalfOpen
from pipeline.config import ConversationConfig
from tests.support.fake_conversation import FakeConversation

ADA, BOB = Caller("ada", is_guest=False, address="192.0.2.1"), Caller("bob", is_guest=False, address="192.0.2.1")


def conversation(session: str, *, is_used: bool = False) -> FakeConversation:
    made = FakeConversation(ConversationConfig(session, session, "local", "local", None, "en", 600.0, 3600.0))
    made.is_used = is_used
    return made


async def opened(
    connections: HalfOpenConnections, caller: Caller, session: str, closed: list[str], *, is_used: bool = False
) -> HalfOpenConnection:
    """Admit a connection that notes its close."""
    entry = await connections.admit(caller)

    async def close() -> None:
        closed.append(session)

    entry.open(conversation(session, is_used=is_used), close)
    return entry


async def test_an_address_has_few_and_others_have_their_own() -> None:
    connections, closed = HalfOpenConnections(per_address=2), list[str]()
    await opened(connections, BOB, "b1", closed)
    first = await opened(connections, BOB, "b2", closed)
    with pytest.raises(TooManyHalfOpen):
        await connections.admit(ADA)
    await connections.admit(Caller("ada", is_guest=False, address="192.0.2.2"))
    first.release()
    first.release()
    await connections.admit(ADA)
    assert (len(connections), closed) == (3, [])


async def test_the_newest_of_a_user_closes_that_users_oldest() -> None:
    connections, closed = HalfOpenConnections(per_address=3), list[str]()
    await opened(connections, BOB, "b1", closed)
    for session in ("a1", "a2", "a3", "a4"):
        await opened(connections, ADA, session, closed)
    assert closed == ["a1", "a2"]
    assert len(connections) == 3


async def test_a_thousand_abandoned_offers_leave_as_many_as_one_address_may_have() -> None:
    connections, closed = HalfOpenConnections(), list[str]()
    for number in range(1000):
        await opened(connections, ADA, str(number), closed)
    assert (len(connections), len(closed)) == (8, 992)


async def test_only_an_unused_conversation_gives_its_session_away() -> None:
    connections, closed = HalfOpenConnections(), list[str]()
    await opened(connections, ADA, "talked", closed, is_used=True)
    await opened(connections, BOB, "other", closed)
    await opened(connections, ADA, "abandoned", closed)
    assert await connections.close_unused("ada") == "abandoned"
    assert await connections.close_unused("ada") is None
    assert closed == ["abandoned"]


async def test_established_connections_of_a_caller_are_bounded_until_they_are_closed() -> None:
    connections = HalfOpenConnections(max_established=2)
    entries = [await connections.admit(ADA) for _ in range(3)]
    entries[2].release()
    for entry in entries:
        entry.establish()
    assert len(connections) == 0
    with pytest.raises(TooManyConnections):
        await connections.admit(ADA)
    await connections.admit(BOB)
    await connections.admit(Caller("ada", is_guest=False, address="192.0.2.2"))
    entries[0].release()
    await connections.admit(ADA)


async def test_established_connections_of_the_guests_of_one_network_count_together() -> None:
    connections = HalfOpenConnections(max_established=2)
    for number in range(2):
        (await connections.admit(Caller(f"guest-{number}", is_guest=True, address=f"2001:db8::{number}"))).establish()
    with pytest.raises(TooManyConnections):
        await connections.admit(Caller("guest-3", is_guest=True, address="2001:db8::3"))
    await connections.admit(Caller("guest-4", is_guest=True, address="2001:db8:1::4"))


async def test_one_that_is_not_made_yet_cannot_be_closed() -> None:
    connections = HalfOpenConnections(per_address=1)
    await connections.admit(ADA)
    with pytest.raises(TooManyHalfOpen):
        await connections.admit(ADA)
