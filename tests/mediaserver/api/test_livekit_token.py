"""Tokens for LiveKit's clients."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from limits import parse
from livekit.api import TokenVerifier

from mediaserver.api.livekit_token import TOKEN_SECONDS, LiveKitTokens
from mediaserver.api.middleware import error_middleware
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.tokens import Tokens, new_guest
from mediaserver.auth.users import User
from mediaserver.http_route import add_routes
from mediaserver.livekit.protocol.access_token import USER_CLAIM, ApiKeys, GrantError, JoinTokenIssuer

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]

PATH = "/api/v1/livekit/token"
KEY, SECRET = "devkey", "a LiveKit secret of thirty-two bytes or more"
TOKENS = Tokens("a secret of thirty-two bytes or more")
ADA, GUEST = User("u-ada", "ada", is_guest=False), User("guest-1", "guest", is_guest=True)


def token_of(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS.issue(user)}"}


def app_with(issuer: JoinTokenIssuer | None) -> web.Application:
    async def revoke(ids: Collection[str]) -> None:
        TOKENS.revocations.add(ids)

    app = web.Application(middlewares=[error_middleware])
    add_routes(app, LiveKitTokens(TOKENS, SlidingWindowRateLimiter(parse("100/minute")), issuer, revoke).routes())
    return app


@pytest.fixture
async def client(aiohttp_client: MakeClient) -> Client:
    return await aiohttp_client(app_with(JoinTokenIssuer(KEY, SECRET)))


async def test_livekits_own_verifier_takes_the_token_with_all_that_was_asked(client: Client) -> None:
    asked = {
        "room_name": "kitchen",
        "participant_identity": "tablet",
        "participant_name": "Ada's tablet",
        "participant_metadata": '{"colour": "red"}',
        "participant_attributes": {"floor": "2"},
        "room_config": {"agents": []},
    }
    response = await client.post(PATH, json=asked, headers=token_of(ADA))
    body = await response.json()
    assert response.status == 200
    claims = TokenVerifier(KEY, SECRET).verify(body["participant_token"])
    assert (claims.identity, claims.name, claims.kind) == ("tablet", "Ada's tablet", "standard")
    assert (claims.metadata, claims.attributes) == ('{"colour": "red"}', {"floor": "2"})
    assert claims.video is not None
    assert (claims.video.room_join, claims.video.room) == (True, "kitchen")
    assert claims.video.can_publish
    assert claims.video.can_subscribe
    assert claims.video.can_publish_data
    assert claims.video.can_update_own_metadata
    assert body["token"] == body["participant_token"]
    assert (body["room"], body["identity"], body["expires_in"]) == ("kitchen", "tablet", TOKEN_SECONDS)


async def test_the_token_says_whose_it_is_whatever_the_identity(client: Client) -> None:
    response = await client.post(PATH, json={"identity": "u-bob"}, headers=token_of(ADA))
    claims = jwt.decode((await response.json())["token"], SECRET, algorithms=["HS256"], issuer=KEY)
    assert (claims["sub"], claims[USER_CLAIM]) == ("u-bob", "u-ada")
    assert claims["exp"] - claims["nbf"] == TOKEN_SECONDS


async def test_short_names_and_the_query_work_too(client: Client) -> None:
    for response in (
        await client.post(PATH, json={"room": "den", "identity": "pc", "name": "PC"}, headers=token_of(ADA)),
        await client.get(f"{PATH}?room=den&identity=pc&name=PC", headers=token_of(ADA)),
    ):
        body = await response.json()
        claims = TokenVerifier(KEY, SECRET).verify(body["token"])
        assert (body["room"], claims.identity, claims.name) == ("den", "pc", "PC")


@pytest.mark.parametrize(("user", "identity"), [(ADA, "ada"), (GUEST, "guest-1")])
async def test_unasked_a_user_gets_a_fresh_room_under_their_own_name(client: Client, user: User, identity: str) -> None:
    empty = {"room_name": "", "participant_identity": None, "participant_metadata": ""}
    bodies = [await (await client.post(PATH, json=empty, headers=token_of(user))).json() for _ in range(2)]
    assert bodies[0]["identity"] == identity
    assert bodies[0]["room"] != bodies[1]["room"]


async def test_the_address_is_the_one_the_client_has_reached(client: Client) -> None:
    plain = await client.get(PATH, headers={**token_of(ADA), "Host": "voice.example:8000"})
    secure = await client.get(PATH, headers={**token_of(ADA), "Host": "voice.example", "X-Forwarded-Proto": "https"})
    body = await plain.json()
    assert body["server_url"] == body["url"] == "ws://voice.example:8000"
    assert (await secure.json())["server_url"] == "wss://voice.example"


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"room": "r" * 129}, "room"),
        ({"room_name": "a\nb"}, "room_name"),
        ({"participant_identity": 7}, "participant_identity"),
        ({"participant_identity": "assistant"}, "participant_identity"),
        ({"identity": "assistant"}, "identity"),
        ({"participant_metadata": "m" * 2049}, "participant_metadata"),
        ({"participant_attributes": {"a": 1}}, "participant_attributes"),
        ({"participant_attributes": {str(n): "" for n in range(33)}}, "participant_attributes"),
        ({"participant_attributes": {str(n): "a" * 512 for n in range(16)}}, "participant_metadata"),
    ],
)
async def test_what_is_too_long_or_of_another_kind_is_422_and_named(
    client: Client, asked: dict[str, object], field: str
) -> None:
    response = await client.post(PATH, json=asked, headers=token_of(ADA))
    assert response.status == 422
    assert field in [fault["field"] for fault in (await response.json())["error"]["details"]["fields"]]


async def test_without_a_bearer_token_there_is_none_for_livekit(client: Client) -> None:
    assert (await client.post(PATH, json={})).status == 401
    assert (await client.get(PATH)).status == 401


async def test_each_token_carries_its_own_id_and_its_login(client: Client) -> None:
    user = replace(ADA, login="login-1")
    bodies = [await (await client.post(PATH, json={"room": "r"}, headers=token_of(user))).json() for _ in range(2)]
    grants = [ApiKeys({KEY: SECRET}).read(body["token"]) for body in bodies]
    assert [(grant.token_id, grant.login) for grant in grants] == [(body["token_id"], "login-1") for body in bodies]
    assert bodies[0]["token_id"] != bodies[1]["token_id"]


async def test_a_token_is_taken_back_by_the_user_who_requested_it(client: Client) -> None:
    keys = ApiKeys({KEY: SECRET}, revoked=TOKENS.revocations)
    bob, carol = [
        await (await client.post(PATH, json={"identity": name}, headers=token_of(ADA))).json()
        for name in ("bob", "carol")
    ]
    assert (await client.delete(f"{PATH}/{bob['token_id']}", headers=token_of(GUEST))).status == 204
    assert keys.read(bob["token"]).identity == "bob"
    assert (await client.delete(f"{PATH}/{bob['token_id']}", headers=token_of(ADA))).status == 204
    with pytest.raises(GrantError, match="taken back"):
        keys.read(bob["token"])
    assert keys.read(carol["token"]).identity == "carol"


@pytest.mark.parametrize("token_id", ["x", "A" * 32, "0" * 33])
async def test_what_is_no_id_of_a_token_is_404(client: Client, token_id: str) -> None:
    assert (await client.delete(f"{PATH}/{token_id}", headers=token_of(ADA))).status == 404
    assert (await client.delete(f"{PATH}/{token_id}")).status == 401


async def test_revocations_are_bounded_by_user_and_for_guests_by_address(client: Client) -> None:
    guests = [new_guest() for _ in range(101)]
    statuses = [(await client.delete(f"{PATH}/{'0' * 32}", headers=token_of(guest))).status for guest in guests]
    assert statuses == [204] * 100 + [429]
    assert (await client.delete(f"{PATH}/{'0' * 32}", headers=token_of(ADA))).status == 204


async def test_where_livekit_is_off_the_answer_says_what_turns_it_on(aiohttp_client: MakeClient) -> None:
    client = await aiohttp_client(app_with(None))
    response = await client.post(PATH, json={}, headers=token_of(ADA))
    assert response.status == 404
    assert "LIVEKIT_API_KEY" in (await response.json())["error"]["message"]
    assert (await client.delete(f"{PATH}/{'0' * 32}", headers=token_of(ADA))).status == 404
