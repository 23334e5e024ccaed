"""Guests."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from argon2 import PasswordHasher
from limits import parse

from mediaserver.api.guests import Guests
from mediaserver.api.middleware import error_middleware
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.accounts import Accounts
from mediaserver.auth.passwords import Passwords
from mediaserver.auth.tokens import Tokens
from mediaserver.http_route import add_routes
from mediaserver.store.interface import Store, StoreError

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]

TOKENS = Tokens("a secret of thirty-two bytes or more")


@pytest.fixture
async def accounts(store: Store) -> AsyncIterator[Accounts]:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield Accounts(store, TOKENS, passwords)
    passwords.close()


def app_with(
    accounts: Accounts, *, are_allowed: bool = True, loopback_only: bool = False, rate: str = "100/minute"
) -> web.Application:
    app = web.Application(middlewares=[error_middleware])
    add_routes(
        app,
        Guests(
            accounts, SlidingWindowRateLimiter(parse(rate)), are_allowed=are_allowed, loopback_only=loopback_only
        ).routes(),
    )
    return app


async def test_a_guest_gets_tokens_that_stand_for_them(aiohttp_client: MakeClient, accounts: Accounts) -> None:
    client = await aiohttp_client(app_with(accounts, loopback_only=True))
    response = await client.post("/api/v1/guests")
    body = await response.json()
    assert (response.status, response.headers["Cache-Control"]) == (201, "no-store")
    assert list(body) == ["access_token", "refresh_token", "token_type", "expires_in", "user"]
    assert (body["token_type"], body["expires_in"], body["user"]["guest"]) == ("bearer", 3600, True)
    user = TOKENS.verify(body["access_token"])
    assert user.is_guest
    assert user.id == body["user"]["id"]
    assert (await accounts.refresh(body["refresh_token"])).user == user


async def test_a_database_that_does_not_answer_is_told(
    aiohttp_client: MakeClient, accounts: Accounts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(store, "add_token", fail)
    client = await aiohttp_client(app_with(accounts))
    response = await client.post("/api/v1/guests")
    assert (response.status, response.headers["Retry-After"]) == (503, "5")


async def test_where_guests_are_not_allowed_they_are_told_to_log_in(
    aiohttp_client: MakeClient, accounts: Accounts
) -> None:
    client = await aiohttp_client(app_with(accounts, are_allowed=False))
    response = await client.post("/api/v1/guests")
    assert response.status == 403
    assert "log in" in (await response.json())["error"]["message"]


async def test_guests_from_elsewhere_are_told_which_setting_lets_them_in(
    aiohttp_client: MakeClient, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mediaserver.api.guests.address_of_request", lambda _: "192.0.2.7")
    client = await aiohttp_client(app_with(accounts, loopback_only=True))
    response = await client.post("/api/v1/guests")
    assert response.status == 403
    assert "ALLOW_GUESTS" in (await response.json())["error"]["message"]


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000"])
async def test_a_host_that_names_this_machine_is_local(
    aiohttp_client: MakeClient, accounts: Accounts, host: str
) -> None:
    client = await aiohttp_client(app_with(accounts, loopback_only=True))
    assert (await client.post("/api/v1/guests", headers={"Host": host})).status == 201


@pytest.mark.parametrize(
    "header",
    [
        ("Host", "rebound.example:8000"),
        ("Host", "localhost.example"),
        ("Host", "192.0.2.1"),
        ("Host", "[::1"),
        ("Host", ""),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("x-forwarded-proto", "https"),
        ("X-Real-IP", "127.0.0.1"),
        ("Via", "1.1 proxy"),
        ("CF-Connecting-IP", "127.0.0.1"),
        ("CF-Ray", "1"),
    ],
)
async def test_another_host_or_a_forwarding_header_is_not_local(
    aiohttp_client: MakeClient, accounts: Accounts, header: tuple[str, str]
) -> None:
    client = await aiohttp_client(app_with(accounts, loopback_only=True))
    response = await client.post("/api/v1/guests", headers=dict([header]))
    assert (response.status, (await response.json())["error"]["code"]) == (403, "FORBIDDEN")
    client = await aiohttp_client(app_with(accounts))
    assert (await client.post("/api/v1/guests", headers=dict([header]))).status == 201


async def test_too_many_guests_from_one_address_are_told_when_to_come_back(
    aiohttp_client: MakeClient, accounts: Accounts
) -> None:
    client = await aiohttp_client(app_with(accounts, rate="2/minute"))
    statuses = [(await client.post("/api/v1/guests")).status for _ in range(3)]
    assert statuses == [201, 201, 429]
    response = await client.post("/api/v1/guests")
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert (await response.json())["error"]["code"] == "RATE_LIMITED"
