"""Guides over HTTP: the server's to read, a user's own to create, change and delete."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from pydantic import BaseModel, Field

from mediaserver.api.authentication import authenticate
from mediaserver.api.json_http import json_response, read_body
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.users import User, Verifier
from mediaserver.guides import MAX_OWN_GUIDES, GuideFilesError, GuideShelf, TooManyGuidesError
from mediaserver.http_errors import HttpError
from mediaserver.http_route import Route
from mediaserver.session_limits import GUIDE
from pipeline.guidance.guide import MAX_GUIDE, Guide, GuideError

_RETRY_FILES = 5
_TAGS = ("guides",)
_LIST = "/api/v1/guides"
_PATH = "/api/v1/guides/{id}"
_NAMES = {"id": GUIDE.description}


class GuideSummary(BaseModel):
    """One guide; `own` if you may change it."""

    id: str
    title: str
    when: str
    steps: list[str] = Field(description="the text of each step")
    own: bool

    @classmethod
    def of(cls, guide: Guide, *, own: bool) -> "GuideSummary":
        """Render a guide."""
        return cls(id=guide.id, title=guide.title, when=guide.when, steps=[step.text for step in guide.steps], own=own)


class GuideResponse(GuideSummary):
    """One guide with its Markdown."""

    text: str


class GuidesResponse(BaseModel):
    """The guides that you can follow: the server's, and your own."""

    guides: list[GuideSummary]


class GuideBody(BaseModel):
    """The Markdown of a guide."""

    text: str = Field(min_length=1, max_length=MAX_GUIDE, description=f"1 to {MAX_GUIDE} characters of Markdown")


class GuideRoutes:
    """Handles /api/v1/guides."""

    def __init__(self, shelf: GuideShelf, verifier: Verifier, limiter: SlidingWindowRateLimiter):
        self._shelf = shelf
        self._verifier = verifier
        self._limiter = limiter

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        return (
            Route(
                method="GET",
                path=_LIST,
                handler=self.index,
                summary="The guides I can follow",
                tags=_TAGS,
                needs_token=True,
                answers={200: GuidesResponse},
                errors=(429, 503),
            ),
            Route(
                method="GET",
                path=_PATH,
                handler=self.show,
                summary="One guide with its Markdown",
                tags=_TAGS,
                parameters=_NAMES,
                needs_token=True,
                answers={200: GuideResponse},
                errors=(404, 429, 503),
            ),
            Route(
                method="PUT",
                path=_PATH,
                handler=self.save,
                summary="Create or replace a guide of mine",
                tags=_TAGS,
                parameters=_NAMES,
                needs_token=True,
                body=GuideBody,
                answers={200: GuideResponse, 201: GuideResponse},
                errors=(403, 409, 429, 503),
            ),
            Route(
                method="DELETE",
                path=_PATH,
                handler=self.delete,
                summary="Delete a guide of mine",
                tags=_TAGS,
                parameters=_NAMES,
                needs_token=True,
                answers={204: None},
                errors=(404, 429, 503),
            ),
        )

    async def index(self, request: web.Request) -> web.Response:
        """List the guides; a user's own one stands in the place of the server's of the same id."""
        user = self._user(request)
        with _file_errors_as_http():
            own = {guide.id for guide in await self._shelf.own(user.id)}
            library = await self._shelf.of(user.id)
        return json_response(
            GuidesResponse(guides=[GuideSummary.of(guide, own=guide.id in own) for guide in library.guides])
        )

    async def show(self, request: web.Request) -> web.Response:
        """Return a guide; 404 if the user has none of this id."""
        user, guide_id = self._user(request), request.match_info["id"]
        with _file_errors_as_http():
            own = {guide.id for guide in await self._shelf.own(user.id)}
            guide = (await self._shelf.of(user.id)).get(guide_id)
        if guide is None:
            raise _not_found()
        return json_response(_response(guide, own=guide.id in own))

    async def save(self, request: web.Request) -> web.Response:
        """Store a guide, 201 if it is new; 422 names the line of a fault."""
        user, guide_id = self._user(request), request.match_info["id"]
        if not GUIDE.matches(guide_id):
            raise _invalid("id", f"Takes {GUIDE.description}.")
        if user.is_guest:
            raise HttpError(403, "FORBIDDEN", "A guest keeps no guides; register an account.")
        body = await read_body(request, GuideBody)
        with _file_errors_as_http():
            try:
                guide, is_new = await self._shelf.save(user.id, guide_id, body.text)
            except GuideError as error:
                raise _invalid("text", f"Line {error.line}: {error.reason}.", line=error.line) from None
            except TooManyGuidesError:
                message = f"You have {MAX_OWN_GUIDES} guides, the most that are kept; delete one."
                raise HttpError(409, "TOO_MANY_GUIDES", message, details={"limit": MAX_OWN_GUIDES}) from None
        return json_response(_response(guide, own=True), 201 if is_new else 200)

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a guide, 204; 404 if the user has made none of this id."""
        user, guide_id = self._user(request), request.match_info["id"]
        with _file_errors_as_http():
            is_deleted = GUIDE.matches(guide_id) and await self._shelf.delete(user.id, guide_id)
        if not is_deleted:
            raise _not_found()
        return web.Response(status=204)

    def _user(self, request: web.Request) -> User:
        return authenticate(request, self._verifier, self._limiter)


@contextmanager
def _file_errors_as_http() -> Iterator[None]:
    try:
        yield
    except GuideFilesError:
        message = "Your guides cannot be read or written now. Try again soon."
        raise HttpError(503, "STORE_UNAVAILABLE", message, retry_after=_RETRY_FILES) from None


def _response(guide: Guide, *, own: bool) -> GuideResponse:
    return GuideResponse(**GuideSummary.of(guide, own=own).model_dump(), text=guide.text)


def _not_found() -> HttpError:
    return HttpError(404, "GUIDE_NOT_FOUND", "You have no guide of this id.")


def _invalid(field: str, message: str, **details: int) -> HttpError:
    fields = [{"field": field, "message": message}]
    return HttpError(422, "INVALID_FIELDS", f"`{field}`: {message}", details={"fields": fields, **details})
