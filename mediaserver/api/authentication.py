"""Who sends a request."""

from aiohttp import web

from mediaserver.api.rate_limit import RateLimiter, address
from mediaserver.auth.users import AuthError, User, Verifier
from mediaserver.http_errors import HttpError, bearer


def user_of(request: web.Request, verifier: Verifier) -> User:
    """The user whose token the request bears, or `HttpError` 401."""
    try:
        return verifier.verify(bearer(request))
    except AuthError as error:
        raise HttpError(401, "UNAUTHORIZED", str(error)) from None


def authenticate(request: web.Request, verifier: Verifier, limiter: RateLimiter) -> User:
    """`user_of`, and counted: by user, or by address where there is none; `HttpError` 429 past the limit."""
    try:
        user = user_of(request, verifier)
    except HttpError:
        limiter.admit(address(request))
        raise
    limiter.admit(user.id)
    return user
