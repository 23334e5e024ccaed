"""A user's own sessions: the latest frame of a live one, and the stored history of all."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol

from aiohttp import web
from pydantic import BaseModel, Field

from mediaserver.api.authentication import authenticate
from mediaserver.api.json_http import json_response, read_query
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.users import User, Verifier
from mediaserver.http_errors import HttpError
from mediaserver.http_route import Route
from mediaserver.registry import Registry
from mediaserver.store.database import read_in_time
from mediaserver.store.interface import CursorError, Store, StoreError
from mediaserver.store.records import Entry, SessionPage, SessionRecord, TurnUsage
from pipeline.errors import MediaError
from pipeline.events import Box, EndReason
from pipeline.media import EncodedFrame

RETRY_STORE = 5

_TAGS = ("sessions",)
_PATH = "/api/v1/sessions/{id}"
_NAMES = {"id": "the server's id of a session of yours, or your own label"}


class SessionsQuery(BaseModel):
    """Selects one page of the list."""

    limit: int = Field(20, ge=1, le=100, description="a number from 1 to 100")
    cursor: str | None = Field(None, description="the `next_cursor` of the page before")


class SessionResponse(BaseModel):
    """One session; `ended_at` and `end_reason` are null while it is live."""

    id: str
    label: str
    started_at: datetime
    ended_at: datetime | None
    transport: str
    engine: str
    model: str
    language: str
    turns: int
    end_reason: str | None = Field(description="client, idle, limit, shutdown or error")


class SessionsResponse(BaseModel):
    """Some of your sessions, newest first; `next_cursor` is null on the last page."""

    sessions: list[SessionResponse]
    next_cursor: str | None


class EntryResponse(BaseModel):
    """The text of one role in one turn; `heard_ms` for the assistant only."""

    at: datetime
    role: str = Field(description="user, assistant or system")
    text: str
    turn: int
    interrupted: bool
    heard_ms: int | None


class UsageResponse(BaseModel):
    """Token usage of one turn, by kind of token."""

    turn: int
    at: datetime
    tokens: dict[str, int]


class HistoryResponse(BaseModel):
    """A session with its transcript and the token usage of its turns, in order."""

    session: SessionResponse
    entries: list[EntryResponse]
    usage: list[UsageResponse]


class WordResponse(BaseModel):
    """A line of text on a frame: its box [ymin, xmin, ymax, xmax] from 0 to 1000, and the confidence from 0 to 1."""

    text: str
    box: tuple[int, int, int, int]
    confidence: float


class WordsResponse(BaseModel):
    """The text on the frame of that number."""

    frame: int
    words: list[WordResponse]


class ReadWord(Protocol):
    """A line of text on a frame, such as `pipeline.screen.ocr.ReadText`."""

    @property
    def text(self) -> str:
        """The text."""
        ...

    @property
    def box(self) -> Box:
        """Its place."""
        ...

    @property
    def confidence(self) -> float:
        """The reader's, 0 to 1."""
        ...


ReadWords = Callable[[bytes], Awaitable[Sequence[ReadWord]]]
"""Reads the text on a JPEG; raises `MediaError`."""


