"""The main job, end to end: open the page, talk or type, share a screen, be answered, be shown, interrupt."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.server_process import EDITOR, Open, Server, person, quiet, synthetic, write_wav

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

TIMEOUT = 60_000  # ms; reading a screen takes seconds, and longer while other tests run


def start(page: Page) -> None:
    page.get_by_test_id("start").click()
    expect(page.get_by_test_id("text")).to_be_enabled(timeout=TIMEOUT)


def share(page: Page) -> Page:
    """Share a second tab; returns it."""
    editor = page.context.new_page()
    editor.set_content(EDITOR)
    page.bring_to_front()
    page.get_by_test_id("share").click()
    expect(page.get_by_test_id("seen")).to_contain_text("Picture", timeout=TIMEOUT)
    return editor


def ask(page: Page, text: str) -> None:
    page.get_by_test_id("text").fill(text)
    page.get_by_test_id("send").click()


def said(page: Page) -> str:
    return page.get_by_test_id("transcript").inner_text()


def hear_the_assistant(page: Page) -> None:
    """Wait until the assistant's voice is heard in the page, as its meter shows."""
    page.wait_for_function(
        "() => Number(document.querySelector('[data-testid=voice-level]').getAttribute('aria-valuenow')) > 5",
        timeout=TIMEOUT,
    )


def test_a_typed_question_about_the_shared_screen_is_answered_by_voice_and_shown(
    server: Server, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(server, write_wav(tmp_path / "mic.wav", quiet(120)))
    expect(page.get_by_test_id("engine")).to_contain_text("Local engine")
    expect(page.get_by_test_id("engine")).not_to_contain_text("Gemini")
    start(page)
    editor = share(page)
    ask(page, "where is save")
    hear_the_assistant(page)
    expect(page.get_by_test_id("transcript")).to_contain_text("where is save", timeout=TIMEOUT)
    expect(page.get_by_test_id("transcript")).to_contain_text(re.compile("Save is .*top.*left", re.S), timeout=TIMEOUT)

    button, size = editor.locator("#save").bounding_box(), editor.viewport_size
    assert button is not None
    assert size is not None
    place = page.get_by_test_id("pointer").evaluate("box => ['left', 'top', 'width', 'height'].map(n => box.style[n])")
    left, top, width, height = (float(side.rstrip("%")) / 100 for side in place)
    assert button["x"] < (left + width / 2) * size["width"] < button["x"] + button["width"]
    assert button["y"] < (top + height / 2) * size["height"] < button["y"] + button["height"]
    page.screenshot(path=tmp_path / "page.png")


def test_a_spoken_command_is_understood_and_answered(server: Server, open_page: Open, tmp_path: Path) -> None:
    microphone = quiet(4) + synthetic("what time is it") + quiet(60)
    page = open_page(server, write_wav(tmp_path / "mic.wav", microphone))
    start(page)
    expect(page.get_by_test_id("transcript")).to_contain_text("What time is it?", timeout=TIMEOUT)
    hear_the_assistant(page)
    expect(page.get_by_test_id("transcript")).to_contain_text(re.compile(r"It is \d", re.S), timeout=TIMEOUT)


def test_a_person_who_says_something_else_is_honestly_not_understood(
    server: Server, open_page: Open, tmp_path: Path
) -> None:
    page = open_page(server, write_wav(tmp_path / "mic.wav", quiet(3) + person() + quiet(60)))
    start(page)
    expect(page.get_by_test_id("transcript")).to_contain_text("did not understand", timeout=TIMEOUT)
    hear_the_assistant(page)


def test_speaking_over_an_answer_silences_it(server: Server, open_page: Open, tmp_path: Path) -> None:
    # Each sentence is answered, and the next one falls into the answer. There are several, because the browser's echo
    # canceller swallows what is said over the first seconds it ever plays.
    microphone = quiet(3) + (person() + quiet(2.5)) * 8 + quiet(60)
    page = open_page(server, write_wav(tmp_path / "mic.wav", microphone))
    start(page)
    hear_the_assistant(page)
    expect(page.get_by_test_id("transcript")).to_contain_text("interrupted", timeout=TIMEOUT)


def test_without_a_screen_nothing_is_guessed(server: Server, open_page: Open, tmp_path: Path) -> None:
    page = open_page(server, write_wav(tmp_path / "mic.wav", quiet(60)))
    start(page)
    ask(page, "where is save")
    expect(page.get_by_test_id("transcript")).to_contain_text(re.compile("share", re.I), timeout=TIMEOUT)
    assert page.get_by_test_id("pointer").count() == 0 or not page.get_by_test_id("pointer").first.is_visible()


def test_end_ends_the_session_on_the_server_too(server: Server, open_page: Open, tmp_path: Path) -> None:
    page = open_page(server, write_wav(tmp_path / "mic.wav", quiet(60)))
    start(page)
    page.get_by_test_id("end").click()
    expect(page.get_by_test_id("start")).to_be_visible(timeout=TIMEOUT)
    expect(page.get_by_test_id("text")).to_be_disabled()
