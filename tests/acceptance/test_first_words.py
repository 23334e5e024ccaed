"""What is said while the assistant's page still connects."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.server_process import Open, quiet, serving, synthetic, write_wav

pytestmark = [pytest.mark.acceptance, pytest.mark.browser, pytest.mark.timeout(120)]

SLOW_OFFER = """(() => {
    const ask = fetch;
    window.fetch = async (path, options) => {
        if (String(path).startsWith('/whip?')) await new Promise((resolve) => setTimeout(resolve, 2500));
        return ask(path, options);
    };
})()"""


@pytest.mark.parametrize("offer", ["", SLOW_OFFER], ids=["at-once", "slow"])
def test_what_was_said_before_the_connection_is_heard(tmp_path: Path, open_page: Open, offer: str) -> None:
    microphone = write_wav(tmp_path / "mic.wav", synthetic("what time is it") + quiet(60))
    with serving(tmp_path) as server:
        page = open_page(server, microphone)
        page.evaluate(offer)
        page.get_by_test_id("start").click()
        said = page.locator(".said")
        expect(said.first).to_have_text("What time is it?", timeout=40_000)
        expect(said.nth(1)).to_contain_text("It is", timeout=40_000)
