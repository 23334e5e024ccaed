"""Health checks of the server, part by part."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, Protocol

from aiohttp import web
from pydantic import BaseModel, Field

from mediaserver import __version__
from mediaserver.api.json_http import json_response
from mediaserver.http_route import Route

Check = Callable[[], Awaitable[bool]]


class LanguageModelStatus(Protocol):
    """The state of the operator's own model."""

    @property
    def model(self) -> str:
        """Its name."""
        ...

    @property
    def host(self) -> str:
        """Where it runs."""
        ...

    @property
    def state(self) -> Literal["untried", "ok", "failing"]:
        """Its state when it was asked last."""
        ...

    @property
    def code(self) -> str | None:
        """The last failure."""
        ...


class CheckResponse(BaseModel):
    """Result of one health check, with its duration in ms."""

    ok: bool
    ms: float


class LanguageModelHealth(BaseModel):
    """The operator's own model; while it fails, the local engine's rules answer what they can."""

    model: str
    host: str
    state: Literal["untried", "ok", "failing"]
    code: str | None = Field(description="the last failure: an LLM_ code, or null after an answer")


class HealthResponse(BaseModel):
    """Health of the server and of each part."""

    status: Literal["ok", "failing"]
    version: str
    uptime_seconds: float
    engine: str = Field(description="gemini or local")
    checks: dict[str, CheckResponse] = Field(description="each part by name")
    language_model: LanguageModelHealth | None = Field(
        None, description="the operator's own model; it does not change `status`. Null where none answers"
    )


class LivenessResponse(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Health:
    """Handles GET /health, /api/v1/health and /health/live."""

    def __init__(
        self,
        engine: str,
        checks: Mapping[str, Check],
        language_model_status: Callable[[], LanguageModelStatus] | None = None,
    ):
        self._engine = engine
        self._checks = checks
        self._language_model_status = language_model_status
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
            language_model=self._language_model(),
        )
        return json_response(response, 200 if is_healthy else 503)

    def _language_model(self) -> LanguageModelHealth | None:
        if self._language_model_status is None:
            return None
        status = self._language_model_status()
        return LanguageModelHealth(model=status.model, host=status.host, state=status.state, code=status.code)

    async def live(self, _: web.Request) -> web.Response:
        """Respond 200 while the process runs."""
        return json_response(LivenessResponse())
