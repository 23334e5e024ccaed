"""Health checks of the server, part by part."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, Field

from mediaserver import __version__
from mediaserver.api.json_http import json_response
from mediaserver.http_route import Route

Check = Callable[[], Awaitable[bool]]


class CheckResponse(BaseModel):
    """Result of one health check, with its duration in ms."""

    ok: bool
    ms: float


class HealthResponse(BaseModel):
    """Health of the server and of each part."""

    status: Literal["ok", "failing"]
    version: str
    uptime_seconds: float
    engine: str = Field(description="gemini or local")
    checks: dict[str, CheckResponse] = Field(description="each part by name")


class LivenessResponse(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Health:
    """Handles GET /health, /api/v1/health and /health/live."""

    def __init__(self, engine: str, checks: Mapping[str, Check]):
        self._engine = engine
        self._checks = checks
        self._started = time.monotonic()

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        shown = [
            Route(
                method="GET",
                path=path,
                handler=self.show,
                summary="Is the server well, part by part",
                tags=("server",),
                answers={200: HealthResponse, 503: HealthResponse},
            )
            for path in ("/health", "/api/v1/health")
        ]
        live = Route(
            method="GET",
            path="/health/live",
            handler=self.live,
            summary="Does the process answer",
            tags=("server",),
            answers={200: LivenessResponse},
        )
        return (*shown, live)

    async def show(self, _: web.Request) -> web.Response:
        """Respond 200 when every check passes, else 503; each check with its duration."""
        checks = {}
        for name, check in self._checks.items():
            began = time.perf_counter()
            is_healthy = await check()
            checks[name] = CheckResponse(ok=is_healthy, ms=round((time.perf_counter() - began) * 1000, 2))
        is_healthy = all(check.ok for check in checks.values())
        response = HealthResponse(
            status="ok" if is_healthy else "failing",
            version=__version__,
            uptime_seconds=round(time.monotonic() - self._started, 1),
            engine=self._engine,
            checks=checks,
        )
        return json_response(response, 200 if is_healthy else 503)

    async def live(self, _: web.Request) -> web.Response:
        """Respond 200 while the process runs."""
        return json_response(LivenessResponse())
