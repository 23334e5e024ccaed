"""The routes of users."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from argon2 import PasswordHasher
from limits import parse
from loguru import logger

from mediaserver.api.middleware import error_middleware
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.api.users import Users
from mediaserver.auth.accounts import Accounts
from mediaserver.auth.lockout import Lockout
from mediaserver.auth.passwords import Passwords
from mediaserver.auth.tokens import Tokens
from mediaserver.http_route import add_routes
from mediaserver.store.interface import Store, StoreError
from mediaserver.store.records import Account, SessionRecord

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]

SECRET = "a secret of thirty-two bytes or more"
PASSWORD = "correct horse battery"
ADA = {"username": "Ada", "email": "ada@example.org", "password": PASSWORD, "full_name": "Ada Lovelace"}
GRACE = {"username": "grace", "email": "grace@example.org", "password": "another horse battery"}
NOTHING_SET = {"voice": None, "language": None, "model": None, "instructions": None, "silence_ms": None}

USERS = "/api/v1/users"
ME = f"{USERS}/me"
WITH_TOKEN = [("GET", ME), ("PATCH", ME), ("DELETE", ME), ("GET", f"{ME}/settings"), ("PUT", f"{ME}/settings")]


@dataclass
class AccountsBackend:
    """The accounts behind the routes."""

    store: Store
    passwords: Passwords
    tokens: Tokens = field(default_factory=lambda: Tokens(SECRET))
    left: list[str] = field(default_factory=list)
    time: float = 0.0
    delays: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        lockout = Lockout(lambda: self.time, sleep=self._sleep)
        self.accounts = Accounts(self.store, self.tokens, self.passwords, lockout=lockout)

    async def _sleep(self, seconds: float) -> None:
        self.delays.append(seconds)

    def app(self, *, login: str = "10000/minute", api: str = "10000/minute", is_open: bool = True) -> web.Application:
        async def leave(user: str) -> None:
            assert await self.store.account(user) is None  # so that no session begins after this
            self.left.append(user)

        app = web.Application(middlewares=[error_middleware])
        add_routes(
            app,
            Users(
                self.accounts,
                self.tokens,
                login_limiter=SlidingWindowRateLimiter(parse(login)),
                api_limiter=SlidingWindowRateLimiter(parse(api)),
                is_registration_open=is_open,
                after_delete=leave,
            ).routes(),
        )
        return app


@dataclass
class Person:
    """Somebody who is logged in."""

    client: Client
    login: dict[str, Any]

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.login['access_token']}"}
        response = await self.client.request(method, path, json=body, headers=headers)
        return response.status, await response.json() if response.content_length else None


@pytest.fixture
async def backend(store: Store) -> AsyncIterator[AccountsBackend]:
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    yield AccountsBackend(store, passwords)
    passwords.close()


@pytest.fixture
async def client(backend: AccountsBackend, aiohttp_client: MakeClient) -> Client:
    return await aiohttp_client(backend.app())


async def post(client: Client, path: str, body: object, **headers: str) -> tuple[int, Any]:
    response = await client.post(f"{USERS}/{path}", json=body, headers=headers)
    return response.status, await response.json() if response.content_length else None


async def login(client: Client, name: str, password: str) -> Person:
    status, body = await post(client, "login", {"username": name, "password": password})
    assert status == 200
    return Person(client, body)


@pytest.fixture
async def ada(client: Client) -> Person:
    assert (await post(client, "register", ADA))[0] == 201
    return await login(client, "ada", PASSWORD)


@pytest.fixture
async def grace(client: Client) -> Person:
    assert (await post(client, "register", GRACE))[0] == 201
    return await login(client, "grace", GRACE["password"])


def fields_of(body: Any) -> list[str]:
    return [fault["field"] for fault in body["error"]["details"]["fields"]]


# Registering.


async def test_registering_answers_the_account(client: Client) -> None:
    status, body = await post(client, "register", ADA)
    assert status == 201
    assert list(body) == ["id", "username", "email", "full_name", "created_at"]
    assert (body["username"], body["email"], body["full_name"]) == ("Ada", "ada@example.org", "Ada Lovelace")
    assert datetime.fromisoformat(body["created_at"]).tzinfo is not None


async def test_a_taken_name_and_a_taken_email_are_told_apart(client: Client, ada: Person) -> None:
    status, body = await post(client, "register", {**ADA, "username": "ADA", "email": "new@example.org"})
    assert (status, body["error"]["code"]) == (409, "USERNAME_TAKEN")
    status, body = await post(client, "register", {**ADA, "username": "new", "email": "ADA@example.org"})
    assert (status, body["error"]["code"]) == (409, "EMAIL_TAKEN")


async def test_where_registration_is_closed_nobody_may(backend: AccountsBackend, aiohttp_client: MakeClient) -> None:
    client = await aiohttp_client(backend.app(is_open=False))
    status, body = await post(client, "register", ADA)
    assert (status, body["error"]["code"]) == (403, "FORBIDDEN")
    assert await backend.store.accounts() == ()


@pytest.mark.parametrize(
    ("field_name", "value"),
    [
        ("username", "ab"),
        ("username", "a" * 33),
        ("username", ".ada"),
        ("username", "ada lovelace"),
        ("username", "ada\n"),
        ("username", "adä"),
        ("username", None),
        ("email", "ada"),
        ("email", "Ada <ada@example.org>"),
        ("email", "a" * 250 + "@example.org"),
        ("email", 5),
        ("password", "short12"),
        ("password", "x" * 129),
        ("password", None),
        ("full_name", "x" * 129),
        ("full_name", "Ada\u0000"),
    ],
)
async def test_a_wrong_field_is_named_and_its_value_is_not_repeated(
    client: Client, field_name: str, value: object
) -> None:
    status, body = await post(client, "register", {**ADA, field_name: value})
    assert (status, body["error"]["code"]) == (422, "INVALID_FIELDS")
    assert fields_of(body) == [field_name]
    assert str(value) not in str(body) or value is None or value == "ada"


@pytest.mark.parametrize("password", ["x" * 8, "x" * 128, "pässwörd", "🐎🔋🔋🔋🔋🔋🔋🔋"])
async def test_passwords_have_8_to_128_characters_of_any_kind(client: Client, password: str) -> None:
    assert (await post(client, "register", {**ADA, "password": password}))[0] == 201
    await login(client, "ada", password)


# Logging in.


async def test_login_answers_tokens_and_the_user(client: Client, ada: Person, backend: AccountsBackend) -> None:
    response = await client.post(f"{USERS}/login", json={"username": "ada@example.org", "password": PASSWORD})
    body = await response.json()
    assert response.headers["Cache-Control"] == "no-store"
    assert list(body) == ["access_token", "refresh_token", "token_type", "expires_in", "user"]
    assert (body["token_type"], body["expires_in"]) == ("bearer", 3600)
    assert (body["user"]["username"], body["user"]["guest"]) == ("Ada", False)
    assert backend.tokens.verify(body["access_token"]).id == body["user"]["id"]


async def test_a_wrong_name_and_a_wrong_password_are_told_with_the_same_bytes(client: Client, ada: Person) -> None:
    answers = []
    for name in ("ada", "nobody", "nobody@example.org"):
        response = await client.post(f"{USERS}/login", json={"username": name, "password": "wrong password"})
        headers = {key: value for key, value in response.headers.items() if key not in ("Date", "X-Request-ID")}
        answers.append((response.status, headers, await response.read()))
    assert answers[0][0] == 401
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("body", [{}, {"username": "ada"}, {"username": "", "password": ""}, {"username": 1}])
async def test_a_login_without_its_fields_is_invalid(client: Client, body: object) -> None:
    assert (await post(client, "login", body))[0] == 422


async def test_after_five_failures_a_client_is_told_when_to_come_back(client: Client, backend: AccountsBackend) -> None:
    assert (await post(client, "register", ADA))[0] == 201
    for _ in range(5):
        assert (await post(client, "login", {"username": "ada", "password": "wrong password"}))[0] == 401
    response = await client.post(f"{USERS}/login", json={"username": "ADA", "password": PASSWORD})
    assert (response.status, response.headers["Retry-After"]) == (429, "1")
    backend.time += 1
    await login(client, "ada", PASSWORD)


async def test_where_an_account_has_logged_in_before_others_wrong_passwords_do_not_lock_it_out(
    client: Client, ada: Person, backend: AccountsBackend
) -> None:
    for _ in range(30):
        assert (await post(client, "login", {"username": "ada", "password": "wrong password"}))[0] == 401
    backend.delays.clear()
    restarted = AccountsBackend(backend.store, backend.passwords)
    assert (await restarted.accounts.login_client("ADA", "127.0.0.1")).is_known
    assert not (await restarted.accounts.login_client("ada", "192.0.2.1")).is_known
    assert not (await restarted.accounts.login_client("nobody", "127.0.0.1")).is_known
    await login(client, "ada", PASSWORD)
    assert backend.delays == [4.0]
    with_token = {"username": "ada", "password": PASSWORD, "refresh_token": ada.login["refresh_token"]}
    for _ in range(10):
        await post(client, "login", {"username": "ada", "password": "wrong password"})
    backend.delays.clear()
    assert (await post(client, "login", with_token))[0] == 200
    assert backend.delays == []
    assert (await post(client, "refresh", {"refresh_token": ada.login["refresh_token"]}))[0] == 200


@pytest.mark.parametrize("token", ["another's", "spent", "nonsense"])
async def test_a_refresh_token_that_proves_nothing_makes_no_device(
    client: Client, ada: Person, grace: Person, backend: AccountsBackend, token: str
) -> None:
    tokens = {"another's": grace.login["refresh_token"], "spent": ada.login["refresh_token"], "nonsense": "nonsense"}
    await post(client, "refresh", {"refresh_token": ada.login["refresh_token"]})
    assert (await backend.accounts.login_client("ada", "127.0.0.1", tokens[token])).device is None


async def test_logins_are_counted_by_name_so_that_guesses_at_one_leave_the_others(
    backend: AccountsBackend, aiohttp_client: MakeClient
) -> None:
    client = await aiohttp_client(backend.app(login="2/minute"))
    for person in (ADA, GRACE):
        await post(client, "register", person)
    guesses = [(await post(client, "login", {"username": "ada", "password": "wrong"}))[0] for _ in range(3)]
    assert guesses == [401, 401, 429]
    grace = await login(client, "grace", GRACE["password"])
    many = [(await post(client, "login", {"username": f"user{n}", "password": "wrong"}))[0] for n in range(11)]
    assert many == [401] * 8 + [429] * 3
    assert grace.login["user"]["username"] == "grace"
    await login(client, "grace", GRACE["password"])  # has logged in from here before


@pytest.mark.parametrize("path", ["refresh", "logout"])
async def test_a_flood_of_unknown_refresh_tokens_leaves_those_of_others(
    backend: AccountsBackend, aiohttp_client: MakeClient, path: str
) -> None:
    client = await aiohttp_client(backend.app(login="3/minute", api="3/minute"))
    await post(client, "register", ADA)
    ada = await login(client, "ada", PASSWORD)
    statuses = [(await post(client, path, {"refresh_token": f"nonsense {n}"}))[0] for n in range(5)]
    assert statuses[3:] == [429, 429]
    assert (await post(client, path, {"refresh_token": ada.login["refresh_token"]}))[0] in (200, 204)


@pytest.mark.parametrize("path", ["register", "login", "refresh"])
async def test_who_asks_too_often_to_be_let_in_is_told_when_to_come_back(
    backend: AccountsBackend, aiohttp_client: MakeClient, path: str
) -> None:
    client = await aiohttp_client(backend.app(login="2/minute"))
    statuses = [(await post(client, path, {}))[0] for _ in range(3)]
    assert statuses == [422, 422, 429]


async def test_users_are_counted_one_by_one(backend: AccountsBackend, aiohttp_client: MakeClient) -> None:
    client = await aiohttp_client(backend.app(api="3/minute"))
    people = []
    for person in (ADA, GRACE):
        await post(client, "register", person)
        people.append(await login(client, person["username"], person["password"]))
    first, second = people
    assert [(await first.ask("GET", ME))[0] for _ in range(4)] == [200, 200, 200, 429]
    assert (await second.ask("GET", ME))[0] == 200


# Tokens.


async def test_refresh_answers_like_login_and_works_once(client: Client, ada: Person) -> None:
    response = await client.post(f"{USERS}/refresh", json={"refresh_token": ada.login["refresh_token"]})
    body = await response.json()
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
    assert list(body) == list(ada.login)
    assert body["user"] == ada.login["user"]
    status, error = await post(client, "refresh", {"refresh_token": ada.login["refresh_token"]})
    assert (status, error["error"]["code"]) == (401, "UNAUTHORIZED")
    assert (await post(client, "refresh", {"refresh_token": body["refresh_token"]}))[0] == 401


async def test_logout_revokes_and_never_tells_whether_there_was_anything(client: Client, ada: Person) -> None:
    token = {"refresh_token": ada.login["refresh_token"]}
    assert (await post(client, "logout", token))[0] == 204
    assert (await post(client, "logout", token))[0] == 204
    assert (await post(client, "logout", {"refresh_token": "nonsense"}))[0] == 204
    assert (await post(client, "refresh", token))[0] == 401


async def test_logout_ends_the_access_tokens_of_its_login_and_of_no_other(client: Client, ada: Person) -> None:
    elsewhere = await login(client, "ada", PASSWORD)
    _, refreshed = await post(client, "refresh", {"refresh_token": ada.login["refresh_token"]})
    await post(client, "logout", {"refresh_token": refreshed["refresh_token"]})
    for tokens in (ada.login, refreshed):
        status, body = await Person(client, tokens).ask("GET", ME)
        assert (status, body["error"]["code"]) == (401, "UNAUTHORIZED")
    assert (await elsewhere.ask("GET", ME))[0] == 200


def forged(ada: Person, name: str) -> str:
    claims = jwt.decode(ada.login["access_token"], options={"verify_signature": False})
    match name:
        case "expired":
            return jwt.encode({**claims, "exp": claims["iat"] - 60}, SECRET, "HS256")
        case "another secret":
            return jwt.encode(claims, "another secret of thirty-two bytes", "HS256")
        case "alg none":
            return jwt.encode(claims, "", "none")
        case "another audience":
            return jwt.encode({**claims, "aud": "somebody else"}, SECRET, "HS256")
        case "refresh token":
            return str(ada.login["refresh_token"])
        case _:
            return name


@pytest.mark.parametrize(("method", "path"), WITH_TOKEN)
@pytest.mark.parametrize(
    "name", ["expired", "another secret", "alg none", "another audience", "refresh token", "nonsense"]
)
async def test_a_token_that_is_not_good_is_refused_on_every_route(
    ada: Person, method: str, path: str, name: str
) -> None:
    bad = Person(ada.client, {"access_token": forged(ada, name)})
    status, body = await bad.ask(method, path, {})
    assert (status, body["error"]["code"]) == (401, "UNAUTHORIZED")
    assert (await ada.ask("GET", ME))[0] == 200


@pytest.mark.parametrize(("method", "path"), WITH_TOKEN)
async def test_without_a_token_every_route_asks_for_one(client: Client, method: str, path: str) -> None:
    response = await client.request(method, path, json={})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"


# Me.


async def test_me_is_who_bears_the_token(ada: Person) -> None:
    status, body = await ada.ask("GET", ME)
    assert status == 200
    assert body == ada.login["user"]
    assert body["full_name"] == "Ada Lovelace"


async def test_a_profile_changes_where_it_is_told_to(ada: Person) -> None:
    change = {"username": "countess", "email": "countess@EXAMPLE.org", "current_password": PASSWORD}
    status, body = await ada.ask("PATCH", ME, change)
    assert status == 200
    assert (body["username"], body["email"], body["full_name"]) == ("countess", "countess@example.org", "Ada Lovelace")
    assert body["tokens"] is None
    status, body = await ada.ask("PATCH", ME, {"full_name": None})
    assert (body["username"], body["full_name"]) == ("countess", None)
    await login(ada.client, "countess", PASSWORD)


async def test_a_name_may_change_its_case_only(ada: Person) -> None:
    status, body = await ada.ask("PATCH", ME, {"username": "ADA"})
    assert (status, body["username"]) == (200, "ADA")


@pytest.mark.parametrize(
    "body",
    [
        {"username": None},
        {"email": None},
        {"password": None},
        {"username": "a b"},
        {"email": "x"},
        {"password": "short"},
    ],
)
async def test_a_profile_takes_no_wrong_field(ada: Person, body: dict[str, object]) -> None:
    status, answer = await ada.ask("PATCH", ME, body)
    assert status == 422
    assert fields_of(answer) == list(body)


async def test_anothers_name_or_email_cannot_be_taken_over(ada: Person, grace: Person) -> None:
    for change, code in (
        ({"username": "GRACE"}, "USERNAME_TAKEN"),
        ({"email": "Grace@example.org", "current_password": PASSWORD}, "EMAIL_TAKEN"),
        ({"username": "grace", "password": "a new password", "current_password": PASSWORD}, "USERNAME_TAKEN"),
    ):
        status, body = await ada.ask("PATCH", ME, change)
        assert (status, body["error"]["code"]) == (409, code)
    await login(ada.client, "ada", PASSWORD)


async def test_a_new_password_answers_new_tokens_and_ends_the_old_ones(client: Client, ada: Person) -> None:
    elsewhere = await login(client, "ada", PASSWORD)
    change = {"password": "a new password", "current_password": PASSWORD, "full_name": "A. L."}
    status, body = await ada.ask("PATCH", ME, change)
    assert (status, body["full_name"]) == (200, "A. L.")
    assert list(body["tokens"]) == list(ada.login)
    for old in (ada, elsewhere):
        assert (await post(client, "refresh", {"refresh_token": old.login["refresh_token"]}))[0] == 401
        assert (await old.ask("GET", ME))[0] == 401
    assert (await Person(client, body["tokens"]).ask("GET", ME))[0] == 200
    assert (await post(client, "refresh", {"refresh_token": body["tokens"]["refresh_token"]}))[0] == 200
    assert (await post(client, "login", {"username": "ada", "password": PASSWORD}))[0] == 401
    await login(client, "ada", "a new password")


async def test_a_new_password_needs_the_current_one(ada: Person) -> None:
    status, body = await ada.ask("PATCH", ME, {"password": "a new password"})
    assert status == 422
    assert fields_of(body) == ["current_password"]
    change = {"password": "a new password", "current_password": "wrong password", "username": "changed"}
    status, body = await ada.ask("PATCH", ME, change)
    assert (status, body["error"]["code"]) == (403, "WRONG_PASSWORD")
    assert (await ada.ask("GET", ME))[1]["username"] == "Ada"
    await login(ada.client, "ada", PASSWORD)


async def test_a_new_email_needs_the_password_and_the_same_one_does_not(ada: Person) -> None:
    status, body = await ada.ask("PATCH", ME, {"email": "new@example.org", "username": "new"})
    assert (status, fields_of(body)) == (422, ["current_password"])
    status, body = await ada.ask("PATCH", ME, {"email": "new@example.org", "current_password": "wrong password"})
    assert (status, body["error"]["code"]) == (403, "WRONG_PASSWORD")
    assert (await ada.ask("GET", ME))[1] == ada.login["user"]
    assert (await ada.ask("PATCH", ME, {"email": "ada@example.org", "full_name": "A. L."}))[0] == 200
    status, body = await ada.ask("PATCH", ME, {"email": "new@example.org", "current_password": PASSWORD})
    assert (status, body["email"], body["tokens"]) == (200, "new@example.org", None)


async def test_a_deletion_needs_the_password(ada: Person, backend: AccountsBackend) -> None:
    proofs: tuple[dict[str, str] | None, ...] = (None, {})
    for without in proofs:
        status, answer = await ada.ask("DELETE", ME, without)
        assert (status, fields_of(answer)) == (422, ["current_password"])
    status, answer = await ada.ask("DELETE", ME, {"current_password": "wrong password"})
    assert (status, answer["error"]["code"]) == (403, "WRONG_PASSWORD")
    assert backend.left == []
    assert (await ada.ask("GET", ME))[0] == 200


async def test_guesses_at_the_current_password_lock_out_their_own_login_only(client: Client, ada: Person) -> None:
    elsewhere = await login(client, "ada", PASSWORD)
    wrong = {"password": "a new password", "email": "new@example.org", "current_password": "wrong password"}
    statuses = [(await ada.ask("PATCH", ME, wrong))[0] for _ in range(3)]
    statuses += [(await ada.ask("DELETE", ME, wrong))[0] for _ in range(3)]
    assert statuses == [403] * 5 + [429]
    assert (await elsewhere.ask("PATCH", ME, {"email": "new@example.org", "current_password": PASSWORD}))[0] == 200
    await login(client, "ada", PASSWORD)


async def test_deleting_takes_everything_and_lets_nobody_in(
    client: Client, ada: Person, backend: AccountsBackend
) -> None:
    user = ada.login["user"]["id"]
    now = datetime.fromisoformat("2026-05-01T00:00:00+00:00")
    await backend.store.write([SessionRecord("s", user, "s", "whip", "local", "local", "en", started_at=now)])
    await ada.ask("PUT", f"{ME}/settings", {"voice": "Puck"})
    assert await ada.ask("DELETE", ME, {"current_password": PASSWORD}) == (204, None)
    assert backend.left == [user]
    assert (await ada.ask("GET", ME))[0] == 401
    assert (await post(client, "refresh", {"refresh_token": ada.login["refresh_token"]}))[0] == 401
    assert (await post(client, "login", {"username": "ada", "password": PASSWORD}))[0] == 401
    assert (await backend.store.sessions(user, limit=10, cursor=None)).sessions == ()
    assert (await post(client, "register", ADA))[0] == 201


@pytest.mark.parametrize(("method", "path"), WITH_TOKEN)
async def test_a_deleted_user_is_refused_everywhere_also_after_a_restart(
    ada: Person, backend: AccountsBackend, aiohttp_client: MakeClient, method: str, path: str
) -> None:
    assert (await ada.ask("DELETE", ME, {"current_password": PASSWORD}))[0] == 204
    assert (await ada.ask(method, path, {}))[0] == 401
    again = AccountsBackend(backend.store, backend.passwords)
    ada.client = await aiohttp_client(again.app())
    assert (await ada.ask(method, path, {}))[0] == 401
    assert again.left == []


# Settings.


async def test_settings_are_null_at_first_and_replaced_as_a_whole(ada: Person) -> None:
    assert await ada.ask("GET", f"{ME}/settings") == (200, NOTHING_SET)
    every = {"voice": "Puck", "language": "pt-BR", "model": "m/1", "instructions": "Be brief.\n", "silence_ms": 96}
    assert await ada.ask("PUT", f"{ME}/settings", every) == (200, every)
    assert await ada.ask("GET", f"{ME}/settings") == (200, every)
    one = {**NOTHING_SET, "silence_ms": 5000}
    assert await ada.ask("PUT", f"{ME}/settings", {"silence_ms": 5000, "voice": None, "colour": 1}) == (200, one)
    assert await ada.ask("GET", f"{ME}/settings") == (200, one)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("voice", "a/b"),
        ("voice", ""),
        ("language", "e"),
        ("language", "en\n"),
        ("model", "a b"),
        ("instructions", "x" * 8001),
        ("instructions", "\u0000"),
        ("silence_ms", 95),
        ("silence_ms", 5001),
        ("silence_ms", "500"),
        ("silence_ms", True),
        ("silence_ms", 500.5),
    ],
)
async def test_a_setting_that_cannot_be_obeyed_is_named_and_nothing_changes(
    ada: Person, name: str, value: object
) -> None:
    status, body = await ada.ask("PUT", f"{ME}/settings", {"voice": "Puck", name: value})
    assert status == 422
    assert fields_of(body) == [name]
    assert await ada.ask("GET", f"{ME}/settings") == (200, NOTHING_SET)


# Guests.


async def test_a_guest_has_a_profile_without_email_and_settings_too(client: Client, backend: AccountsBackend) -> None:
    grant = await backend.accounts.guest()
    guest = Person(client, {"access_token": grant.access_token})
    status, body = await guest.ask("GET", ME)
    assert status == 200
    assert body == {
        "id": grant.user.id,
        "username": "guest",
        "email": None,
        "full_name": None,
        "created_at": None,
        "guest": True,
    }
    assert (await guest.ask("PUT", f"{ME}/settings", {"voice": "Puck"}))[0] == 200
    assert (await guest.ask("GET", f"{ME}/settings"))[1]["voice"] == "Puck"
    status, body = await guest.ask("PATCH", ME, {"full_name": "Somebody"})
    assert (status, body["error"]["code"]) == (403, "FORBIDDEN")
    assert (await guest.ask("DELETE", ME))[0] == 204
    assert (await guest.ask("GET", ME))[0] == 401
    assert (await post(client, "refresh", {"refresh_token": grant.refresh_token}))[0] == 401


@pytest.mark.parametrize("place", ["header", "field"])
@pytest.mark.parametrize("path", ["login", "register"])
async def test_a_guests_token_sent_along_gives_its_history_to_the_account(
    client: Client, backend: AccountsBackend, grace: Person, path: str, place: str
) -> None:
    grant = await backend.accounts.guest()
    now = datetime.fromisoformat("2026-05-01T00:00:00+00:00")
    record = SessionRecord("s", grant.user.id, "s", "whip", "local", "local", "en", started_at=now)
    await backend.store.write([record])
    body = ADA if path == "register" else {"username": "grace", "password": GRACE["password"]}
    headers = {"Authorization": f"Bearer {grant.access_token}"} if place == "header" else {}
    extra = {"guest_token": grant.access_token} if place == "field" else {}
    status, answer = await post(client, path, {**body, **extra}, **headers)
    assert status in (200, 201)
    user = answer["id"] if path == "register" else answer["user"]["id"]
    page = await backend.store.sessions(user, limit=10, cursor=None)
    assert [session.id for session in page.sessions] == ["s"]


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer ", "Basic YTpi", ""])
async def test_a_header_that_is_no_guests_does_not_keep_anyone_out(client: Client, ada: Person, header: str) -> None:
    status, _ = await post(client, "login", {"username": "ada", "password": PASSWORD}, Authorization=header)
    assert status == 200


# Two users.


async def test_a_second_user_reads_changes_and_deletes_only_themselves(
    client: Client, ada: Person, grace: Person
) -> None:
    mine = await ada.ask("PUT", f"{ME}/settings", {"voice": "Puck"})
    profile = await ada.ask("GET", ME)
    assert (await grace.ask("GET", ME))[1]["username"] == "grace"
    assert await grace.ask("GET", f"{ME}/settings") == (200, NOTHING_SET)
    assert (await grace.ask("PUT", f"{ME}/settings", {"voice": "Zephyr"}))[0] == 200
    assert (await grace.ask("PATCH", ME, {"full_name": "Grace", "id": ada.login["user"]["id"]}))[0] == 200
    change = {"password": "a new password", "current_password": GRACE["password"]}
    _, changed = await grace.ask("PATCH", ME, change)
    grace = Person(client, changed["tokens"])
    assert (await grace.ask("DELETE", ME, {"current_password": "a new password"}))[0] == 204
    assert await ada.ask("GET", ME) == profile
    assert await ada.ask("GET", f"{ME}/settings") == mine
    assert (await post(client, "refresh", {"refresh_token": ada.login["refresh_token"]}))[0] == 200


# When things fail.


async def test_a_database_that_does_not_answer_is_503_on_every_route(
    backend: AccountsBackend, client: Client, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Account | None:
        raise StoreError("disk I/O error at /secret/place")

    for name in ("account", "account_named", "spend_token"):
        monkeypatch.setattr(backend.store, name, fail)
    answers = [await ada.ask(method, path, {}) for method, path in WITH_TOKEN]
    answers += [
        await post(client, path, {**GRACE, "refresh_token": "x"}) for path in ("register", "login", "refresh", "logout")
    ]
    assert {status for status, _ in answers} == {503}
    assert "secret" not in str(answers)


async def test_more_logins_than_can_be_checked_are_told_to_come_back(
    backend: AccountsBackend, aiohttp_client: MakeClient
) -> None:
    full = AccountsBackend(
        backend.store, Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1), max_waiting=-1)
    )
    client = await aiohttp_client(full.app())
    response = await client.post(f"{USERS}/login", json={"username": "ada", "password": PASSWORD})
    assert (response.status, response.headers["Retry-After"]) == (503, "2")
    full.passwords.close()


async def test_no_password_token_or_hash_is_logged(backend: AccountsBackend, client: Client, ada: Person) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE", format="{message} {extra} {exception}")
    again = await login(client, "ada", PASSWORD)
    _, refreshed = await post(client, "refresh", {"refresh_token": again.login["refresh_token"]})
    await post(client, "refresh", {"refresh_token": again.login["refresh_token"]})
    await post(client, "login", {"username": "ada", "password": "a wrong password"})
    await post(client, "register", {**GRACE, "password": "short"})
    await ada.ask("PATCH", ME, {"password": "a new password", "current_password": PASSWORD})
    await ada.ask("GET", f"{ME}/settings")
    logger.remove(sink)
    (account,) = await backend.store.accounts()
    answer = "".join(lines)
    assert "/api/v1/users/login" in answer
    secrets = [PASSWORD, "a wrong password", "a new password", account.password_hash, refreshed["access_token"]]
    secrets += [again.login["access_token"], again.login["refresh_token"], refreshed["refresh_token"]]
    assert [secret for secret in secrets if secret in answer] == []
