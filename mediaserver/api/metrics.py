"""Serves metrics as Prometheus text; a middleware measures every HTTP request."""

import hmac
import time

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from mediaserver.http_errors import ERROR_CODE, HttpError, bearer
from mediaserver.http_route import Route
from mediaserver.metrics import CONTENT_TYPE, Metrics

_NO_ROUTE = "unmatched"


class MetricsPage:
    """Handles GET /api/v1/metrics: open to all if `is_open`, else with `token` as the bearer token, else off."""

    def __init__(self, metrics: Metrics, *, token: str | None, is_open: bool):
        self._metrics = metrics
        self._token = token
        self._is_open = is_open

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        return (
            Route(
                method="GET",
                path="/api/v1/metrics",
                handler=self.show,
                summary="Metrics as Prometheus text; outside development with METRICS_TOKEN as the bearer token",
                tags=("server",),
                answers={200: "text/plain"},
                errors=(401, 404),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """Return the metrics; 404 where they are off."""
        if not self._is_open:
            self._check(request)
        headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
        return web.Response(body=self._metrics.text(), headers=headers)

    def _check(self, request: web.Request) -> None:
        if self._token is None:
            raise HttpError(404, "NOT_FOUND", "Metrics are off; METRICS_TOKEN turns them on.")
        # Compared in constant time, so that the duration leaks nothing about the token.
        if not hmac.compare_digest(bearer(request).encode(errors="surrogateescape"), self._token.encode()):
            raise HttpError(401, "UNAUTHORIZED", "This is not the METRICS_TOKEN.")


def measure(metrics: Metrics) -> Middleware:
    """Make a middleware that counts every response; it goes before `error_middleware`, so that it counts errors too."""

    @web.middleware
    async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        status = 499  # the client went away before it was answered
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as redirect:
            status = redirect.status
            raise
        finally:
            seconds = time.perf_counter() - began
            metrics.request_answered(method=request.method, route=_template(request), status=status, seconds=seconds)
        if status == 401:
            metrics.auth_failed()
        if response.get(ERROR_CODE) == "RATE_LIMITED":
            metrics.rate_limited()
        return response

    return measured


def _template(request: web.Request) -> str:
    """Return the registered path: requested paths would make labels without bound."""
    resource = request.match_info.route.resource
    return _NO_ROUTE if resource is None else resource.canonical
