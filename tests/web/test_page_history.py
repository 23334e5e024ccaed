"""Earlier conversations on the page: listed, read, downloaded, deleted."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Download, expect

from tests.web.fake_page_server import Refusal, Visit

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

GUEST = "id-of-guest-1"


async def test_conversations_are_listed_newest_first_with_time_length_turns_and_engine(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 2)
    newest, older = (one["session"] for one in visit.server.accounts_api.conversations[GUEST])
    newest.update(ended_at=None, end_reason=None)
    older.update(engine="gemini", model="gemini-3.8-live", turns=1, end_reason="idle")
    await visit.open()
    await visit.page.get_by_test_id("history").click()

    items = visit.page.get_by_test_id("history-item")
    await expect(items).to_have_count(2)
    await expect(items.nth(0)).to_contain_text(re.compile(r"3 May 2026, \d\d:00 going on"))
    await expect(items.nth(0)).to_contain_text("going on · 2 turns · Local engine (offline)")
    await expect(items.nth(1)).to_contain_text("3 min 12 s · 1 turn · Gemini Live, model gemini-3.8-live")
    await expect(items.nth(1)).to_contain_text("ended because nothing happened")
    assert visit.console_errors == []
    assert visit.foreign_requests == []


async def test_more_are_loaded_until_there_are_none(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 45)
    await visit.open()
    page = visit.page
    await page.get_by_test_id("history").click()
    items, more = page.get_by_test_id("history-item"), page.get_by_test_id("load-more")
    await expect(items).to_have_count(20)
    await more.click()
    await expect(items).to_have_count(40)
    await expect(page.locator(".told")).to_have_text("40 conversations are shown.")
    await more.focus()
    await page.keyboard.press("Enter")

    await expect(items).to_have_count(45)
    await expect(more).to_be_hidden()
    await expect(items.nth(40).get_by_test_id("history-open")).to_be_focused()


async def test_a_conversation_is_read_with_roles_times_and_where_it_was_interrupted(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 2)
    await visit.open()
    page = visit.page
    await page.get_by_test_id("history").click()
    await page.get_by_test_id("history-open").nth(1).click()

    reading = page.get_by_test_id("history-reading")
    await expect(reading.get_by_role("heading")).to_be_focused()
    await expect(reading.locator(".who")).to_have_text(
        [re.compile(rf"{who} \d\d:00:\d\d") for who in ("You", "Assistant", "You", "Assistant", "Server")]
    )
    await expect(reading.locator(".said")).to_have_text(
        [
            "Where is the save button?",
            "It is at the upper left, beside New.",
            "And what does <b>Print</b> do?",
            "It prints the – interrupted here",
            "The engine was replaced.",
        ]
    )
    await expect(reading.locator("[data-interrupted]")).to_have_count(1)
    for entry in await reading.locator(".said").all():
        await expect(entry).to_be_visible()

    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("history-open").nth(1)).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog[open]")).to_have_count(0)
    await expect(page.get_by_test_id("history")).to_be_focused()


async def test_a_conversation_in_which_nothing_was_said_says_so(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 1)
    visit.server.accounts_api.conversations[GUEST][0]["entries"] = []
    await visit.open()
    await visit.page.get_by_test_id("history").click()
    await visit.page.get_by_test_id("history-open").click()

    await expect(visit.page.get_by_text("Nothing was said in it.")).to_be_visible()


async def test_a_conversation_is_downloaded_as_text(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 1)
    await visit.open()
    await visit.page.get_by_test_id("history").click()
    async with visit.page.expect_download() as waiting:
        await visit.page.get_by_test_id("history-download").click()

    file = await waiting.value
    assert re.fullmatch(r"conversation-2026-05-03-\d\d00\.txt", file.suggested_filename)
    lines = (await content(file)).splitlines()
    assert re.fullmatch(r"Conversation of 3 May 2026 at \d\d:00", lines[0])
    assert lines[1] == "3 min 12 s · 2 turns · Local engine (offline)"
    assert re.fullmatch(r"\[\d\d:00:02\] You: Where is the save button\?", lines[3])
    assert lines[6].endswith("Assistant: It prints the (interrupted here)")


@pytest.mark.parametrize("where", ["history", "reading"])
async def test_a_conversation_is_downloaded_as_the_server_sends_it(visit: Visit, where: str) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 1)
    await visit.open()
    await visit.page.get_by_test_id("history").click()
    if where == "reading":
        await visit.page.get_by_test_id("history-open").click()
    async with visit.page.expect_download() as waiting:
        await visit.page.get_by_test_id(f"{where}-download-json").click()

    file = await waiting.value
    assert file.suggested_filename.endswith(".json")
    assert json.loads(await content(file)) == visit.server.accounts_api.conversations[GUEST][0]
    assert visit.console_errors == []


async def test_deleting_asks_first_and_then_takes_it_from_the_list(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 3)
    await visit.open()
    page = visit.page
    await page.get_by_test_id("history").click()
    items = page.get_by_test_id("history-item")
    delete = items.nth(1).get_by_test_id("history-delete")
    await delete.click()
    question = page.get_by_role("alertdialog", name="Delete this conversation?")
    await expect(question).to_contain_text("cannot be brought back")
    await expect(page.get_by_test_id("keep")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(delete).to_be_focused()
    await expect(page.get_by_test_id("confirm")).to_have_count(0)  # the focus is back a moment before
    assert len(visit.server.accounts_api.conversations[GUEST]) == 3

    await page.keyboard.press("Enter")
    await page.get_by_test_id("confirm").click()
    await expect(items).to_have_count(2)
    await expect(page.locator(".told")).to_have_text("The conversation is deleted.")
    await expect(items.nth(1).get_by_test_id("history-open")).to_be_focused()
    assert [one["session"]["id"] for one in visit.server.accounts_api.conversations[GUEST]] == [
        "session-0",
        "session-2",
    ]


async def test_the_last_one_deleted_leaves_an_empty_list_that_says_so(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 1)
    await visit.open()
    await visit.page.get_by_test_id("history").click()
    await visit.page.get_by_test_id("history-open").click()
    await visit.page.get_by_test_id("reading-delete").click()
    await visit.page.get_by_test_id("confirm").click()

    await expect(visit.page.get_by_test_id("history-empty")).to_contain_text("No earlier conversations.")
    await expect(visit.page.get_by_role("heading", name="Earlier conversations")).to_be_focused()


@pytest.mark.parametrize(
    ("days", "sentence"), [(90, "No earlier conversations."), (0, "This server keeps no conversations.")]
)
async def test_an_empty_list_says_whether_anything_is_kept_at_all(visit: Visit, days: int, sentence: str) -> None:
    visit.server.history_days = days
    await visit.open()
    await visit.page.get_by_test_id("history").click()

    await expect(visit.page.get_by_test_id("history-empty")).to_contain_text(sentence)


async def test_the_list_is_reached_without_leaving_the_conversation(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 2)
    visit.server.accounts_api.conversations[GUEST][0]["session"].update(id="conversation-1", ended_at=None)
    await visit.start()
    await visit.expect_state("Ready – just talk")
    await visit.page.get_by_test_id("history").click()
    await expect(visit.page.get_by_test_id("history-item").first).to_contain_text("on this page")
    await expect(visit.page.get_by_text("Your conversation goes on meanwhile.")).to_be_visible()
    visit.server.send_event("transcript", turn=1, role="user", text="still here", final=True)
    await visit.page.keyboard.press("Escape")

    await expect(visit.page.locator(".talk .said")).to_have_text("still here")
    await visit.expect_state("Ready – just talk")
    assert len(visit.server.offers) == 1


async def test_deleting_the_live_conversation_ends_it(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 1)
    visit.server.accounts_api.conversations[GUEST][0]["session"].update(id="conversation-1", ended_at=None)
    await visit.start()
    await visit.expect_state("Ready – just talk")
    await visit.page.get_by_test_id("history").click()
    await visit.page.get_by_test_id("history-delete").click()
    await expect(visit.page.get_by_role("alertdialog")).to_contain_text("It is still going on and ends with that.")
    await visit.page.get_by_test_id("confirm").click()

    await visit.server.wait_for_command("end_session")


async def test_a_history_that_cannot_be_reached_says_so_and_can_be_tried_again(visit: Visit) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 1)
    visit.server.refusals["GET /api/v1/sessions"] = Refusal(503, "HISTORY_UNAVAILABLE", {"Retry-After": "5"}, times=1)
    await visit.open()
    await visit.page.get_by_test_id("history").click()

    error = visit.page.get_by_test_id("history-error")
    await expect(error).to_contain_text("Earlier conversations cannot be reached at the moment. Try again in 5 s.")
    await expect(visit.page.get_by_test_id("history-empty")).to_be_hidden()
    await visit.page.get_by_role("button", name="Try again").click()
    await expect(visit.page.get_by_test_id("history-item")).to_have_count(1)
    await expect(error).to_be_empty()


async def test_a_server_that_does_not_answer_is_explained_in_the_list(visit: Visit) -> None:
    await visit.open()
    await visit.page.route("**/api/v1/sessions?*", lambda route: route.abort())
    await visit.page.get_by_test_id("history").click()

    await expect(visit.page.get_by_test_id("history-error")).to_contain_text("The server does not answer.")


@pytest.mark.parametrize("press", ["history-open", "history-download", "history-delete"])
async def test_a_conversation_deleted_elsewhere_leaves_the_list_with_a_message(visit: Visit, press: str) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 2)
    await visit.open()
    await visit.page.get_by_test_id("history").click()
    await expect(visit.page.get_by_test_id("history-item")).to_have_count(2)
    visit.server.accounts_api.conversations[GUEST].pop(0)
    await visit.page.get_by_test_id(press).first.click()
    if press == "history-delete":
        await visit.page.get_by_test_id("confirm").click()

    await expect(visit.page.get_by_test_id("history-error")).to_contain_text("This conversation is not kept any more.")
    await expect(visit.page.get_by_test_id("history-item")).to_have_count(1)


@pytest.mark.parametrize("width", [320, 360, 768])
async def test_the_list_and_what_was_said_do_not_scroll_sideways(visit: Visit, width: int) -> None:
    visit.server.accounts_api.add_conversations(GUEST, 1, engine="gemini", model="m" * 128)
    visit.server.accounts_api.conversations[GUEST][0]["entries"][0]["text"] = "w" * 400
    await visit.page.set_viewport_size({"width": width, "height": 640})
    await visit.open()
    await visit.page.get_by_test_id("history").click()
    dialog = visit.page.locator("#history")
    await expect(visit.page.get_by_test_id("history-item")).to_have_count(1)
    assert await dialog.evaluate("node => node.scrollWidth - node.clientWidth") <= 0
    await visit.page.get_by_test_id("history-open").click()
    await expect(visit.page.get_by_test_id("history-reading").locator(".entry")).to_have_count(5)

    assert await dialog.evaluate("node => node.scrollWidth - node.clientWidth") <= 0
    assert await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


async def content(file: Download) -> str:
    return await asyncio.to_thread(Path(await file.path()).read_text)
