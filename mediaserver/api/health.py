"""Is the server well, and which engine answers."""

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
    """How one part is, and how long it took to say so."""

    ok: bool
    ms: float


class HealthResponse(BaseModel):
    """How the server is."""

    status: Literal["ok", "failing"]
    version: str
    uptime_seconds: float
    engine: str = Field(description="gemini or local")
    checks: dict[str, CheckResponse] = Field(description="each part by name")


class LivenessResponse(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Health:
    """GET /health, /api/v1/health and /health/live."""

    def __init__(self, engine: str, checks: Mapping[str, Check]):
        self._engine = engine
        self._checks = checks
        self._started = time.monotonic()

    def routes(self) -> tuple[Route, ...]:
        """What is served."""
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
        """200 when every check passes, else 503; each check with its timing."""
        checks = {}
        for name, check in self._checks.items():
            began = time.perf_counter()
            is_well = await check()
            checks[name] = CheckResponse(ok=is_well, ms=round((time.perf_counter() - began) * 1000, 2))
        is_well = all(check.ok for check in checks.values())
        answer = HealthResponse(
            status="ok" if is_well else "failing",
            version=__version__,
            uptime_seconds=round(time.monotonic() - self._started, 1),
            engine=self._engine,
            checks=checks,
        )
        return json_response(answer, 200 if is_well else 503)

    async def live(self, _: web.Request) -> web.Response:
        """200 while the process answers at all."""
        return json_response(LivenessResponse())
