"""The page, as a person meets it: starting, talking, sharing, ending."""

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

if TYPE_CHECKING:
    from tests.web.conftest import Visit

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_start_offers_microphone_screen_and_events_under_a_label_of_its_own(visit: "Visit") -> None:
    await visit.start()

    _, path, headers = (await visit.server.requested("POST", "/whip"))[0]
    assert re.fullmatch(r"/whip\?session=page-[0-9a-f]{16}", path)
    assert headers["Content-Type"] == "application/sdp"
    assert headers["Authorization"] == "Bearer guest-1"
    sections = re.findall(r"^m=(\w+)", visit.server.offers[0], re.M)
    assert sections == ["audio", "video", "application"]
    assert re.search(r"m=audio.*?a=sendrecv.*?m=video.*?a=sendonly", visit.server.offers[0], re.S)
    assert await visit.server.commanded("tracks") == {"action": "tracks", "mids": {"1": "screen"}}
    await expect(visit.page.get_by_test_id("state")).to_have_text("Ready – just talk")
    await expect(visit.page.get_by_test_id("engine")).to_have_text("Local engine (offline)")
    assert visit.complaints == []
    assert visit.strangers == []
