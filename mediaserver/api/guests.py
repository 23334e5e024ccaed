"""Issues tokens to guests: users without an account, where the settings allow them."""

import ipaddress
from typing import Protocol
from urllib.parse import urlsplit

from aiohttp import web

from mediaserver.api.json_http import json_response
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.api.user_schemas import LoginResponse
from mediaserver.api.users import store_errors_as_http
from mediaserver.auth.accounts import Grant
from mediaserver.caller import address_of_request, network_of_request
from mediaserver.http_errors import HttpError
from mediaserver.http_route import Route

_FORWARDING = frozenset({"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip"})
_FORWARDING_PREFIXES = ("x-forwarded-", "cf-")
"""Headers, in lower case, that a proxy or a tunnel adds."""


class GuestIssuer(Protocol):
    """Issues guest tokens; implemented by `Accounts`."""

    async def guest(self) -> Grant:
        """Create a guest and issue its tokens; raises `StoreError`."""
        ...


class Guests:
    """Handles POST /api/v1/guests."""

    def __init__(
        self, accounts: GuestIssuer, limiter: SlidingWindowRateLimiter, *, are_allowed: bool, loopback_only: bool
    ):
        self._accounts = accounts
        self._limiter = limiter
        self._are_allowed = are_allowed
        self._loopback_only = loopback_only

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        return (
            Route(
                method="POST",
                path="/api/v1/guests",
                handler=self.create,
                summary="Come in without an account, where guests are allowed",
                tags=("users",),
                answers={201: LoginResponse},
                errors=(403, 429, 503),
            ),
        )

    async def create(self, request: web.Request) -> web.Response:
        """Respond 201 as a login does; 403 where guests are not allowed."""
        self._limiter.admit(network_of_request(request))
        if not self._are_allowed:
            raise HttpError(403, "FORBIDDEN", "This server takes no guests; log in.")
        if self._loopback_only and not _is_local(request):
            raise HttpError(
                403, "FORBIDDEN", "This server takes guests from its own machine only, until ALLOW_GUESTS=true is set."
            )
        with store_errors_as_http():
            grant = await self._accounts.guest()
        return json_response(LoginResponse.of(grant), 201)


def _is_local(request: web.Request) -> bool:
    """Whether a request comes from this machine: by its address, its Host, and the absence of forwarding headers."""
    # A page of another site whose name was pointed at 127.0.0.1 (DNS rebinding) sends that name as the Host.
    return _is_loopback(address_of_request(request)) and _names_loopback(request.host) and not _is_forwarded(request)


def _is_forwarded(request: web.Request) -> bool:
    names = (name.lower() for name in request.headers)
    return any(name in _FORWARDING or name.startswith(_FORWARDING_PREFIXES) for name in names)


def _names_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return name == "localhost" or _is_loopback(name)


def _is_loopback(remote: str) -> bool:
    try:
        return ipaddress.ip_address(remote.partition("%")[0]).is_loopback
    except ValueError:
        return False
