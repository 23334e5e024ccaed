"""Serves the web page at /, its files, and a description of the engine."""

from collections.abc import Sequence

import aiohttp_jinja2
import jinja2
from aiohttp import web
from pydantic import BaseModel, Field

from mediaserver import __version__
from mediaserver.api.json_http import json_response
from mediaserver.api.web_folder import WEB
from mediaserver.http_route import Route, add_routes
from pipeline.events import LanguageModel


class LanguageModelResponse(BaseModel):
    """A language model, and the host and port that questions and frames are sent to."""

    model: str
    host: str


class EngineResponse(BaseModel):
    """The engine of this server and its default model."""

    engine: str = Field(description="gemini or local")
    model: str
    language_model: LanguageModelResponse | None = Field(
        description="the operator's own model and its host, if it answers in the local engine; else null"
    )
    can_be_asked: list[str] = Field(description="what the local engine understands; empty where anything may be asked")


class Page:
    """Handles GET /, /static and /api/v1/engine."""

    def __init__(
        self,
        *,
        engine: str,
        model: str,
        language_model: LanguageModel | None = None,
        example_questions: Sequence[str],
        is_registration_open: bool = True,
        history_days: int = 90,
    ):
        self._engine = EngineResponse(
            engine=engine,
            model=model,
            language_model=None
            if language_model is None
            else LanguageModelResponse(model=language_model.model, host=language_model.host),
            can_be_asked=list(example_questions),
        )
        self._context = {
            "version": __version__,
            "static": "/static",
            "registration": "open" if is_registration_open else "closed",
            "history_days": history_days,
        }

    def routes(self) -> tuple[Route, ...]:
        """List the routes, without files."""
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
        """Return the page."""
        response = aiohttp_jinja2.render_template("index.html", request, self._context)
        response.headers["Cache-Control"] = "no-cache"
        return response

    async def icon(self, _: web.Request) -> web.StreamResponse:
        """Return the icon at /favicon.ico, for browsers that ignore the page's link."""
        return web.FileResponse(WEB / "static" / "icon.svg")

    async def engine(self, _: web.Request) -> web.Response:
        """Describe the engine, with example questions for the local one."""
        return json_response(self._engine)
