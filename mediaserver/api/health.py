"""Health checks of the server, part by part."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal, Protocol

from aiohttp import web
from pydantic import BaseModel, Field

from mediaserver import __version__
from mediaserver.api.json_http import json_response
from mediaserver.deadline import within
from mediaserver.http_route import Route

Check = Callable[[], Coroutine[Any, Any, bool]]

MAX_AGE = 1.0
"""Seconds for which a result is reused, however often it is asked for."""
CHECK_DEADLINE = 2.0
"""Seconds after which a check that has not answered counts as failed."""


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
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._engine = engine
        self._checks = checks
        self._language_model_status = language_model_status
        self._clock = clock
        self._started = clock()
        self._results: dict[str, CheckResponse] = {}
        self._expires = self._started
        self._lock = asyncio.Lock()

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
        checks = await self._current_results()
        is_healthy = all(check.ok for check in checks.values())
        response = HealthResponse(
            status="ok" if is_healthy else "failing",
            version=__version__,
            uptime_seconds=round(self._clock() - self._started, 1),
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

    async def _current_results(self) -> dict[str, CheckResponse]:
        # Under the lock: however many ask while the database hangs, one check runs.
        async with self._lock:
            if self._clock() >= self._expires:
                results = await asyncio.gather(*(_run(check) for check in self._checks.values()))
                self._results = dict(zip(self._checks, results, strict=True))
                self._expires = self._clock() + MAX_AGE
            return self._results


async def _run(check: Check) -> CheckResponse:
    began = time.perf_counter()
    try:
        is_healthy = await within(CHECK_DEADLINE, check())
    except TimeoutError:
        is_healthy = False
    return CheckResponse(ok=is_healthy, ms=round((time.perf_counter() - began) * 1000, 2))
