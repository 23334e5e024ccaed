"""Which other sites' pages may use this server."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request

from mediaserver.api.cors import allow_origins, origin_is_allowed
from mediaserver.api.middleware import error_middleware

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]

FRIEND, STRANGER = "https://friend.example", "https://stranger.example"


async def fine(_: web.Request) -> web.Response:
    return web.json_response({})


async def offered(_: web.Request) -> web.Response:
    return web.Response(status=201, headers={"Location": "/whip/1", "Access-Control-Expose-Headers": "Location"})


async def options(_: web.Request) -> web.Response:
    return web.Response(status=204, headers={"Accept-Post": "application/sdp"})


@pytest.fixture
def make(aiohttp_client: MakeClient) -> Callable[..., Awaitable[Client]]:
    async def made(*origins: str) -> Client:
        app = web.Application(middlewares=[error_middleware])
        app.router.add_get("/api/v1/sessions/{id}", fine)
        app.router.add_delete("/api/v1/sessions/{id}", fine)
        app.router.add_post("/whip", offered)
        app.router.add_route("OPTIONS", "/whip", options)
        app.router.add_get("/rtc/validate", fine)
        app.router.add_get("/", fine)
        app.router.add_static("/static", ".")
        allow_origins(app, origins, open_to_all=("/", "/rtc", "/twirp/"))
        return await aiohttp_client(app)

    return made


def preflight(origin: str, method: str) -> dict[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }


async def test_a_named_origin_may_read_answers_and_a_stranger_may_not(make: Callable[..., Awaitable[Client]]) -> None:
    client = await make(FRIEND)
    response = await client.get("/api/v1/sessions/1", headers={"Origin": FRIEND})
    assert response.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]
    assert "Access-Control-Allow-Credentials" not in response.headers
    response = await client.get("/api/v1/sessions/1", headers={"Origin": STRANGER})
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_errors_can_be_read_too(make: Callable[..., Awaitable[Client]]) -> None:
    client = await make(FRIEND)
    response = await client.post("/whip", data=b"", headers={"Origin": FRIEND})
    assert response.headers["Access-Control-Allow-Origin"] == FRIEND
    missing = await client.get("/api/v1/nowhere", headers={"Origin": FRIEND})
    assert missing.status == 404


async def test_a_preflight_is_answered_for_every_method_of_a_named_origin(
    make: Callable[..., Awaitable[Client]],
) -> None:
    client = await make(FRIEND)
    for method in ("GET", "DELETE"):
        response = await client.options("/api/v1/sessions/1", headers=preflight(FRIEND, method))
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Methods"] == method
        assert "AUTHORIZATION" in response.headers["Access-Control-Allow-Headers"]
    response = await client.options("/api/v1/sessions/1", headers=preflight(STRANGER, "GET"))
    assert response.status == 403
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_whip_keeps_its_own_options_and_exposes_what_a_whip_client_reads(
    make: Callable[..., Awaitable[Client]],
) -> None:
    client = await make(FRIEND)
    response = await client.options("/whip", headers=preflight(FRIEND, "POST"))
    assert response.status == 204
    assert response.headers["Accept-Post"] == "application/sdp"
    assert response.headers["Access-Control-Allow-Origin"] == FRIEND
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
    asked = preflight(FRIEND, "POST") | {"Access-Control-Request-Headers": "x-client-version, traceparent"}
    response = await client.options("/whip", headers=asked)
    assert response.headers["Access-Control-Allow-Headers"].endswith("x-client-version, traceparent")
    response = await client.post("/whip", data=b"", headers={"Origin": FRIEND})
    assert {"Location", "ETag", "Link"} <= set(response.headers["Access-Control-Expose-Headers"].split(", "))
    response = await client.options("/whip", headers=preflight(STRANGER, "POST"))
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_without_origins_only_what_is_open_to_all_is_open(make: Callable[..., Awaitable[Client]]) -> None:
    client = await make()
    assert (await client.options("/api/v1/sessions/1", headers=preflight(FRIEND, "GET"))).status == 405
    response = await client.get("/api/v1/sessions/1", headers={"Origin": FRIEND})
    assert "Access-Control-Allow-Origin" not in response.headers
    for method, path in (("GET", "/rtc/validate"), ("HEAD", "/")):
        response = await client.request(method, path, headers={"Origin": STRANGER})
        assert response.status == 200
        assert response.headers["Access-Control-Allow-Origin"] == STRANGER


@pytest.mark.parametrize(
    ("origin", "host", "is_allowed"),
    [
        (None, "here.example", True),  # not a browser
        (FRIEND, "here.example", True),
        (STRANGER, "here.example", False),
        ("http://here.example", "here.example", True),
        ("https://here.example", "here.example", True),  # behind a proxy that ends TLS
        ("https://here.example", "here.example:443", True),
        ("http://here.example:8000", "here.example:8000", True),
        ("http://HERE.example:8000", "here.EXAMPLE:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://here.example:8001", "here.example:8000", False),
        ("http://here.example", "here.example:8000", False),
        ("http://here.example.evil.example", "here.example", False),
        ("null", "here.example", False),
        ("file://", "here.example", False),
        ("http://here.example:port", "here.example", False),
        ("", "here.example", False),
    ],
)
def test_a_socket_is_opened_by_the_same_origin_a_named_one_or_no_browser(
    origin: str | None, host: str, is_allowed: bool
) -> None:
    headers = {"Host": host} if origin is None else {"Host": host, "Origin": origin}
    request = make_mocked_request("GET", "/ws/livekit", headers=headers)
    assert origin_is_allowed(request, (FRIEND,)) is is_allowed


def test_a_star_lets_any_origin_open_a_socket() -> None:
    request = make_mocked_request("GET", "/ws/livekit", headers={"Host": "here.example", "Origin": STRANGER})
    assert origin_is_allowed(request, ("*",))
