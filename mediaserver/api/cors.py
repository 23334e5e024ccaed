"""CORS (Fetch standard): allows pages of other origins to use this server."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp_cors
from aiohttp import hdrs, web

_DAY = 24 * 3600
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HEADERS = "Authorization, Content-Type, If-Match"
_EXPOSED = ("X-Request-ID", "Retry-After", "X-Frame", "Location", "ETag", "Link")


def allow_origins(app: web.Application, origins: Sequence[str], *, open_to_all: Sequence[str] = ()) -> None:
    """Allow pages of `origins` ("*": any) on all routes of `app`, and any page on the paths of `open_to_all`.

    `open_to_all` lists path prefixes; "/" is that path alone. Call this after the last route was added. Credentials
    are not allowed: nothing here uses cookies. A resource with its own OPTIONS handler, such as /whip, keeps it, and
    gets the preflight headers in addition.
    """
    cors = aiohttp_cors.setup(app)
    own: dict[web.AbstractResource, Sequence[str]] = {}
    for resource in list(app.router.resources()):
        allowed = ("*",) if _is_open(resource.canonical, open_to_all) else origins
        if not allowed or not isinstance(resource, web.Resource):
            continue
        routes = list(resource)
        if any(route.method in (hdrs.METH_OPTIONS, hdrs.METH_ANY) for route in routes):
            own[resource] = allowed
            continue
        cors.add(resource)
        for route in routes:
            cors.add(route, {origin: _options() for origin in allowed})

    async def answer(request: web.Request, response: web.StreamResponse) -> None:
        resource = request.match_info.route.resource
        origin = request.headers.get(hdrs.ORIGIN)
        if resource is None or origin is None or not {origin, "*"}.intersection(own.get(resource, ())):
            return
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.VARY] = hdrs.ORIGIN
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = ", ".join(_EXPOSED)
        if request.method == hdrs.METH_OPTIONS:
            methods = {route.method for route in resource}
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_METHODS] = ", ".join(sorted(methods))
            # Whatever a client's library adds is allowed: without credentials there is nothing to protect here, and
            # `*` would not stand for Authorization (Fetch standard, "CORS non-wildcard request-header name").
            asked = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS)
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = f"{_HEADERS}, {asked}" if asked else _HEADERS
            response.headers[hdrs.ACCESS_CONTROL_MAX_AGE] = str(_DAY)

    if own:
        app.on_response_prepare.append(answer)


def origin_is_allowed(request: web.Request, origins: Sequence[str]) -> bool:
    """Whether a socket may open: from the same origin, from `origins` ("*": any), or without an Origin header."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None or "*" in origins or origin in origins:
        return True
    try:
        parts = urlsplit(origin)
        port = _DEFAULT_PORTS.get(parts.scheme) if parts.port is None else parts.port
        ours = urlsplit(f"//{request.host}")
        # A proxy that ends TLS leaves us with http: the scheme is not compared, but decides which port is meant.
        our_port = _DEFAULT_PORTS.get(parts.scheme) if ours.port is None else ours.port
    except ValueError:
        return False
    return port is not None and (parts.hostname, port) == (ours.hostname, our_port)


def _is_open(path: str, beginnings: Sequence[str]) -> bool:
    return any(path == beginning or (beginning != "/" and path.startswith(beginning)) for beginning in beginnings)


def _options() -> aiohttp_cors.ResourceOptions:
    # Its constructor is not annotated.
    return aiohttp_cors.ResourceOptions(expose_headers=_EXPOSED, allow_headers="*", max_age=_DAY)  # type: ignore[no-untyped-call]
