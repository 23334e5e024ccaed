"""HTTP routes as values, which one list registers and documents, and the bounded reading of a body."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel

from mediaserver.http_errors import HttpError

JSON = "application/json"

READ_TIMEOUT = 10.0
"""Seconds in which a body must arrive."""

_BODY_ERRORS = (400, 408, 413, 415, 422)

Content = type[BaseModel] | str | None
"""A model (JSON), another media type such as image/jpeg, or nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method on one path: its handler and the description published in OpenAPI.

    `errors` are the error statuses that do not follow from the token, the body model or the query.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    tags: tuple[str, ...]
    answers: Mapping[int, Content]
    body: Content = None
    is_body_optional: bool = False
    query: type[BaseModel] | None = None
    needs_token: bool = False
    errors: tuple[int, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Descriptions of the path's parameters, by name."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Descriptions of a successful answer's headers, by name."""
    aliases: tuple[str, ...] = ()
    """Further paths that clients use, such as one with a slash at its end; they are not in OpenAPI."""

    @property
    def possible_errors(self) -> tuple[int, ...]:
        """Every error status, declared or implied by the token, the body and the query."""
        statuses = set(self.errors)
        if self.needs_token:
            statuses.add(401)
        if isinstance(self.body, type):
            statuses.update(_BODY_ERRORS)
        if self.query is not None:
            statuses.add(422)
        return tuple(sorted(statuses))


def add_routes(app: web.Application, routes: Iterable[Route]) -> None:
    """Register the routes; a GET route also answers HEAD."""
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        for path in (route.path, *route.aliases):
            by_path.setdefault(path, []).append(route)
    # aiohttp joins neighbours of one path in one resource, and CORS goes by resource.
    for path, neighbours in by_path.items():
        for route in neighbours:
            if route.method == "GET":
                app.router.add_get(path, route.handler)
            else:
                app.router.add_route(route.method, path, route.handler)


async def read_bytes(request: web.Request, media_type: str, *, limit: int) -> bytes:
    """Read a body of at most `limit` bytes, or raise `HttpError` 408, 413 or 415."""
    if request.content_type != media_type:
        raise HttpError(415, "UNSUPPORTED_MEDIA_TYPE", f"The body must be {media_type}.")
    body = bytearray()
    try:
        async with asyncio.timeout(READ_TIMEOUT):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > limit:
                    raise HttpError(413, "PAYLOAD_TOO_LARGE", f"The body must be at most {limit} bytes.")
    except TimeoutError:
        raise HttpError(408, "REQUEST_TIMEOUT", "The body did not come in time.") from None
    return bytes(body)
