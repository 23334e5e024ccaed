"""What is said while a page still connects."""

from pathlib import Path

import pytest

from tests.support.livekit_browser import chromium, served, token_for
from tests.support.server_process import quiet, serving, synthetic, write_wav

pytestmark = [pytest.mark.acceptance, pytest.mark.browser, pytest.mark.timeout(120)]


def test_what_was_said_before_the_connection_is_heard(tmp_path: Path) -> None:
    microphone = write_wav(tmp_path / "mic.wav", synthetic("what time is it") + quiet(60))
    device = f"--use-file-for-fake-audio-capture={microphone}%noloop"
    with serving(tmp_path) as server, served() as site, chromium(device) as browser:
        page = browser.new_page()
        page.goto(f"{site}/early.html")
        way = token_for(server.address, "ada", "early")[:2]
        page.evaluate("([url, token]) => enter(url, token, 2.5)", way)
        page.wait_for_function("() => finals.length === 2", timeout=40_000)
        question, answer = page.evaluate("finals")
    assert question == "ada: What time is it?"
    assert answer.startswith("assistant: It is")
