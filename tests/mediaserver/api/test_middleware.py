"""What every request passes."""

import re
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request
from loguru import logger

from mediaserver.api.middleware import SECURITY_HEADERS, error_middleware, set_security_headers
from mediaserver.api.web_folder import WEB
from mediaserver.http_errors import HttpError

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]


async def fine(_: web.Request) -> web.Response:
    return web.json_response({})


async def refused(_: web.Request) -> web.Response:
    raise HttpError(503, "SESSION_LIMIT", "The server is full.", retry_after=10)


async def broken(_: web.Request) -> web.Response:
    raise ValueError("a secret detail")


async def unreachable(_: web.Request) -> web.Response:
    raise ConnectionRefusedError("the server's own connection")


async def moved(_: web.Request) -> web.Response:
    raise web.HTTPFound("/fine")


async def socket(request: web.Request) -> web.WebSocketResponse:
    answer = web.WebSocketResponse()
    await answer.prepare(request)
    await answer.close()
    return answer


@pytest.fixture
async def client(aiohttp_client: MakeClient) -> Client:
    app = web.Application(middlewares=[error_middleware])
    app.on_response_prepare.append(set_security_headers)
    app.add_routes(
        [
            web.get("/fine", fine),
            web.get("/refused", refused),
            web.get("/broken", broken),
            web.get("/moved", moved),
            web.get("/unreachable", unreachable),
            web.get("/socket", socket),
        ]
    )
    return await aiohttp_client(app)


async def test_every_answer_carries_a_request_id_and_security_headers(client: Client) -> None:
    for path in ("/fine", "/refused", "/broken", "/nowhere"):
        response = await client.get(path)
        assert len(response.headers["X-Request-ID"]) == 32
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_request_id_that_is_offered_is_kept_if_it_is_harmless(client: Client) -> None:
    assert (await client.get("/fine", headers={"X-Request-ID": "abc-1"})).headers["X-Request-ID"] == "abc-1"
    assert (await client.get("/fine", headers={"X-Request-ID": "a b"})).headers["X-Request-ID"] != "a b"


async def test_an_error_has_its_status_code_and_sentence(client: Client) -> None:
    response = await client.get("/refused")
    assert response.status == 503
    assert response.headers["Retry-After"] == "10"
    assert await response.json() == {
        "error": {"code": "SESSION_LIMIT", "message": "The server is full.", "details": {}}
    }


async def test_a_bug_is_an_internal_error_that_shows_nothing_of_itself(client: Client) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message} {extra} {exception}")
    response = await client.get("/broken?token=hunter2", headers={"Authorization": "Bearer hunter2"})
    logger.remove(sink)
    assert response.status == 500
    assert "secret detail" not in await response.text()
    assert "ValueError" in "".join(lines)
    assert "hunter2" not in "".join(lines)


async def test_a_connection_that_the_server_itself_loses_is_a_bug(client: Client) -> None:
    response = await client.get("/unreachable")
    assert (response.status, (await response.json())["error"]["code"]) == (500, "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("POST", "/fine", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_what_aiohttp_refuses_is_told_in_our_shape(
    client: Client, method: str, path: str, status: int, code: str
) -> None:
    response = await client.request(method, path)
    assert response.status == status
    assert (await response.json())["error"]["code"] == code


async def test_a_redirect_stays_a_redirect(client: Client) -> None:
    assert (await client.get("/moved", allow_redirects=False)).status == 302


async def test_no_answer_names_a_version(client: Client) -> None:
    for path in ("/fine", "/refused", "/broken", "/nowhere", "/moved"):
        response = await client.get(path, allow_redirects=False)
        assert response.headers["Server"] == "Mediaserver"
    async with client.ws_connect("/socket") as opened:
        assert opened._response.headers["Server"] == "Mediaserver"


@pytest.mark.parametrize(
    ("scheme", "host", "header"),
    [
        ("https", "assistant.example", "max-age=31536000"),
        ("https", "assistant.example:8443", "max-age=31536000"),
        ("https", "localhost:8443", None),
        ("http", "assistant.example", None),
    ],
)
async def test_what_came_by_tls_is_to_come_by_tls(scheme: str, host: str, header: str | None) -> None:
    request = make_mocked_request("GET", "/", headers={"Host": host}).clone(scheme=scheme)
    response = web.Response()
    await set_security_headers(request, response)
    assert response.headers.get("Strict-Transport-Security") == header


def test_the_page_may_connect_to_its_own_server_only_and_has_no_other_address() -> None:
    policy = dict(
        directive.strip().split(" ", 1) for directive in SECURITY_HEADERS["Content-Security-Policy"].split(";")
    )
    assert policy["connect-src"] == "'self'"
    modules = [path.read_text() for path in (WEB / "static").rglob("*.js")]
    assert any("fetch(" in module for module in modules)
    assert not [match for module in modules for match in re.findall(r"WebSocket\(|EventSource\(|wss?://", module)]


async def test_every_line_of_a_request_has_the_clients_address(client: Client) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message} {extra[address]} {extra[path]}", filter="mediaserver")
    await client.get("/broken?token=hunter2")
    logger.remove(sink)
    assert [line.splitlines()[0] for line in lines] == ["request failed 127.0.0.1 /broken", "http 127.0.0.1 /broken"]
