"""LiveKit's server library for JavaScript, unmodified: it makes the tokens and manages the rooms."""

import shutil
from pathlib import Path

import pytest
from livekit import rtc

from tests.support.livekit_browser import PAGES, Visitor, bundle, chromium, require_clients, served
from tests.support.server_process import serving

pytestmark = [pytest.mark.acceptance, pytest.mark.browser, pytest.mark.timeout(120)]

KEY, SECRET = "mykey", "0123456789abcdef0123456789abcdef"


def test_tokens_and_rooms_of_the_library_are_good(tmp_path: Path) -> None:
    require_clients()
    bundle("service.js", tmp_path)
    shutil.copy(PAGES / "service.html", tmp_path)
    keys = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
    with serving(tmp_path, **keys) as server, served(tmp_path) as site, served() as pages, chromium() as browser:
        service, ada = Visitor(browser.new_page()), Visitor(browser.new_page())
        service.page.goto(f"{site}/service.html")
        service.do("open", server.address, KEY, SECRET)
        made = service.do("ask", "createRoom", {"name": "office", "metadata": "quiet"})
        assert (made["name"], made["metadata"]) == ("office", "quiet")

        ada.page.goto(f"{pages}/room.html")
        ada.page.wait_for_function("() => window.page")
        token = service.do("token", KEY, SECRET, "ada", "office")
        ada.do("connect", server.address.replace("http", "ws"), token)
        ada.do("microphone", True)
        ada.until("notes.happened.includes('LocalTrackSubscribed')")

        assert [room["name"] for room in service.do("ask", "listRooms")] == ["office"]
        present = {each["identity"]: each for each in service.do("ask", "listParticipants", "office")}
        assert set(present) == {"ada", "assistant"}
        (microphone,) = present["ada"]["tracks"]
        muted = service.do("ask", "mutePublishedTrack", "office", "ada", microphone["sid"], True)
        assert muted["muted"]
        service.do("send", "office", '{"action": "told"}', "events")
        ada.until("page.actions().includes('told')")

        refused = service.do("ask", "removeParticipant", "office", "nobody")
        assert (refused["status"], refused["code"]) == (404, "not_found")
        service.do("ask", "removeParticipant", "office", "ada")
        ada.until("notes.happened.includes('Disconnected')")
        service.do("ask", "deleteRoom", "office")
        assert service.do("ask", "listRooms") == []


async def test_a_token_with_another_secret_is_refused_with_a_reason(tmp_path: Path) -> None:
    keys = {"LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}
    with serving(tmp_path, **keys) as server:
        room = rtc.Room()
        with pytest.raises(rtc.ConnectError) as refused:
            await room.connect(server.address.replace("http", "ws"), "not a token")
    assert "401" in refused.value.message