class Sessions:
    """Handles GET /api/v1/sessions/{id}/frame and /words; `read_words` is None where the engine reads none."""

    def __init__(
        self,
        registry: Registry,
        verifier: Verifier,
        limiter: SlidingWindowRateLimiter,
        *,
        read_words: ReadWords | None = None,
    ):
        self._read_words = read_words
        self._registry = registry
        self._verifier = verifier
        self._limiter = limiter

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        return (
            Route(
                method="GET",
                path=f"{_PATH}/frame",
                handler=self.frame,
                summary="The picture the assistant saw last, while a screen is shared",
                tags=_TAGS,
                parameters=_NAMES,
                needs_token=True,
                answers={200: "image/jpeg"},
                errors=(404, 429),
                headers={"X-Frame": "The picture's number."},
            ),
            Route(
                method="GET",
                path=f"{_PATH}/words",
                handler=self.words,
                summary="The words that the local engine reads on that picture",
                tags=_TAGS,
                parameters=_NAMES,
                needs_token=True,
                answers={200: WordsResponse},
                errors=(404, 429),
            ),
        )

    async def frame(self, request: web.Request) -> web.Response:
        """Return the latest frame sent to the engine, as JPEG; 404 while no screen is shared."""
        screenshot = self._screenshot(request)
        headers = {"X-Frame": str(screenshot.number), "Cache-Control": "no-store"}
        return web.Response(body=screenshot.jpeg, content_type="image/jpeg", headers=headers)

    async def words(self, request: web.Request) -> web.Response:
        """Return the text on the latest frame; 404 while no screen is shared, or if it cannot be read."""
        screenshot = self._screenshot(request)
        if self._read_words is None:
            raise HttpError(404, "NOT_FOUND", "The engine of this server sees pictures and reads no words.")
        try:
            words = await self._read_words(screenshot.jpeg)
        except MediaError:
            raise HttpError(404, "NOT_FOUND", "The words on that picture cannot be read.") from None
        read = [WordResponse(text=word.text, box=word.box, confidence=word.confidence) for word in words]
        return json_response(WordsResponse(frame=screenshot.number, words=read))

    def _screenshot(self, request: web.Request) -> EncodedFrame:
        user = authenticate(request, self._verifier, self._limiter)
        conversation = self._registry.find(user.id, request.match_info["id"])
        if conversation is None:
            raise HttpError(404, "SESSION_NOT_FOUND", "You have no live session of that name.")
        if conversation.latest_screenshot is None:
            raise HttpError(404, "NOT_FOUND", "No screen is shared in that session.")
        return conversation.latest_screenshot


async def _no_flush() -> None:
    return None


