"""The documentation: /openapi.json for programs, /docs for people, without any help from outside."""

import json
from collections.abc import Iterable

from aiohttp import web

from mediaserver import __version__
from mediaserver.api.openapi import document
from mediaserver.api.route import JSON, Route
from mediaserver.api.web_folder import WEB

_SWAGGER_UI = WEB / "vendor" / "swagger-ui"
_FILES = {
    "swagger-ui.css": _SWAGGER_UI / "swagger-ui.css",
    "swagger-ui-bundle.js": _SWAGGER_UI / "swagger-ui-bundle.js",
    "docs.css": WEB / "static" / "docs.css",
    "docs.js": WEB / "static" / "docs.js",
}
_PAGE = WEB / "static" / "docs.html"


class Docs:
    """GET /openapi.json, /docs and the files the page needs."""

    def __init__(self, routes: Iterable[Route]):
        self._document = json.dumps(document(routes, version=__version__), ensure_ascii=False)

    def add_routes(self, app: web.Application) -> None:
        """Serve them."""
        app.router.add_get("/openapi.json", self.openapi)
        app.router.add_get("/docs", self.page)
        app.router.add_get("/docs/{file}", self.file)

    async def openapi(self, _: web.Request) -> web.Response:
        """The OpenAPI 3.1 document."""
        return web.Response(text=self._document, content_type=JSON, headers={"Cache-Control": "no-cache"})

    async def page(self, _: web.Request) -> web.StreamResponse:
        """Swagger UI."""
        return web.FileResponse(_PAGE, headers={"Cache-Control": "no-cache"})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One of the page's files."""
        path = _FILES.get(request.match_info["file"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers={"Cache-Control": "no-cache"})
