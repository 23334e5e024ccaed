"""Joins whose media never connects."""

from dataclasses import replace

import pytest
from aiohttp import WSServerHandshakeError
from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import LeaveRequest

from mediaserver.half_open import MAX_PER_ADDRESS, RETRY_AFTER, HalfOpenConnections
from mediaserver.livekit.media.types import LinkState
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.rtc.config import RtcLimits
from tests.support.livekit_harness import QUICK, serving


def test_every_connection_has_as_long_as_refused_clients_are_told_to_wait() -> None:
    assert RoomLimits().connect == RtcLimits().connect == RETRY_AFTER


@pytest.mark.parametrize(("is_used", "grace"), [(False, 0.0), (True, QUICK.grace)])
async def test_who_does_not_connect_in_time_leaves_and_keeps_no_session_of_its_own(is_used: bool, grace: float) -> None:
    half_open = HalfOpenConnections()
    async with serving(replace(QUICK, connect=0.1), half_open=half_open) as server:
        client = await server.join(connect=False)
        server.conversation.is_used = is_used
        assert len(half_open) == 1

        leave = await client.until("leave")

        assert (leave.reason, leave.action) == (DisconnectReason.CONNECTION_TIMEOUT, LeaveRequest.RECONNECT)
        assert server.conversation.graces == [grace]
        assert len(half_open) == 0


async def test_who_has_connected_is_half_open_no_more() -> None:
    half_open = HalfOpenConnections()
    async with serving(replace(QUICK, connect=0.1), half_open=half_open) as server:
        client = await server.join()
        assert len(half_open) == 0

        late = await server.join("bob", connect=False)
        await late.until("leave")

        assert client.link.state is LinkState.CONNECTED
        assert not client.ws.closed


async def test_the_newest_join_of_a_user_takes_the_place_of_the_oldest() -> None:
    half_open = HalfOpenConnections()
    async with serving(half_open=half_open) as server:
        clients = [
            await server.join(f"ada{number}", f"r{number}", owner="u-ada", connect=False)
            for number in range(MAX_PER_ADDRESS + 2)
        ]
        assert len(half_open) == MAX_PER_ADDRESS
        for client in clients[:2]:
            assert (await client.until("leave")).action == LeaveRequest.DISCONNECT

        with pytest.raises(WSServerHandshakeError) as refused:
            await server.join("bob", "r")
        assert refused.value.status == 429
        assert refused.value.headers is not None
        assert refused.value.headers["Retry-After"] == str(RETRY_AFTER)


async def test_a_join_that_is_refused_counts_no_more() -> None:
    half_open = HalfOpenConnections()
    async with serving(half_open=half_open) as server:
        server.session_factory.refusal = RuntimeError("a bug")
        with pytest.raises(WSServerHandshakeError):
            await server.join()
        assert len(half_open) == 0
