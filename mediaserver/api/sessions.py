"""A user's own live sessions: the picture the assistant saw last."""

from aiohttp import web

from mediaserver.api.limiter import Limiter
from mediaserver.auth.users import AuthError, User, Verifier
from mediaserver.http import HttpError, bearer
from mediaserver.registry import Registry


class Sessions:
    """GET /api/v1/sessions/{id}/frame."""

    def __init__(self, registry: Registry, verifier: Verifier, limiter: Limiter):
        self._registry = registry
        self._verifier = verifier
        self._limiter = limiter

    def add_routes(self, app: web.Application) -> None:
        """Serve it."""
        app.router.add_get("/api/v1/sessions/{id}/frame", self.frame)

    async def frame(self, request: web.Request) -> web.Response:
        """The newest frame the engine was sent, as JPEG, numbered in `X-Frame`; 404 while no screen is shared."""
        user = self._user(request)
        self._limiter.admit(user.id)
        conversation = self._registry.find(user.id, request.match_info["id"])
        if conversation is None:
            raise HttpError(404, "SESSION_NOT_FOUND", "You have no live session of that name.")
        if conversation.still is None:
            raise HttpError(404, "NOT_FOUND", "No screen is shared in that session.")
        still = conversation.still
        headers = {"X-Frame": str(still.number), "Cache-Control": "no-store"}
        return web.Response(body=still.jpeg, content_type="image/jpeg", headers=headers)

    def _user(self, request: web.Request) -> User:
        try:
            return self._verifier.verify(bearer(request))
        except AuthError as error:
            raise HttpError(401, "UNAUTHORIZED", str(error)) from None
