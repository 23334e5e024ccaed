"""Guides over HTTP: the server's for all, a user's own for that user alone."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from limits import parse

from mediaserver.api.guides import GuideRoutes
from mediaserver.api.middleware import error_middleware
from mediaserver.api.rate_limit import SlidingWindowRateLimiter
from mediaserver.auth.users import User
from mediaserver.guides import MAX_OWN_GUIDES, GuideShelf, load_server_guides
from mediaserver.http_route import add_routes
from tests.support.session_records import ADA, BOB, TOKENS, token_of

Client = TestClient[web.Request, web.Application]
MakeClient = Callable[[web.Application], Awaitable[Client]]

NOTE = '# Save a note\n\nWhen: it must be kept.\n\n1. Press Save.\n   look for: "Saved"\n'
GUEST = User("guest-1", "guest-1", is_guest=True)


@pytest.fixture
def shelf(tmp_path: Path) -> GuideShelf:
    return GuideShelf(load_server_guides(None).guides, tmp_path / "guides")


@pytest.fixture
async def client(aiohttp_client: MakeClient, shelf: GuideShelf) -> Client:
    app = web.Application(middlewares=[error_middleware])
    limiter = SlidingWindowRateLimiter(parse("1000/minute"))
    add_routes(app, GuideRoutes(shelf, TOKENS, limiter).routes())
    return await aiohttp_client(app)


def files_in(folder: Path) -> list[Path]:
    return list(folder.rglob("*.md"))


async def put(client: Client, guide: str, text: str, user: User = ADA) -> tuple[int, dict[str, object]]:
    response = await client.put(f"/api/v1/guides/{guide}", json={"text": text}, headers=token_of(user))
    return response.status, await response.json()


async def ids(client: Client, user: User) -> dict[str, bool]:
    response = await client.get("/api/v1/guides", headers=token_of(user))
    assert response.status == 200
    return {guide["id"]: guide["own"] for guide in (await response.json())["guides"]}


async def test_everybody_sees_the_servers_guides(client: Client) -> None:
    for user in (ADA, GUEST):
        assert await ids(client, user) == {"demo-page": False, "save-as-pdf": False}


async def test_a_guide_is_created_changed_and_deleted_by_its_owner(client: Client) -> None:
    assert await put(client, "note", NOTE) == (
        201,
        {
            "id": "note",
            "title": "Save a note",
            "when": "it must be kept.",
            "steps": ["Press Save."],
            "own": True,
            "text": NOTE,
        },
    )
    assert (await put(client, "note", NOTE.replace("a note", "notes")))[0] == 200
    shown = await client.get("/api/v1/guides/note", headers=token_of(ADA))
    assert (await shown.json())["title"] == "Save notes"
    assert await ids(client, ADA) == {"demo-page": False, "save-as-pdf": False, "note": True}
    for status in (204, 404):
        assert (await client.delete("/api/v1/guides/note", headers=token_of(ADA))).status == status
    assert "note" not in await ids(client, ADA)


async def test_another_users_guide_is_not_there(client: Client) -> None:
    await put(client, "note", NOTE)
    assert "note" not in await ids(client, BOB)
    for ask in (client.get, client.delete):
        response = await ask("/api/v1/guides/note", headers=token_of(BOB))
        assert (response.status, (await response.json())["error"]["code"]) == (404, "GUIDE_NOT_FOUND")


async def test_a_guide_of_ones_own_replaces_the_servers_until_it_is_deleted(client: Client) -> None:
    await put(client, "demo-page", NOTE)
    assert (await ids(client, ADA))["demo-page"] is True
    assert (await ids(client, BOB))["demo-page"] is False
    await client.delete("/api/v1/guides/demo-page", headers=token_of(ADA))
    assert (await ids(client, ADA))["demo-page"] is False
    # The server's cannot be deleted.
    assert (await client.delete("/api/v1/guides/demo-page", headers=token_of(ADA))).status == 404


async def test_a_fault_is_named_with_its_line(client: Client) -> None:
    status, body = await put(client, "note", "# A\n2. B")
    error = body["error"]
    assert isinstance(error, dict)
    assert (status, error["code"], error["details"]["line"]) == (422, "INVALID_FIELDS", 2)
    assert "Line 2: this is step 1, not 2" in error["message"]


@pytest.mark.parametrize("guide", ["Note", "%2e%2e", "a%2Fb", "x" * 65])
async def test_an_id_that_is_none_writes_nothing(client: Client, tmp_path: Path, guide: str) -> None:
    status, _ = await put(client, guide, NOTE)
    assert status in (404, 422)
    assert files_in(tmp_path) == []


async def test_a_guest_keeps_no_guides(client: Client) -> None:
    assert (await put(client, "note", NOTE, GUEST))[0] == 403


async def test_a_user_keeps_so_many_guides_and_may_still_change_them(client: Client) -> None:
    for number in range(MAX_OWN_GUIDES):
        assert (await put(client, f"note-{number}", NOTE))[0] == 201
    status, body = await put(client, "one-more", NOTE)
    error = body["error"]
    assert isinstance(error, dict)
    assert (status, error["code"]) == (409, "TOO_MANY_GUIDES")
    assert (await put(client, "note-0", NOTE))[0] == 200


async def test_files_that_fail_are_no_fault_of_the_client(client: Client, tmp_path: Path) -> None:
    (tmp_path / "guides").write_text("a file where the folder belongs")
    assert (await put(client, "note", NOTE))[0] == 503


async def test_a_damaged_file_hides_no_other(client: Client, shelf: GuideShelf, tmp_path: Path) -> None:
    await put(client, "note", NOTE)
    (tmp_path / "guides" / ADA.id / "broken.md").write_text("no guide")
    assert "note" in await ids(client, ADA)
    assert [guide.id for guide in (await shelf.library(ADA.id)).guides] == ["demo-page", "save-as-pdf", "note"]


async def test_a_deleted_user_leaves_nothing(client: Client, shelf: GuideShelf, tmp_path: Path) -> None:
    await put(client, "note", NOTE)
    await shelf.forget(ADA.id)
    assert files_in(tmp_path) == []


def test_a_faulty_guide_of_the_server_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_text("# A\n1. B\nC")
    loaded = load_server_guides(tmp_path)
    (fault,) = loaded.faults
    assert fault.startswith(f"{tmp_path}/bad.md:3: ")
    assert load_server_guides(tmp_path / "none").faults[0].startswith(f"{tmp_path}/none cannot be read")
