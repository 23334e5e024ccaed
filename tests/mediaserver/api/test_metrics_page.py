"""Metrics over HTTP."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from limits import parse

from mediaserver.api.guests import Guests
from mediaserver.api.metrics import MetricsPage, measure
from mediaserver.api.middleware import error_middleware
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.accounts import Grant
from mediaserver.auth.tokens import Tokens, new_guest
from mediaserver.http_errors import HttpError
from mediaserver.http_route import add_routes
from mediaserver.metrics import Metrics

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]


class Welcome:
    """Lets every guest in, and keeps nothing of them."""

    async def guest(self) -> Grant:
        user = new_guest()
        return Grant(Tokens("s" * 32).issue(user), "r" * 43, 3600, user, None)


async def moved(_: web.Request) -> web.Response:
    raise web.HTTPFound("/api/v1/metrics")


async def broken(_: web.Request) -> web.Response:
    raise ValueError


async def full(_: web.Request) -> web.Response:
    raise HttpError(429, "SESSION_LIMIT", "You have too many live sessions.", retry_after=1)


def app_with(metrics: Metrics, *, token: str | None = None, is_open: bool = True) -> web.Application:
    app = web.Application(middlewares=[measure(metrics), error_middleware])
    add_routes(app, MetricsPage(metrics, token=token, is_open=is_open).routes())
    add_routes(
        app,
        Guests(Welcome(), SlidingWindowRateLimiter(parse("1/minute")), are_allowed=True, loopback_only=False).routes(),
    )
    app.router.add_get("/things/{id}", moved)
    app.router.add_get("/broken", broken)
    app.router.add_get("/full", full)
    return app


def count(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"mediaserver_{name}", labels) or 0.0


async def test_metrics_are_prometheus_text(aiohttp_client: MakeClient) -> None:
    metrics = Metrics()
    metrics.open_session("webrtc")
    client = await aiohttp_client(app_with(metrics))
    response = await client.get("/api/v1/metrics")
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    assert 'mediaserver_live_sessions{transport="webrtc"} 1.0' in await response.text()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [("Bearer right", 200), ("Bearer wrong", 401), ("Bearer rightly", 401), ("Bearer \udcff", 401), ("", 401)],
)
async def test_closed_metrics_want_their_token(aiohttp_client: MakeClient, authorization: str, status: int) -> None:
    client = await aiohttp_client(app_with(Metrics(), token="right", is_open=False))
    response = await client.get("/api/v1/metrics", headers={"Authorization": authorization})
    assert response.status == status


async def test_closed_metrics_without_a_token_are_not_there(aiohttp_client: MakeClient) -> None:
    client = await aiohttp_client(app_with(Metrics(), is_open=False))
    response = await client.get("/api/v1/metrics", headers={"Authorization": "Bearer "})
    assert response.status == 404
    assert "METRICS_TOKEN" in (await response.json())["error"]["message"]


async def test_requests_are_counted_by_template_and_never_by_path(aiohttp_client: MakeClient) -> None:
    metrics = Metrics()
    client = await aiohttp_client(app_with(metrics))
    for path in ("/things/1", "/things/2", "/nowhere/1", "/nowhere/2", "/broken"):
        await client.get(path, allow_redirects=False)
    await client.post("/broken")
    assert count(metrics, "http_requests_total", method="GET", route="/things/{id}", status="302") == 2
    assert count(metrics, "http_requests_total", method="GET", route="unmatched", status="404") == 2
    assert count(metrics, "http_requests_total", method="GET", route="/broken", status="500") == 1
    assert count(metrics, "http_requests_total", method="POST", route="unmatched", status="405") == 1
    assert b"/nowhere/1" not in metrics.text()
    assert b"/things/1" not in metrics.text()


async def test_who_comes_too_often_or_without_a_token_is_counted(aiohttp_client: MakeClient) -> None:
    metrics = Metrics()
    client = await aiohttp_client(app_with(metrics, token="right", is_open=False))
    for _ in range(3):
        await client.post("/api/v1/guests")
    await client.get("/full")
    await client.get("/api/v1/metrics")
    assert count(metrics, "rate_limited_total") == 2
    assert count(metrics, "auth_failures_total") == 1
