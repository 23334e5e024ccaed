"""Authenticates requests by their bearer token and limits their rate."""

from aiohttp import web

from mediaserver.api.rate_limit import SlidingWindowRateLimiter, address
from mediaserver.auth.users import AuthError, User, Verifier
from mediaserver.http_errors import HttpError, bearer


def user_of(request: web.Request, verifier: Verifier) -> User:
    """Verify the bearer token and return its user; raises `HttpError` 401."""
    try:
        return verifier.verify(bearer(request))
    except AuthError as error:
        raise HttpError(401, "UNAUTHORIZED", str(error)) from None


def authenticate(request: web.Request, verifier: Verifier, limiter: SlidingWindowRateLimiter) -> User:
    """Verify the token and count the request, by user or without one by address.

    Raises `HttpError` 401, and 429 above the limit.
    """
    try:
        user = user_of(request, verifier)
    except HttpError:
        limiter.admit(address(request))
        raise
    limiter.admit(user.id)
    return user
