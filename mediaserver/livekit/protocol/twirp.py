"""Twirp as LiveKit's server libraries speak it: protobuf or its JSON in, the same out, errors always in JSON."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from mediaserver.http_errors import HttpError, bearer
from mediaserver.livekit.protocol.access_token import AccessTokenClaims, ApiKeys, GrantError

PROTOBUF, JSON = "application/protobuf", "application/json"

# https://twitchtv.github.io/twirp/docs/spec_v7.html#error-codes
_STATUS = {
    "invalid_argument": 400,
    "malformed": 400,
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
    """Why a call fails: a code of Twirp's, and a sentence."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    def response(self) -> web.Response:
        """As clients are told."""
        body = json.dumps({"code": self.code, "msg": self.message})
        # The content type must be this and no more: with a charset, the npm library does not read the code.
        return web.Response(status=_STATUS[self.code], body=body.encode(), headers={"Content-Type": JSON})


Handler = Callable[[AccessTokenClaims, Any], Awaitable[Message]]
"""Takes the caller's grant and the request, gives the response; raises `TwirpError` or `GrantError`."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a service."""

    takes: type[Message]
    handler: Handler


class Service:
    """POST /twirp/<name>/<method>."""

    def __init__(self, name: str, methods: Mapping[str, Method], keys: ApiKeys):
        self._name = name
        self._methods = methods
        self._keys = keys

    def add_routes(self, app: web.Application) -> None:
        """Serve it."""
        app.router.add_post(f"/twirp/{self._name}/{{method}}", self.call)

    async def call(self, request: web.Request) -> web.Response:
        """One call."""
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
        response = await method.handler(grant, _parse(method.takes, await request.read(), is_json=is_json))
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
    """What is answered for services that are not here."""
    return TwirpError("bad_route", "there is no such service here").response()


def _parse(takes: type[Message], body: bytes, *, is_json: bool) -> Message:
    name = takes.DESCRIPTOR.name
    try:
        if not is_json:
            return takes.FromString(body)
        message = json.loads(body or b"{}")
        if not isinstance(message, dict):
            raise TwirpError("malformed", f"the body takes a {name} as a JSON object")
        return json_format.ParseDict(message, takes(), ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError):
        raise TwirpError("malformed", f"the body is no {name}") from None
