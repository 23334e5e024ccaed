"""Authenticates requests by their bearer token and limits their rate."""

from aiohttp import web

from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.users import AuthError, User, Verifier
from mediaserver.caller import Caller, network_of_request
from mediaserver.http_errors import HttpError, bearer


def user_of(request: web.Request, verifier: Verifier) -> User:
    """Verify the bearer token and return its user; raises `HttpError` 401."""
    try:
        return verifier.verify(bearer(request))
    except AuthError as error:
        raise HttpError(401, "UNAUTHORIZED", str(error)) from None


def authenticate(request: web.Request, verifier: Verifier, limiter: SlidingWindowRateLimiter) -> User:
    """Verify the token and count the request: by user, by network for guests and without a valid token.

    Raises `HttpError` 401, and 429 above the limit.
    """
    try:
        user = user_of(request, verifier)
    except HttpError:
        limiter.admit(network_of_request(request))
        raise
    limiter.admit(Caller(user.id, user.is_guest, request.remote or "").counted_as)
    return user
