"""A front end built from LiveKit's React components, unmodified, in Chromium."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.livekit_browser import PAGES, Visitor, bundle, chromium, require_clients, served, token_for
from tests.support.server_process import Server, synthetic

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

TIMEOUT = 40_000  # ms


def test_the_voice_assistant_hook_shows_its_state_and_all_that_is_said(server: Server, tmp_path: Path) -> None:
    require_clients()
    bundle("assistant.jsx", tmp_path)
    shutil.copy(PAGES / "assistant.html", tmp_path)
    with served(tmp_path) as site, chromium() as browser:
        ada = Visitor(browser.new_page())
        ada.page.goto(f"{site}/assistant.html")
        ada.page.evaluate("([url, token]) => begin(url, token)", token_for(server.address, "ada", "studio")[:2])
        state, agent, streams = (ada.page.get_by_test_id(name) for name in ("state", "agent", "streams"))
        expect(state).to_have_text("listening", timeout=TIMEOUT)
        expect(ada.page.get_by_text("and can be heard")).to_be_visible(timeout=TIMEOUT)

        ada.say(synthetic("what time is it"))
        expect(streams).to_contain_text("ada: What time is it?", timeout=TIMEOUT)
        expect(agent).to_contain_text(re.compile(r"It is \d"), timeout=TIMEOUT)
        expect(streams).to_contain_text(re.compile(r"assistant: It is \d"), timeout=TIMEOUT)
        expect(state).to_have_text("listening", timeout=TIMEOUT)
        shown = ada.page.evaluate("window.states")
        assert shown[-4:] == ["listening", "thinking", "speaking", "listening"]

        ada.do("send", "where is save")
        expect(agent).to_contain_text(re.compile("share", re.I), timeout=TIMEOUT)
        ada.page.screenshot(path=tmp_path / "page.png")
        assert not ada.complaints