class HistoryRoutes:
    """Handles GET /api/v1/sessions, GET and DELETE of one session, GET of its history.

    `flush` writes pending history; it is awaited before each read of the store.
    """

    def __init__(
        self,
        registry: Registry,
        store: Store,
        verifier: Verifier,
        limiter: SlidingWindowRateLimiter,
        *,
        flush: Callable[[], Awaitable[None]] = _no_flush,
    ):
        self._registry = registry
        self._store = store
        self._verifier = verifier
        self._limiter = limiter
        self._flush = flush

    def routes(self) -> tuple[Route, ...]:
        """List the routes."""
        listed = Route(
            method="GET",
            path="/api/v1/sessions",
            handler=self.list,
            summary="Your sessions, newest first",
            tags=_TAGS,
            query=SessionsQuery,
            needs_token=True,
            answers={200: SessionsResponse},
            errors=(429, 503),
        )
        one = Route(
            method="GET",
            path=_PATH,
            handler=self.show,
            summary="One of your sessions",
            tags=_TAGS,
            parameters=_NAMES,
            needs_token=True,
            answers={200: SessionResponse},
            errors=(404, 429, 503),
        )
        deleted = Route(
            method="DELETE",
            path=_PATH,
            handler=self.delete,
            summary="End one of your sessions if it is live, and delete what is kept of it",
            tags=_TAGS,
            parameters=_NAMES,
            needs_token=True,
            answers={204: None},
            errors=(404, 429, 503),
        )
        history = Route(
            method="GET",
            path=f"{_PATH}/history",
            handler=self.history,
            summary="What was said in one of your sessions",
            tags=_TAGS,
            parameters=_NAMES,
            needs_token=True,
            answers={200: HistoryResponse},
            errors=(404, 429, 503),
        )
        return listed, one, deleted, history

    async def list(self, request: web.Request) -> web.Response:
        """Return one page of the user's sessions."""
        user = authenticate(request, self._verifier, self._limiter)
        query = read_query(request, SessionsQuery)
        try:
            page = await read_in_time(self._read_page(user, query))
        except CursorError:
            fields = [{"field": "cursor", "message": "Accepts the `next_cursor` of the page before."}]
            raise HttpError(
                422, "INVALID_FIELDS", "`cursor` is not one this server gave.", details={"fields": fields}
            ) from None
        except StoreError:
            raise _history_unavailable() from None
        return json_response(
            SessionsResponse(sessions=[_session(record) for record in page.sessions], next_cursor=page.next_cursor)
        )

    async def show(self, request: web.Request) -> web.Response:
        """Return one of the user's sessions."""
        user = authenticate(request, self._verifier, self._limiter)
        try:
            record = await read_in_time(self._read_record(user, request.match_info["id"]))
        except StoreError:
            raise _history_unavailable() from None
        return json_response(_session(record))

    async def delete(self, request: web.Request) -> web.Response:
        """End a live session and delete its history; respond 204."""
        user = authenticate(request, self._verifier, self._limiter)
        name = request.match_info["id"]
        conversation = self._registry.find(user.id, name)
        if conversation is not None:
            conversation.end(EndReason.CLIENT)
        try:
            # Its record must be written first: then the store marks it as deleted and ignores later facts of it.
            await self._flush()
            # A label may have been used before: the live session is deleted, not an older one.
            record = None if conversation is not None else await self._store.session(user.id, name)
            session = conversation.config.id if conversation is not None else record.id if record else None
            was_stored = session is not None and await self._store.forget_session(user.id, session)
        except StoreError:
            raise _history_unavailable() from None
        if conversation is None and not was_stored:
            raise _session_not_found()
        return web.Response(status=204)

    async def history(self, request: web.Request) -> web.Response:
        """Return the transcript and the token usage, in order."""
        user = authenticate(request, self._verifier, self._limiter)
        try:
            record, entries, usage = await read_in_time(self._read_history(user, request.match_info["id"]))
        except StoreError:
            raise _history_unavailable() from None
        return json_response(
            HistoryResponse(
                session=_session(record),
                entries=[
                    EntryResponse(
                        at=entry.at,
                        role=entry.role,
                        text=entry.text,
                        turn=entry.turn,
                        interrupted=entry.interrupted,
                        heard_ms=entry.heard_ms,
                    )
                    for entry in entries
                ],
                usage=[UsageResponse(turn=turn.turn, at=turn.at, tokens=dict(turn.tokens)) for turn in usage],
            )
        )

    async def _read_page(self, user: User, query: SessionsQuery) -> SessionPage:
        await self._flush()
        return await self._store.sessions(user.id, limit=query.limit, cursor=query.cursor)

    async def _read_history(
        self, user: User, name: str
    ) -> tuple[SessionRecord, tuple[Entry, ...], tuple[TurnUsage, ...]]:
        record = await self._read_record(user, name)
        return record, await self._store.history(record.id), await self._store.usage(record.id)

    async def _read_record(self, user: User, name: str) -> SessionRecord:
        """Find the user's own session of that name; raises `HttpError` 404, also for another user's session."""
        await self._flush()
        record = await self._store.session(user.id, name)
        if record is None:
            raise _session_not_found()
        return record


def _session(record: SessionRecord) -> SessionResponse:
    return SessionResponse(
        id=record.id,
        label=record.label,
        started_at=record.started_at,
        ended_at=record.ended_at,
        transport=record.transport,
        engine=record.engine,
        model=record.model,
        language=record.language,
        turns=record.turns,
        end_reason=record.end_reason,
    )


def _session_not_found() -> HttpError:
    return HttpError(404, "SESSION_NOT_FOUND", "You have no session of that name.")


def _history_unavailable() -> HttpError:
    return HttpError(
        503, "HISTORY_UNAVAILABLE", "What is kept cannot be reached now; live sessions go on.", retry_after=RETRY_STORE
    )
