"""Is the server well, and which engine answers."""

import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from mediaserver import __version__

Check = Callable[[], Awaitable[bool]]


class Health:
    """GET /health, /api/v1/health and /health/live."""

    def __init__(self, engine: str, checks: Mapping[str, Check]):
        self._engine = engine
        self._checks = checks
        self._started = time.monotonic()

    def add_routes(self, app: web.Application) -> None:
        """Serve it."""
        app.router.add_get("/health", self.show)
        app.router.add_get("/api/v1/health", self.show)
        app.router.add_get("/health/live", self.live)

    async def show(self, _: web.Request) -> web.Response:
        """200 when every check passes, else 503; each check with its timing."""
        checks = {}
        for name, check in self._checks.items():
            began = time.perf_counter()
            is_well = await check()
            checks[name] = {"ok": is_well, "ms": round((time.perf_counter() - began) * 1000, 2)}
        is_well = all(check["ok"] for check in checks.values())
        body = {
            "status": "ok" if is_well else "failing",
            "version": __version__,
            "uptime_seconds": round(time.monotonic() - self._started, 1),
            "engine": self._engine,
            "checks": checks,
        }
        return web.json_response(body, status=200 if is_well else 503, headers={"Cache-Control": "no-store"})

    async def live(self, _: web.Request) -> web.Response:
        """200 while the process answers at all."""
        return web.json_response({"status": "ok"})
