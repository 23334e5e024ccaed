"""A Twirp server for LiveKit's server libraries: protobuf or JSON bodies, errors always in JSON."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from mediaserver.bounded_json import parse_json
from mediaserver.http_errors import HttpError, bearer
from mediaserver.http_route import read_bytes
from mediaserver.livekit.protocol.access_token import AccessTokenClaims, ApiKeys, GrantError

PROTOBUF, JSON = "application/protobuf", "application/json"

MAX_BODY = 256_000
"""Bytes; the largest request has metadata of 64,000, or data of 60,000 in base64."""
MAX_SEPARATORS = 4_096
"""Most commas and opening brackets of a JSON body: protobuf's JSON takes some 3 µs for each."""

# https://twitchtv.github.io/twirp/docs/spec_v7.html#error-codes
_STATUS = {
    "invalid_argument": 400,
    "malformed": 400,
    "deadline_exceeded": 408,
    "bad_route": 404,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "already_exists": 409,
    "resource_exhausted": 429,
    "unimplemented": 501,
    "unavailable": 503,
}


class TwirpError(Exception):
    """The call has failed: a Twirp error code and a message."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    def response(self) -> web.Response:
        """Render the HTTP response."""
        body = json.dumps({"code": self.code, "msg": self.message})
        # Without a charset parameter, with which the npm library would not parse the error code.
        return web.Response(status=_STATUS[self.code], body=body.encode(), headers={"Content-Type": JSON})


Handler = Callable[[AccessTokenClaims, Any], Awaitable[Message]]
"""Maps the caller's claims and the request to the response. Raises `TwirpError` or `GrantError`."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service."""

    request_type: type[Message]
    handler: Handler


class Service:
    """Serves POST /twirp/<name>/<method>."""

    def __init__(self, name: str, methods: Mapping[str, Method], keys: ApiKeys):
        self._name = name
        self._methods = methods
        self._keys = keys

    def add_routes(self, app: web.Application) -> None:
        """Register the route."""
        app.router.add_post(f"/twirp/{self._name}/{{method}}", self.call)

    async def call(self, request: web.Request) -> web.Response:
        """Handle one call."""
        try:
            return await self._call(request)
        except TwirpError as error:
            return error.response()
        except GrantError as error:
            return TwirpError(
                "permission_denied" if error.status == 403 else "unauthenticated", error.message
            ).response()

    async def _call(self, request: web.Request) -> web.Response:
        grant = self._grant(request)
        method = self._methods.get(request.match_info["method"])
        if method is None:
            known = ", ".join(sorted(self._methods))
            raise TwirpError("bad_route", f"there is no such method here; there are {known}")
        is_json = request.content_type == JSON
        if not is_json and request.content_type != PROTOBUF:
            raise TwirpError("malformed", f"the body must be {PROTOBUF} or {JSON}")
        body = await _body(request)
        response = await method.handler(grant, _parse(method.request_type, body, is_json=is_json))
        if is_json:
            return web.Response(text=json_format.MessageToJson(response, indent=None), content_type=JSON)
        return web.Response(body=response.SerializeToString(), content_type=PROTOBUF)

    def _grant(self, request: web.Request) -> AccessTokenClaims:
        try:
            token = bearer(request)
        except HttpError as error:
            raise GrantError(401, error.message) from None
        return self._keys.read(token)


async def bad_route(_: web.Request) -> web.Response:
    """Answer a call of an unknown service."""
    return TwirpError("bad_route", "there is no such service here").response()


async def _body(request: web.Request) -> bytes:
    try:
        return await read_bytes(request, request.content_type, limit=MAX_BODY)
    except HttpError as error:
        raise TwirpError("malformed" if error.status == 413 else "deadline_exceeded", error.message) from None


def _parse(request_type: type[Message], body: bytes, *, is_json: bool) -> Message:
    name = request_type.DESCRIPTOR.name
    try:
        if not is_json:
            return request_type.FromString(body)
        message = parse_json(body or b"{}", max_separators=MAX_SEPARATORS)
        if not isinstance(message, dict):
            raise TwirpError("malformed", f"the body takes a {name} as a JSON object")
        return json_format.ParseDict(message, request_type(), ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError):
        raise TwirpError("malformed", f"the body is no {name}") from None
