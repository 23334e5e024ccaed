"""The page by keyboard, by screen reader, on a phone, in light and dark."""

import re
from typing import Any

import pytest
from playwright.async_api import expect

from tests.web.fake_page_server import WEB, Visit

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


STYLE = WEB / "static" / "style.css"


async def test_single_keys_work_the_controls(visit: Visit) -> None:
    await visit.start()
    await visit.expect_state("Ready – just talk")
    await visit.page.keyboard.press("m")
    await expect(visit.page.get_by_test_id("mute")).to_have_text("Unmute")
    await visit.page.keyboard.press("M")
    await expect(visit.page.get_by_test_id("mute")).to_have_text("Mute")
    await visit.page.keyboard.press("/")
    await expect(visit.page.get_by_test_id("text")).to_be_focused()
    await expect(visit.page.get_by_test_id("text")).to_have_value("")


async def test_keys_typed_into_the_question_stay_there(visit: Visit) -> None:
    await visit.start()
    await visit.expect_state("Ready – just talk")
    visit.server.send_event("state", state="speaking")
    await visit.expect_state("Speaking")
    field = visit.page.get_by_test_id("text")
    await field.focus()
    await visit.page.keyboard.type("m/s")
    await visit.page.keyboard.press("Escape")

    await expect(field).to_have_value("m/s")
    await expect(field).not_to_be_focused()
    await expect(visit.page.get_by_test_id("mute")).to_have_text("Mute")
    await visit.page.keyboard.press("Escape")
    await visit.server.wait_for_command("interrupt")
    assert [c for c in visit.server.commands if c["action"] == "interrupt"] == [{"action": "interrupt"}]


async def test_interrupt_can_be_pressed_only_while_there_is_something_to_interrupt(visit: Visit) -> None:
    await visit.start()
    await visit.expect_state("Ready – just talk")
    interrupt = visit.page.get_by_test_id("interrupt")
    await expect(interrupt).to_be_disabled()
    visit.server.send_event("state", state="speaking")
    await interrupt.click()

    await visit.server.wait_for_command("interrupt")


async def test_single_keys_can_be_switched_off_for_good(visit: Visit) -> None:
    await visit.open()
    await visit.page.get_by_text("Keyboard", exact=True).click()
    await visit.page.get_by_label("Single keys work").uncheck()
    await visit.start()
    await visit.expect_state("Ready – just talk")
    await visit.page.keyboard.press("m")
    await visit.page.keyboard.press("/")

    await expect(visit.page.get_by_test_id("mute")).to_have_text("Mute")
    await expect(visit.page.get_by_test_id("text")).not_to_be_focused()


async def test_the_page_can_be_worked_by_tab_and_enter_alone(visit: Visit) -> None:
    await visit.open()
    await visit.page.keyboard.press("Tab")
    await expect(visit.page.get_by_text("Skip to the controls")).to_be_focused()
    await visit.page.keyboard.press("Enter")
    await visit.page.keyboard.press("Tab")
    await expect(visit.page.get_by_test_id("start")).to_be_focused()
    assert await visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await visit.page.keyboard.press("Enter")
    await visit.server.wait_for_command("tracks")
    await visit.expect_state("Ready – just talk")

    order = ["share", "mute", "end"]  # interrupt is disabled while the assistant is silent
    await visit.page.get_by_test_id(order[0]).focus()
    for hook in order[1:]:
        await visit.page.keyboard.press("Tab")
        await expect(visit.page.get_by_test_id(hook)).to_be_focused()
    await visit.page.keyboard.press("Enter")
    await visit.server.wait_for_command("end_session")


async def test_live_regions_and_roles_are_what_a_screen_reader_needs(visit: Visit) -> None:
    await visit.start()
    await visit.expect_state("Ready – just talk")
    page = visit.page

    log = page.get_by_role("log", name="What was said")
    await expect(log).to_have_attribute("aria-live", "polite")
    await expect(log).to_have_attribute("data-testid", "transcript")
    await expect(page.get_by_test_id("error")).to_have_attribute("role", "alert")
    await expect(page.get_by_role("textbox", name="Type a question")).to_be_enabled()
    for name in ("Share screen", "Mute", "Interrupt", "End", "Send"):
        await expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    await expect(page.get_by_role("meter", name="Your microphone")).to_be_visible()
    await expect(page.get_by_role("group", name="Controls")).to_be_visible()
    await expect(page.locator(".announcer")).to_have_text("Ready – just talk")
    await expect(page.locator("html")).to_have_attribute("lang", "en")


