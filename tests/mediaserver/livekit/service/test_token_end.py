"""LiveKit tokens end with what they came from: the token itself, the login, the user."""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError
from livekit.protocol.models import DisconnectReason

from mediaserver.livekit.protocol.access_token import ABSOLUTE_LIFETIME, ApiKeys
from tests.support.livekit_harness import QUICK, SECRET, Client, Server, serving, token

KEYS = ApiKeys({"devkey": SECRET})
CLAIMS: dict[str, Any] = {"user_login": "login-1", "user_token": "token-1"}
ORIGINS = ["u-ada", "login-1", "u-ada/token-1"]
PATHS = ["/rtc", "/rtc/v1"]


@pytest.fixture
async def server(nothing_is_left: None) -> AsyncIterator[Server]:
    async with serving(replace(QUICK, refresh=0.05)) as server:
        yield server


async def is_refused(server: Server, access: str) -> bool:
    """Whether a token is refused with 401; then a socket is too."""
    answer = await server.http.get("/rtc/v1/validate", params={"access_token": access})
    if answer.status == 200:
        return False
    with pytest.raises(WSServerHandshakeError, match="401"):
        await server.open("/rtc", {}, access)
    return answer.status == 401


async def is_disconnected(client: Client) -> bool:
    leave = await client.until("leave")
    await client.closed()
    return bool(leave.reason == DisconnectReason.PARTICIPANT_REMOVED)


@pytest.mark.parametrize("origin", ORIGINS)
async def test_what_is_revoked_comes_in_no_more_and_does_not_stay(server: Server, origin: str) -> None:
    client = await server.join(**CLAIMS)
    refreshed = await client.first("refresh_token")
    assert not await is_refused(server, refreshed)

    server.revoked.add(origin)

    assert await is_disconnected(client)
    assert await is_refused(server, refreshed)
    assert await is_refused(server, token(**CLAIMS))


@pytest.mark.parametrize("path", PATHS)
async def test_the_refusal_says_why(server: Server, path: str) -> None:
    server.revoked.add("u-ada")

    answer = await server.http.get(f"{path}/validate", params={"access_token": token()})

    assert answer.status == 401
    assert "taken back, or its user has logged out or was deleted" in await answer.text()


async def test_an_invitation_that_is_taken_back_leaves_the_owner_and_other_guests(server: Server) -> None:
    ada = await server.join(**(CLAIMS | {"user_token": "token-0"}))
    bob = await server.join("bob", owner="u-ada", **CLAIMS)
    carol = await server.join("carol", owner="u-ada", **(CLAIMS | {"user_token": "token-2"}))

    server.revoked.add("u-ada/token-1")

    assert await is_disconnected(bob)
    for client in (ada, carol):
        await client.until("refresh_token")
    assert await is_refused(server, token("bob", owner="u-ada", **CLAIMS))


async def test_an_id_that_another_user_revokes_has_no_effect(server: Server) -> None:
    client = await server.join(**CLAIMS)

    server.revoked.add("u-eve/token-1")

    await client.until("refresh_token")
    assert not await is_refused(server, token(**CLAIMS))


async def test_a_user_whose_account_is_gone_comes_in_no_more_and_does_not_stay(server: Server) -> None:
    client = await server.join()

    server.deleted.add("u-ada")

    assert await is_disconnected(client)
    assert await is_refused(server, token())
    with pytest.raises(WSServerHandshakeError, match="401"):
        await server.resume(client)


async def test_the_users_of_another_server_need_no_account(server: Server) -> None:
    server.deleted.add("livekit:ada")

    client = await server.join(owner=None)

    assert KEYS.read(await client.until("refresh_token")).is_external


async def test_after_its_absolute_lifetime_a_token_is_not_refreshed(server: Server) -> None:
    now = time.time()
    ended = await server.join("ada", refreshed_until=now - 1)
    ending = await server.join("bob", refreshed_until=now + 100)

    last = KEYS.read(await ending.first("refresh_token"))
    await ending.until("refresh_token")

    assert last.expires_at == last.until == int(now + 100)
    assert not any(response.WhichOneof("message") == "refresh_token" for response in ended.seen)


async def test_refreshes_do_not_move_the_end_of_a_token_of_another_server(server: Server) -> None:
    client = await server.join(owner=None)

    first = KEYS.read(await client.until("refresh_token"))
    second = KEYS.read(await client.until("refresh_token"))

    assert first.until == second.until
    assert abs(first.until - time.time() - ABSOLUTE_LIFETIME) < 60
