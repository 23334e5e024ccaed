"""Operations as values: what they read and answer."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from pydantic import BaseModel, EmailStr, Field

from mediaserver.api.json_http import MAX_BODY, json_response, read_body, read_query
from mediaserver.api.middleware import error_middleware
from mediaserver.http_route import Route, add_routes

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]

SECRET = "hunter2"


class Registration(BaseModel):
    username: str = Field(min_length=3, max_length=9)
    email: EmailStr = Field("ada@example.com", description="an e-mail address")
    password: str = Field(min_length=8, description="8 characters or more")
    age: int = Field(1, ge=0)
    device: UUID | None = None


class Window(BaseModel):
    limit: int = Field(20, ge=1, le=100, description="a number from 1 to 100")
    cursor: str | None = None


async def register(request: web.Request) -> web.Response:
    return json_response(await read_body(request, Registration), 201)


async def look(request: web.Request) -> web.Response:
    return json_response(read_query(request, Window))


ROUTES = (
    Route(
        method="POST",
        path="/register",
        handler=register,
        summary="Register",
        tags=("users",),
        body=Registration,
        answers={201: Registration},
    ),
    Route(
        method="GET",
        path="/look",
        handler=look,
        summary="Look",
        tags=("things",),
        query=Window,
        needs_token=True,
        errors=(404,),
        answers={200: Window},
    ),
)


@pytest.fixture
async def client(aiohttp_client: MakeClient) -> Client:
    app = web.Application(middlewares=[error_middleware])
    add_routes(app, ROUTES)
    return await aiohttp_client(app)


async def test_a_body_is_read_as_its_model_and_unknown_fields_are_ignored(client: Client) -> None:
    response = await client.post("/register", json={"username": "ada", "password": "12345678", "colour": "red"})
    assert response.status == 201
    assert response.content_type == "application/json"
    assert response.headers["Cache-Control"] == "no-store"
    assert await response.json() == {
        "username": "ada",
        "email": "ada@example.com",
        "password": "12345678",
        "age": 1,
        "device": None,
    }


async def test_every_wrong_field_is_named_with_what_it_accepts_and_nothing_is_echoed(client: Client) -> None:
    sent = {"username": "a" * 10, "email": f"{SECRET}@{SECRET}@", "password": SECRET, "age": -1, "device": SECRET}
    response = await client.post("/register", json=sent)
    error = (await response.json())["error"]
    assert response.status == 422
    assert error["code"] == "INVALID_FIELDS"
    messages = {fault["field"]: fault["message"] for fault in error["details"]["fields"]}
    assert messages == {
        "username": "String should have at most 9 characters.",
        "email": "Accepts an e-mail address.",
        "password": "Accepts 8 characters or more.",
        "age": "Input should be greater than or equal to 0.",
        "device": "Not accepted.",  # pydantic's sentence would quote it
    }
    assert all(name in error["message"] for name in messages)
    assert SECRET not in await response.text()


async def test_a_missing_field_is_said_to_be_required(client: Client) -> None:
    response = await client.post("/register", json={"username": "ada"})
    fields = (await response.json())["error"]["details"]["fields"]
    assert fields == [{"field": "password", "message": "Required: 8 characters or more."}]


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '"text"', '{"username": "\ud83d"}', r'{"username": "\ud83d"}', "NaN", "[" * 5000]
)
async def test_what_is_not_a_json_object_is_400(client: Client, body: str) -> None:
    sent = body.encode(errors="surrogatepass")
    response = await client.post("/register", data=sent, headers={"Content-Type": "application/json"})
    assert response.status == 400
    assert (await response.json())["error"]["code"] == "INVALID_JSON"


async def test_another_media_type_is_415(client: Client) -> None:
    for headers in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        response = await client.post("/register", data=b"{}", headers=headers)
        assert response.status == 415


async def test_a_large_body_is_413_with_or_without_a_length(client: Client) -> None:
    body = b'{"username": "' + b"a" * MAX_BODY + b'"}'

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    for data in (body, pieces()):
        response = await client.post("/register", data=data, headers={"Content-Type": "application/json"})
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "PAYLOAD_TOO_LARGE"


async def test_a_body_that_does_not_come_is_408(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mediaserver.http_route.READ_TIMEOUT", 0.05)
    answered = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"{"
        await answered.wait()

    response = await client.post("/register", data=stalling(), headers={"Content-Type": "application/json"})
    answered.set()
    assert response.status == 408


async def test_a_query_is_read_as_its_model(client: Client) -> None:
    assert await (await client.get("/look?limit=5&cursor=x&other=1")).json() == {"limit": 5, "cursor": "x"}
    assert await (await client.get("/look")).json() == {"limit": 20, "cursor": None}


@pytest.mark.parametrize("limit", ["0", "101", "many", "", "%ff", "1e1", "null"])
async def test_a_wrong_query_is_422_and_names_the_field(client: Client, limit: str) -> None:
    response = await client.get(f"/look?limit={limit}")
    assert response.status == 422
    fields = (await response.json())["error"]["details"]["fields"]
    assert fields == [{"field": "limit", "message": "Accepts a number from 1 to 100."}]


async def test_what_answers_get_answers_head(client: Client) -> None:
    assert (await client.head("/look")).status == 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some.binary(max_size=300) | some.from_regex(rb'\A\{"(username|age|email)": [^}]{0,40}\}\Z'))
async def test_any_bytes_are_a_value_or_an_error_with_a_name(client: Client, body: bytes) -> None:
    response = await client.post("/register", data=body, headers={"Content-Type": "application/json"})
    assert response.status in (201, 400, 422)


def test_errors_follow_from_the_token_the_body_and_the_query() -> None:
    register, look = ROUTES
    assert register.possible_errors == (400, 408, 413, 415, 422)
    assert look.possible_errors == (401, 404, 422)
