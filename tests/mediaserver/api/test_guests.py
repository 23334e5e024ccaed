"""Guests."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from limits import parse

from mediaserver.api.guests import Guests
from mediaserver.api.limiter import Limiter
from mediaserver.api.middleware import guard
from mediaserver.auth.tokens import Tokens

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]

TOKENS = Tokens("a secret of thirty-two bytes or more")


def app_with(*, are_allowed: bool = True, loopback_only: bool = False, rate: str = "100/minute") -> web.Application:
    app = web.Application(middlewares=[guard])
    Guests(TOKENS, Limiter(parse(rate)), are_allowed=are_allowed, loopback_only=loopback_only).add_routes(app)
    return app


async def test_a_guest_gets_a_token_that_stands_for_them(aiohttp_client: MakeClient) -> None:
    client = await aiohttp_client(app_with(loopback_only=True))
    response = await client.post("/api/v1/guests")
    body = await response.json()
    assert response.status == 201
    assert body["token_type"] == "bearer"
    assert body["user"]["guest"] is True
    user = TOKENS.verify(body["access_token"])
    assert user.is_guest
    assert user.id == body["user"]["id"]


async def test_where_guests_are_not_allowed_they_are_told_to_log_in(aiohttp_client: MakeClient) -> None:
    client = await aiohttp_client(app_with(are_allowed=False))
    response = await client.post("/api/v1/guests")
    assert response.status == 403
    assert "log in" in (await response.json())["error"]["message"]


async def test_guests_from_elsewhere_are_told_which_setting_lets_them_in(
    aiohttp_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediaserver.api.guests.address", lambda _: "192.0.2.7")
    client = await aiohttp_client(app_with(loopback_only=True))
    response = await client.post("/api/v1/guests")
    assert response.status == 403
    assert "ALLOW_GUESTS" in (await response.json())["error"]["message"]


async def test_too_many_guests_from_one_address_are_told_when_to_come_back(aiohttp_client: MakeClient) -> None:
    client = await aiohttp_client(app_with(rate="2/minute"))
    statuses = [(await client.post("/api/v1/guests")).status for _ in range(3)]
    assert statuses == [201, 201, 429]
    response = await client.post("/api/v1/guests")
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert (await response.json())["error"]["code"] == "RATE_LIMITED"
