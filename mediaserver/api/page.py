"""The page at /, its files, and what it asks about the engine."""

from collections.abc import Sequence

import aiohttp_jinja2
import jinja2
from aiohttp import web
from pydantic import BaseModel, Field

from mediaserver import __version__
from mediaserver.api.route import Route, add_routes, json_response
from mediaserver.api.web_folder import WEB


class EngineResponse(BaseModel):
    """What answers here."""

    engine: str = Field(description="gemini or local")
    model: str
    can_be_asked: list[str] = Field(description="what the local engine understands; empty where anything may be asked")


class Page:
    """GET / and /static, and GET /api/v1/engine."""

    def __init__(
        self,
        *,
        engine: str,
        model: str,
        can_be_asked: Sequence[str],
        is_registration_open: bool = True,
        history_days: int = 90,
    ):
        self._engine = EngineResponse(engine=engine, model=model, can_be_asked=list(can_be_asked))
        self._context = {
            "version": __version__,
            "static": "/static",
            "registration": "open" if is_registration_open else "closed",
            "history_days": history_days,
        }

    def routes(self) -> tuple[Route, ...]:
        """What is served beside files."""
        page = Route(
            method="GET",
            path="/",
            handler=self.show,
            summary="The page to talk on",
            tags=("server",),
            answers={200: "text/html"},
        )
        engine = Route(
            method="GET",
            path="/api/v1/engine",
            handler=self.engine,
            summary="Which engine answers, and what it can be asked",
            tags=("server",),
            answers={200: EngineResponse},
        )
        return page, engine

    def add_routes(self, app: web.Application) -> None:
        """Serve it."""
        aiohttp_jinja2.setup(app, loader=jinja2.FileSystemLoader(WEB / "templates"))
        add_routes(app, self.routes())
        app.router.add_get("/favicon.ico", self.icon)
        app.router.add_static("/static", WEB / "static", append_version=True)

    async def show(self, request: web.Request) -> web.Response:
        """The page."""
        response = aiohttp_jinja2.render_template("index.html", request, self._context)
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def icon(self, _: web.Request) -> web.StreamResponse:
        """The icon, for browsers that look in the old place."""
        return web.FileResponse(WEB / "static" / "icon.svg")

    async def engine(self, _: web.Request) -> web.Response:
        """Which engine answers and, for the local one, what it can be asked."""
        return json_response(self._engine)
