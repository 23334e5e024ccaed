"""Guests: a token for somebody without an account, where that is allowed."""

import ipaddress

from aiohttp import web

from mediaserver.api.limiter import Limiter, address
from mediaserver.auth.tokens import ACCESS_SECONDS, Tokens, new_guest
from mediaserver.http import HttpError


class Guests:
    """POST /api/v1/guests."""

    def __init__(self, tokens: Tokens, limiter: Limiter, *, are_allowed: bool, loopback_only: bool):
        self._tokens = tokens
        self._limiter = limiter
        self._are_allowed = are_allowed
        self._loopback_only = loopback_only

    def add_routes(self, app: web.Application) -> None:
        """Serve it."""
        app.router.add_post("/api/v1/guests", self.create)

    async def create(self, request: web.Request) -> web.Response:
        """201 like a login; 403 where guests are not allowed."""
        self._limiter.admit(address(request))
        if not self._are_allowed:
            raise HttpError(403, "FORBIDDEN", "This server takes no guests; log in.")
        if self._loopback_only and not _is_loopback(address(request)):
            raise HttpError(
                403, "FORBIDDEN", "This server takes guests from its own machine only, until ALLOW_GUESTS=true is set."
            )
        guest = new_guest()
        body = {
            "access_token": self._tokens.issue(guest),
            "token_type": "bearer",
            "expires_in": ACCESS_SECONDS,
            "user": {"id": guest.id, "username": guest.username, "guest": True},
        }
        return web.json_response(body, status=201, headers={"Cache-Control": "no-store"})


def _is_loopback(remote: str) -> bool:
    try:
        return ipaddress.ip_address(remote.partition("%")[0]).is_loopback
    except ValueError:
        return False