async def test_talking_states_are_not_announced_over_the_assistant(visit: Visit) -> None:
    await visit.start()
    await visit.expect_state("Ready – just talk")
    visit.server.send_event("state", state="speaking")
    await visit.expect_state("Speaking")

    await expect(visit.page.locator(".announcer")).to_have_text("Ready – just talk")


@pytest.mark.parametrize("live", [False, True])
async def test_every_control_has_a_name_every_id_is_unique_and_headings_nest(visit: Visit, live: bool) -> None:
    await (visit.start() if live else visit.open())

    faults = await visit.page.evaluate(
        """() => {
            const seen = (node) => node.checkVisibility();
            const named = (node) => node.textContent.trim() || node.ariaLabel || node.labels?.length;
            const controls = [...document.querySelectorAll("button, input, summary, a")].filter(seen);
            const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
            const references = [...document.querySelectorAll("[aria-labelledby]")]
                .map((node) => node.getAttribute("aria-labelledby"));
            const levels = [...document.querySelectorAll("h1, h2, h3")].filter(seen)
                .map((node) => Number(node.tagName[1]));
            return {
                unnamed: controls.filter((node) => !named(node)).map((node) => node.outerHTML),
                doubled: ids.filter((id, index) => ids.indexOf(id) !== index),
                dangling: references.filter((id) => !document.getElementById(id)),
                skipped: levels.filter((level, index) => level > (levels[index - 1] ?? 0) + 1),
                firsts: levels.filter((level) => level === 1).length,
                images: [...document.images].filter((image) => !image.hasAttribute("alt")).length,
                small: controls.filter((n) => !n.closest(".skip, footer") && n.getBoundingClientRect().height < 24)
                    .map((node) => node.outerHTML),
            };
        }"""
    )

    nothing: dict[str, Any] = {key: [] for key in ("unnamed", "doubled", "dangling", "skipped", "small")}
    assert faults == nothing | {"firsts": 1, "images": 0}


@pytest.mark.parametrize("width", [320, 360, 768, 1280])
async def test_nothing_scrolls_sideways(visit: Visit, width: int) -> None:
    await visit.page.set_viewport_size({"width": width, "height": 740})
    await visit.start()
    await visit.share()
    visit.server.send_event("transcript", turn=1, role="assistant", text="w" * 200, final=True)
    visit.server.send_event("screen_seen", frame=17, age_ms=80, reason="turn")
    visit.server.send_event("pointer", frame=17, box=[0, 900, 60, 1000], label="A rather long label at the far edge")
    visit.server.send_event("error", code="ENGINE_QUOTA", message="", details={}, fatal=False)
    await expect(visit.page.get_by_test_id("pointer")).to_be_visible()
    await expect(visit.page.get_by_test_id("error")).not_to_be_empty()

    assert await overflow(visit) <= 0
    await visit.page.get_by_test_id("end").click()
    await visit.expect_state("Ended")
    assert await overflow(visit) <= 0
    await visit.open()
    await visit.expect_state("Not started")
    assert await overflow(visit) <= 0


async def test_motion_stops_for_those_who_asked_for_less(visit: Visit) -> None:
    await visit.page.emulate_media(reduced_motion="reduce")
    await visit.start()
    visit.server.send_event("state", state="thinking")
    await visit.expect_state("Thinking")

    assert await visit.page.evaluate("document.getAnimations().length") == 0


async def test_colours_of_text_stand_out_from_their_grounds_in_both_schemes() -> None:
    style = STYLE.read_text()
    light, dark = (
        dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6});", block))
        for block in re.findall(r":root \{(.*?)\n\s*\}", style, re.S)[:2]
    )
    pairs = [
        *((ink, ground) for ink in ("ink", "soft", "you", "them", "danger") for ground in ("paper", "card")),
        ("ink", "you-wash"),
        ("ink", "them-wash"),
        ("them", "them-wash"),
        ("you", "you-wash"),
        ("danger", "danger-wash"),
        ("ink", "danger-wash"),
        ("on-you", "you"),
    ]

    for scheme in (light, light | dark):
        for ink, ground in pairs:
            assert contrast(scheme[ink], scheme[ground]) >= 4.5, f"{ink} on {ground}"


async def test_light_and_dark_follow_the_system(visit: Visit) -> None:
    await visit.open()
    grounds = []
    for scheme in ("light", "dark"):
        await visit.page.emulate_media(color_scheme=scheme)
        grounds.append(await visit.page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    assert grounds == ["rgb(245, 241, 232)", "rgb(17, 22, 28)"]


async def overflow(visit: Visit) -> int:
    return int(await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
