"""The error middleware: request ids, error responses and the last exception handler; and every response's headers."""

import re
import time
import uuid
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler
from loguru import logger

from mediaserver.caller import address_of_request
from mediaserver.http_errors import HttpError
from mediaserver.http_server import SERVER_NAME

# Chromium asks for the camera's permission, too, when a tab is shared.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), display-capture=(self), camera=(self), geolocation=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

STRICT_TRANSPORT = "max-age=31536000"
"""A year of https only, for this host and not for its subdomains, which other servers may be."""

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Respond to every request, even if its handler fails; log it without query or body."""
    offered = request.headers.get("X-Request-ID", "")
    request_id = offered if _ACCEPTABLE_ID.fullmatch(offered) else uuid.uuid4().hex
    began = time.perf_counter()
    with logger.contextualize(request=request_id, address=address_of_request(request)):
        response = await _answer(request, handler)
        took = round((time.perf_counter() - began) * 1000, 1)
        level = "DEBUG" if response.status < 400 else "INFO"
        logger.log(level, "http", method=request.method, path=request.path, status=response.status, ms=took)
    if not response.prepared:
        response.headers["X-Request-ID"] = request_id
        if request.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-cache"  # modules import one another without a version
    return response


async def set_security_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set the headers of a response before it is sent: a signal handler for `on_response_prepare`."""
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = SERVER_NAME  # aiohttp has set its own by now
    # A developer's localhost has other servers on other ports, and browsers hold the host to https on all of them.
    if request.secure and request.host.partition(":")[0] != "localhost":
        response.headers["Strict-Transport-Security"] = STRICT_TRANSPORT


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        _check_encoding(request)
        return await handler(request)
    except HttpError as error:
        return error.response()
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return _from_aiohttp_error(error)
    except (ConnectionError, web.RequestPayloadError) as error:
        if request.content.exception() is None:
            return _from_bug(request, error)
        # The client left, or its body cannot be read. Clients can do that at will, so it is no error of the server.
        return HttpError(400, "BODY_UNREADABLE", "The body ended too early or cannot be read.").response()
    except Exception as error:
        return _from_bug(request, error)


def _from_bug(request: web.Request, error: Exception) -> web.Response:
    logger.opt(exception=error).error("request failed", path=request.path)
    return HttpError(500, "INTERNAL_ERROR", "The server made a mistake.").response()


def _check_encoding(request: web.Request) -> None:
    # A body of 1 MB can inflate to 1 GB: nothing here is worth that, so bodies come as they are.
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        message = "The body must not be compressed: send it without Content-Encoding."
        raise HttpError(415, "UNSUPPORTED_MEDIA_TYPE", message, headers={"Accept-Encoding": "identity"})


def _from_aiohttp_error(error: web.HTTPException) -> web.StreamResponse:
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    message = {
        404: "There is nothing at this address.",
        405: "This address does not take that method.",
        413: "The body is too large.",
    }.get(error.status, error.reason)
    code = HTTPStatus(error.status).name
    return HttpError(error.status, code, message, headers=headers).response()
