"""Any body at any route of users: an answer, and never a mistake of the server."""

import asyncio
import json
import string
import tempfile
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from argon2 import PasswordHasher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import parse

from mediaserver.api.middleware import error_middleware
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.api.users import Users
from mediaserver.auth.accounts import Accounts
from mediaserver.auth.lockout import Lockout, LoginClient
from mediaserver.auth.passwords import Passwords
from mediaserver.auth.tokens import Tokens, new_guest
from mediaserver.http_route import add_routes
from mediaserver.store.sql_store import open_store

OPERATIONS = [
    ("POST", "/api/v1/users/register"),
    ("POST", "/api/v1/users/login"),
    ("POST", "/api/v1/users/refresh"),
    ("POST", "/api/v1/users/logout"),
    ("PATCH", "/api/v1/users/me"),
    ("PUT", "/api/v1/users/me/settings"),
]
NAMES = [
    *("username", "email", "password", "full_name", "guest_token", "refresh_token", "current_password"),
    *("voice", "language", "model", "instructions", "silence_ms"),
]

words = st.text(max_size=40) | st.text(string.ascii_letters + string.digits + "._-@", min_size=3, max_size=40)
emails = st.builds("{}@{}.org".format, words, words) | st.emails()
values = st.none() | st.booleans() | st.integers() | st.floats() | words | emails | st.lists(words, max_size=2)
objects = st.dictionaries(st.sampled_from(NAMES), values, max_size=8)
likely = st.fixed_dictionaries(
    {"username": words, "email": emails, "password": st.text(min_size=8, max_size=20), "refresh_token": words}
)
# ensure_ascii writes a lone surrogate as "\ud800", which no UTF-8 could carry.
bodies = st.binary(max_size=200) | (objects | likely | values).map(lambda value: json.dumps(value).encode())
requests = st.lists(st.tuples(st.sampled_from(OPERATIONS), bodies, st.booleans()), min_size=1, max_size=8)


async def statuses_of(asked: list[tuple[tuple[str, str], bytes, bool]]) -> list[tuple[int, Any]]:
    tokens = Tokens("a secret of thirty-two bytes or more")
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(None, data_dir=Path(folder))
        accounts = Accounts(store, tokens, passwords, lockout=Lockout(lambda: 0.0))
        password = "correct horse battery"
        await accounts.register(username="ada", email="ada@example.org", full_name=None, password=password)
        ada = (await accounts.login("ada", password, client=LoginClient("here"))).access_token
        app = web.Application(middlewares=[error_middleware])
        often = SlidingWindowRateLimiter(parse("100000/minute"))
        add_routes(
            app, Users(accounts, tokens, login_limiter=often, api_limiter=often, is_registration_open=True).routes()
        )
        answers = []
        async with TestClient(TestServer(app)) as client:
            for (method, path), body, is_ada in asked:
                token = ada if is_ada else tokens.issue(new_guest())
                headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
                response = await client.request(method, path, data=body, headers=headers)
                answers.append((response.status, await response.text()))
        await store.close()
        passwords.close()
        return answers


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(requests)
def test_any_body_gets_an_answer_in_our_shape(asked: list[tuple[tuple[str, str], bytes, bool]]) -> None:
    for status, text in asyncio.run(statuses_of(asked)):
        assert status in (200, 201, 204, 400, 401, 403, 409, 422, 429)
        if status >= 400:
            assert set(json.loads(text)["error"]) == {"code", "message", "details"}
