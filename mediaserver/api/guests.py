"""Guests: a token for somebody without an account, where that is allowed."""

import ipaddress

from aiohttp import web
from pydantic import BaseModel

from mediaserver.api.limiter import Limiter, address
from mediaserver.api.route import Route, add_routes, json_answer
from mediaserver.auth.tokens import ACCESS_SECONDS, Tokens, new_guest
from mediaserver.http import HttpError


class GuestUser(BaseModel):
    """Somebody without an account."""

    id: str
    username: str
    guest: bool


class GuestAnswer(BaseModel):
    """A token, and who it stands for."""

    access_token: str
    token_type: str
    expires_in: int
    user: GuestUser


class Guests:
    """POST /api/v1/guests."""

    def __init__(self, tokens: Tokens, limiter: Limiter, *, are_allowed: bool, loopback_only: bool):
        self._tokens = tokens
        self._limiter = limiter
        self._are_allowed = are_allowed
        self._loopback_only = loopback_only

    def routes(self) -> tuple[Route, ...]:
        """What is served."""
        return (
            Route(
                method="POST",
                path="/api/v1/guests",
                handler=self.create,
                summary="Get a token without an account",
                tags=("users",),
                answers={201: GuestAnswer},
                errors=(403, 429),
            ),
        )

    def add_routes(self, app: web.Application) -> None:
        """Serve it."""
        add_routes(app, self.routes())

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
        answer = GuestAnswer(
            access_token=self._tokens.issue(guest),
            token_type="bearer",
            expires_in=ACCESS_SECONDS,
            user=GuestUser(id=guest.id, username=guest.username, guest=True),
        )
        return json_answer(answer, 201)


def _is_loopback(remote: str) -> bool:
    try:
        return ipaddress.ip_address(remote.partition("%")[0]).is_loopback
    except ValueError:
        return False
