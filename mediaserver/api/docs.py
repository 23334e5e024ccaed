"""Serves the documentation: /openapi.json and /asyncapi.json, and Swagger UI at /docs without external files."""

import json
from collections.abc import Iterable

from aiohttp import web

from mediaserver import __version__
from mediaserver.api.asyncapi import asyncapi_document
from mediaserver.api.openapi import document
from mediaserver.api.web_folder import WEB
from mediaserver.http_route import JSON, Route

_SWAGGER_UI = WEB / "vendor" / "swagger-ui"
_FILES = {
    "swagger-ui.css": _SWAGGER_UI / "swagger-ui.css",
    "swagger-ui-bundle.js": _SWAGGER_UI / "swagger-ui-bundle.js",
    "docs.css": WEB / "static" / "docs.css",
    "docs.js": WEB / "static" / "docs.js",
}
_PAGE = WEB / "static" / "docs.html"


class Docs:
    """Handles GET /openapi.json, /asyncapi.json, /docs and the files of that page."""

    def __init__(self, routes: Iterable[Route]):
        self._document = json.dumps(document(routes, version=__version__), ensure_ascii=False)
        self._asyncapi = json.dumps(asyncapi_document(version=__version__), ensure_ascii=False)

    def add_routes(self, app: web.Application) -> None:
        """Serve them."""
        app.router.add_get("/openapi.json", self.openapi)
        app.router.add_get("/asyncapi.json", self.asyncapi)
        app.router.add_get("/docs", self.page)
        app.router.add_get("/docs/{file}", self.file)

    async def openapi(self, _: web.Request) -> web.Response:
        """Return the OpenAPI 3.1 document."""
        return web.Response(text=self._document, content_type=JSON, headers={"Cache-Control": "no-cache"})

    async def asyncapi(self, _: web.Request) -> web.Response:
        """Return the AsyncAPI 3.0 document."""
        return web.Response(text=self._asyncapi, content_type=JSON, headers={"Cache-Control": "no-cache"})

    async def page(self, _: web.Request) -> web.StreamResponse:
        """Return Swagger UI."""
        return web.FileResponse(_PAGE, headers={"Cache-Control": "no-cache"})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """Return a file of the page; 404 for any other name."""
        path = _FILES.get(request.match_info["file"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})
