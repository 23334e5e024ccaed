"""A user's own sessions and what was said in them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from limits import parse

from mediaserver.api.middleware import error_middleware
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.api.sessions import HistoryRoutes, Sessions
from mediaserver.caller import Caller
from mediaserver.http_route import add_routes
from mediaserver.registry import Capacity, Registry
from mediaserver.store.interface import Store
from mediaserver.store.records import Entry, TurnUsage
from pipeline.errors import FrameError
from pipeline.events import EndReason
from pipeline.media import EncodedFrame
from pipeline.screen.read_text import ReadText
from tests.support.conversation_harness import FakePeer
from tests.support.memory_store import MemoryStore
from tests.support.session_records import ADA, BOB, NOON, TOKENS, conversation, record, token_of

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(
        record("s1"), record("s2", minutes=1, label="mine"), record("s3", minutes=2), record("b1", BOB, label="mine")
    )


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    registry = Registry(Capacity(9, 9, 9, 9))
    yield registry
    await registry.drain(1.0)


async def read_words(jpeg: bytes) -> tuple[ReadText, ...]:
    if jpeg == b"broken":
        raise FrameError("no picture", where="ocr")
    return (ReadText("Save", (1, 2, 3, 4), 0.9),)


@pytest.fixture
async def client(aiohttp_client: MakeClient, store: MemoryStore, registry: Registry) -> Client:
    app = web.Application(middlewares=[error_middleware])
    limiter = SlidingWindowRateLimiter(parse("1000/minute"))
    add_routes(app, HistoryRoutes(registry, cast(Store, store), TOKENS, limiter).routes())
    add_routes(app, Sessions(registry, TOKENS, limiter, read_words=read_words).routes())
    return await aiohttp_client(app)


async def test_a_user_sees_their_own_sessions_newest_first(client: Client) -> None:
    response = await client.get("/api/v1/sessions", headers=token_of(ADA))
    body = await response.json()
    assert response.status == 200
    assert [session["id"] for session in body["sessions"]] == ["s3", "s2", "s1"]
    assert body["next_cursor"] is None
    assert body["sessions"][2] == {
        "id": "s1",
        "label": "s1",
        "started_at": "2026-05-01T12:00:00Z",
        "ended_at": "2026-05-01T12:01:00Z",
        "transport": "webrtc",
        "engine": "local",
        "model": "local-1",
        "language": "en",
        "turns": 2,
        "end_reason": "idle",
    }


async def test_pages_follow_one_another_by_cursor(client: Client) -> None:
    seen: list[str] = []
    query: dict[str, str] | None = {"limit": "2"}
    while query is not None:
        body = await (await client.get("/api/v1/sessions", params=query, headers=token_of(ADA))).json()
        seen += [session["id"] for session in body["sessions"]]
        query = {"limit": "2", "cursor": body["next_cursor"]} if body["next_cursor"] else None
    assert seen == ["s3", "s2", "s1"]


@pytest.mark.parametrize(("query", "field"), [("limit=0", "limit"), ("limit=101", "limit"), ("cursor=x", "cursor")])
async def test_a_wrong_page_is_422_and_names_the_field(client: Client, query: str, field: str) -> None:
    response = await client.get(f"/api/v1/sessions?{query}", headers=token_of(ADA))
    assert response.status == 422
    assert [fault["field"] for fault in (await response.json())["error"]["details"]["fields"]] == [field]


@pytest.mark.parametrize("name", ["s2", "mine"])
async def test_a_session_is_found_by_id_or_by_its_users_label(client: Client, name: str) -> None:
    response = await client.get(f"/api/v1/sessions/{name}", headers=token_of(ADA))
    assert response.status == 200
    assert (await response.json())["id"] == "s2"


async def test_history_has_what_was_said_in_order_and_what_it_cost(client: Client, store: MemoryStore) -> None:
    store.entries = [
        Entry("s1", NOON, "user", "where is save?", 1),
        Entry("s1", NOON, "assistant", "Top", 1, interrupted=True, heard_ms=300),
        Entry("s3", NOON, "user", "another session", 1),
    ]
    store.turns = [TurnUsage("s1", 1, NOON, {"total": 12})]
    response = await client.get("/api/v1/sessions/s1/history", headers=token_of(ADA))
    body = await response.json()
    assert body["session"]["id"] == "s1"
    at = "2026-05-01T12:00:00Z"
    assert body["entries"] == [
        {"at": at, "role": "user", "text": "where is save?", "turn": 1, "interrupted": False, "heard_ms": None},
        {"at": at, "role": "assistant", "text": "Top", "turn": 1, "interrupted": True, "heard_ms": 300},
    ]
    assert body["usage"] == [{"turn": 1, "at": at, "tokens": {"total": 12}}]


async def test_a_deleted_session_is_gone(client: Client) -> None:
    assert (await client.delete("/api/v1/sessions/mine", headers=token_of(ADA))).status == 204
    assert (await client.get("/api/v1/sessions/s2", headers=token_of(ADA))).status == 404
    assert (await client.delete("/api/v1/sessions/mine", headers=token_of(ADA))).status == 404
    assert (await client.get("/api/v1/sessions/mine", headers=token_of(BOB))).status == 200


async def test_deleting_a_live_session_ends_it_and_leaves_an_older_one_of_its_label(
    client: Client, store: MemoryStore, registry: Registry
) -> None:
    live, peer = conversation("s4", "mine"), FakePeer()
    live.attach(peer)
    registry.start(Caller(ADA.id, is_guest=False), live)
    store.records.append(record("s4", minutes=4, label="mine"))
    assert (await client.delete("/api/v1/sessions/mine", headers=token_of(ADA))).status == 204
    await registry.drain(5.0)
    assert peer.dismissed is EndReason.CLIENT
    assert [kept.id for kept in store.records] == ["s1", "s2", "s3", "b1"]


async def test_a_live_session_of_which_nothing_is_kept_can_be_deleted(client: Client, registry: Registry) -> None:
    registry.start(Caller(ADA.id, is_guest=False), conversation("s5", "s5"))
    assert (await client.delete("/api/v1/sessions/s5", headers=token_of(ADA))).status == 204


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/sessions/s1"),
        ("DELETE", "/api/v1/sessions/s1"),
        ("GET", "/api/v1/sessions/s1/history"),
        ("GET", "/api/v1/sessions/live/frame"),
        ("DELETE", "/api/v1/sessions/live"),
    ],
)
async def test_another_users_session_is_as_unknown_as_one_that_never_was(
    client: Client, store: MemoryStore, registry: Registry, method: str, path: str
) -> None:
    live = conversation("live", "live")
    live._screen_share.latest_screenshot = EncodedFrame(b"jpeg", 2, 2, 1, 0.0)
    registry.start(Caller(ADA.id, is_guest=False), live)
    response = await client.request(method, path, headers=token_of(BOB))
    never = await client.request(method, path.replace("s1", "zz").replace("live", "zz"), headers=token_of(BOB))
    assert response.status == never.status == 404
    assert await response.json() == await never.json()
    assert registry.find(ADA.id, "live") is live
    assert len(store.records) == 4


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/sessions"),
        ("GET", "/api/v1/sessions/s1"),
        ("DELETE", "/api/v1/sessions/s1"),
        ("GET", "/api/v1/sessions/s1/history"),
    ],
)
async def test_a_store_that_is_down_is_503_and_strangers_are_401(
    client: Client, store: MemoryStore, method: str, path: str
) -> None:
    assert (await client.request(method, path)).status == 401
    store.is_down = True
    response = await client.request(method, path, headers=token_of(ADA))
    assert response.status == 503
    assert response.headers["Retry-After"] == "5"
    assert (await response.json())["error"]["code"] == "HISTORY_UNAVAILABLE"


async def test_history_that_fails_half_way_is_503_and_never_half_an_answer(
    client: Client, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def history(session: str) -> tuple[Entry, ...]:
        store.is_down = True
        return ()

    monkeypatch.setattr(store, "history", history)
    assert (await client.get("/api/v1/sessions/s1/history", headers=token_of(ADA))).status == 503


async def test_the_frame_is_the_one_the_engine_saw_last(client: Client, registry: Registry) -> None:
    live = conversation("s6", "s6")
    registry.start(Caller(ADA.id, is_guest=False), live)
    assert (await client.get("/api/v1/sessions/s6/frame", headers=token_of(ADA))).status == 404
    live._screen_share.latest_screenshot = EncodedFrame(b"jpeg", 2, 2, 7, 0.0)
    response = await client.get("/api/v1/sessions/s6/frame", headers=token_of(ADA))
    assert (response.status, response.content_type, response.headers["X-Frame"]) == (200, "image/jpeg", "7")
    assert await response.read() == b"jpeg"


async def test_the_words_are_those_on_that_frame(client: Client, registry: Registry) -> None:
    live = conversation("s7", "s7")
    registry.start(Caller(ADA.id, is_guest=False), live)
    assert (await client.get("/api/v1/sessions/s7/words", headers=token_of(ADA))).status == 404
    live._screen_share.latest_screenshot = EncodedFrame(b"jpeg", 2, 2, 7, 0.0)
    response = await client.get("/api/v1/sessions/s7/words", headers=token_of(ADA))
    word = {"text": "Save", "box": [1, 2, 3, 4], "confidence": 0.9}
    assert await response.json() == {"frame": 7, "words": [word]}
    live._screen_share.latest_screenshot = EncodedFrame(b"broken", 2, 2, 8, 0.0)
    assert (await client.get("/api/v1/sessions/s7/words", headers=token_of(ADA))).status == 404
