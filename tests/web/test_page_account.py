"""The account dialog and the settings dialog."""

import re

import pytest
from playwright.async_api import expect

from tests.web.fake_accounts_api import SETTINGS
from tests.web.fake_page_server import Refusal, Visit

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

ME = "/api/v1/users/me"
PASSWORD = "correct horse"


async def test_the_account_dialog_shows_the_logged_in_account(visit: Visit) -> None:
    await enter(visit)
    await visit.page.get_by_test_id("account").click()

    dialog = visit.page.get_by_role("dialog", name="ada")
    await expect(dialog).to_contain_text("ada@example.org")
    await expect(dialog).to_contain_text("Here since 1 March 2026")
    assert visit.console_errors == []


async def test_logging_out_revokes_the_login_and_leaves_nothing_of_the_person_on_the_page(visit: Visit) -> None:
    await enter(visit)
    await visit.page.get_by_test_id("start").click()
    await visit.server.wait_for_command("tracks")
    visit.server.send_event("transcript", turn=1, role="user", text="a secret", final=True)
    await expect(visit.page.locator(".said")).to_have_text("a secret")
    await visit.page.get_by_test_id("account").click()
    await visit.page.get_by_test_id("logout").click()

    await expect(visit.page.get_by_test_id("error")).to_contain_text("You are logged out.")
    await expect(visit.page.get_by_test_id("login")).to_be_visible()
    await expect(visit.page.locator(".said")).to_have_count(0)
    await visit.expect_state("Not started")
    await visit.server.wait_for_requests("POST", "/api/v1/users/logout")
    await visit.server.wait_for_requests("DELETE", "/whip/peer-1")
    assert await visit.page.evaluate("localStorage.getItem('mediaserver.identity')") is None
    await visit.page.reload()
    await expect(visit.page.get_by_test_id("error")).to_be_empty()


async def test_logging_out_works_without_the_server(visit: Visit) -> None:
    await enter(visit)
    await visit.page.route("**/users/logout", lambda route: route.abort())
    await visit.page.get_by_test_id("account").click()
    await visit.page.get_by_test_id("logout").click()

    await expect(visit.page.get_by_test_id("login")).to_be_visible()
    assert await visit.page.evaluate("localStorage.getItem('mediaserver.identity')") is None


async def test_a_changed_password_keeps_this_page_logged_in(visit: Visit) -> None:
    await enter(visit)
    await visit.page.get_by_test_id("account").click()
    await visit.page.get_by_test_id("change-password").click()
    form = visit.page.get_by_role("form", name="Change password")
    await form.get_by_label("Password until now", exact=True).fill("wrong")
    await form.get_by_label("New password", exact=True).fill("battery staple")
    await form.get_by_role("button", name="Change password").click()
    await expect(visit.page.locator("#current-password-fault")).to_contain_text("This is not your password.")
    await expect(form.get_by_label("Password until now", exact=True)).to_be_focused()

    await form.get_by_label("Password until now", exact=True).fill(PASSWORD)
    await form.get_by_role("button", name="Change password").click()
    await expect(form.get_by_role("alert")).to_contain_text("Your password is changed.")
    await expect(form.get_by_label("New password", exact=True)).to_have_value("")
    assert visit.server.accounts_api.accounts["ada"].password == "battery staple"
    visit.server.accounts_api.access.clear()
    await visit.page.keyboard.press("Escape")
    await visit.page.get_by_test_id("history").click()
    await expect(visit.page.get_by_test_id("history-empty")).to_be_visible()


async def test_an_account_is_deleted_only_by_its_name_and_its_password(visit: Visit) -> None:
    await enter(visit)
    await visit.page.get_by_test_id("account").click()
    await visit.page.get_by_test_id("delete-account").click()
    form = visit.page.get_by_role("form", name="Delete account")
    await form.get_by_label("Type your username to confirm").fill("bob")
    await form.get_by_label("Your password", exact=True).fill("wrong")
    await form.get_by_role("button", name="Delete my account").click()
    await expect(visit.page.locator("#confirmation-fault")).to_contain_text("Type ada to delete it.")
    assert "ada" in visit.server.accounts_api.accounts

    await form.get_by_label("Type your username to confirm").fill("ada")
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.locator("#deletion-password-fault")).to_contain_text("This is not your password.")
    assert "ada" in visit.server.accounts_api.accounts

    await form.get_by_label("Your password", exact=True).fill(PASSWORD)
    await visit.page.keyboard.press("Enter")
    await expect(visit.page.get_by_test_id("error")).to_contain_text("Your account is deleted")
    await expect(visit.page.get_by_test_id("login")).to_be_visible()
    assert visit.server.accounts_api.accounts == {}


async def test_settings_are_filled_in_saved_and_only_what_was_entered_is_set(visit: Visit) -> None:
    api = visit.server.accounts_api
    api.settings["id-of-ada"] = {**SETTINGS, "voice": "Puck", "silence_ms": 700, "from_the_future": True}
    await enter(visit)
    page = visit.page
    await page.get_by_test_id("settings").click()
    dialog = page.get_by_role("dialog", name="Settings")
    await expect(dialog.get_by_label("Voice")).to_have_value("Puck")
    await expect(dialog.get_by_label("Voice")).to_be_focused()
    await expect(dialog.get_by_label("Patience, in milliseconds")).to_have_value("700")
    await dialog.get_by_label("Voice").fill("")
    await dialog.get_by_label("Language").fill("pt-BR")
    await dialog.get_by_label("Instructions").fill("Be brief.")
    await page.get_by_test_id("save").click()

    await expect(page.get_by_test_id("settings-outcome")).to_have_text(
        "Saved. Your next conversation begins with these."
    )
    expected = {"language": "pt-BR", "instructions": "Be brief.", "silence_ms": 700, "from_the_future": True}
    assert api.settings["id-of-ada"] == {**SETTINGS, **expected}
    assert visit.console_errors == []


async def test_guests_have_settings_too(visit: Visit) -> None:
    await visit.open()
    await visit.page.get_by_test_id("settings").click()
    await visit.page.get_by_label("Voice", exact=True).fill("Leda")
    await visit.page.get_by_test_id("save").click()

    await expect(visit.page.get_by_test_id("settings-outcome")).to_contain_text("Saved.")
    assert visit.server.accounts_api.settings["id-of-guest-1"]["voice"] == "Leda"


@pytest.mark.parametrize(
    ("label", "value", "sentence"),
    [
        ("Language", "no tag", "Enter a language tag"),
        ("Patience, in milliseconds", "20", "Enter a whole number from 96 to 5000"),
        ("Patience, in milliseconds", "100.5", "Enter a whole number from 96 to 5000"),
        ("Voice", "<b>", "Enter a voice’s name"),
        ("Model", "a b", "Enter a model’s name"),
    ],
)
async def test_a_setting_that_cannot_be_is_explained_beside_it(
    visit: Visit, label: str, value: str, sentence: str
) -> None:
    await visit.open()
    await visit.page.get_by_test_id("settings").click()
    field = visit.page.get_by_label(label, exact=True)
    await field.fill(value)
    await visit.page.get_by_test_id("save").click()

    await expect(field).to_be_focused()
    await expect(field).to_have_accessible_description(re.compile(sentence))
    assert visit.server.accounts_api.received == []


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_settings_that_cannot_be_reached_say_so(visit: Visit, method: str) -> None:
    visit.server.refusals[f"{method} {ME}/settings"] = Refusal(503, "STORE_UNAVAILABLE", {"Retry-After": "5"})
    await visit.open()
    await visit.page.get_by_test_id("settings").click()
    if method == "PUT":
        await visit.page.get_by_test_id("save").click()

    await expect(visit.page.get_by_test_id("settings-outcome")).to_contain_text("The server cannot reach its database.")
    await expect(visit.page.get_by_test_id("countdown")).to_have_text(re.compile(r"try again in [1-5] s"))


async def test_the_settings_are_reached_without_leaving_the_conversation(visit: Visit) -> None:
    await visit.start()
    await visit.expect_state("Ready – just talk")
    await visit.page.get_by_test_id("settings").click()
    await expect(visit.page.get_by_label("Voice", exact=True)).to_be_focused()
    await visit.page.keyboard.press("Escape")

    await expect(visit.page.get_by_test_id("settings")).to_be_focused()
    await visit.expect_state("Ready – just talk")
    assert len(visit.server.offers) == 1


@pytest.mark.parametrize("width", [320, 360, 768])
@pytest.mark.parametrize("hook", ["login", "account", "settings"])
async def test_no_dialog_scrolls_sideways_on_a_phone(visit: Visit, hook: str, width: int) -> None:
    await visit.page.set_viewport_size({"width": width, "height": 640})
    await (visit.open() if hook == "login" else enter(visit, "a" * 32))
    await visit.page.get_by_test_id(hook).click()
    dialog = visit.page.locator(f"#{hook}")
    await expect(dialog).to_be_visible()
    for summary in await dialog.locator("summary").all():
        await summary.click()

    assert await visit.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert await dialog.evaluate("node => node.scrollWidth - node.clientWidth") <= 0


@pytest.mark.parametrize("hook", ["login", "account", "settings", "history"])
async def test_every_control_of_a_dialog_has_a_name_and_a_size(visit: Visit, hook: str) -> None:
    visit.server.accounts_api.add_conversations("id-of-ada", 2)
    await (visit.open() if hook == "login" else enter(visit))
    await visit.page.get_by_test_id(hook).click()
    dialog = visit.page.locator(f"#{hook}")
    await expect(dialog).to_be_visible()
    if hook == "history":
        await expect(visit.page.get_by_test_id("history-item")).to_have_count(2)
    faults = await dialog.evaluate(
        """(dialog) => {
            const named = (node) => node.textContent.trim() || node.ariaLabel || node.labels?.length;
            const controls = [...dialog.querySelectorAll("button, input, textarea, summary")]
                .filter((node) => node.checkVisibility());
            const references = [...document.querySelectorAll("[aria-labelledby], [aria-describedby], [aria-controls]")]
                .flatMap((node) => ["aria-labelledby", "aria-describedby", "aria-controls"]
                    .flatMap((name) => node.getAttribute(name)?.split(" ") ?? []));
            return [
                ...controls.filter((node) => !named(node)),
                ...controls.filter((n) => !n.matches(".sr") && n.getBoundingClientRect().height < 24),
            ].map((node) => node.outerHTML).concat(references.filter((id) => !document.getElementById(id)));
        }"""
    )

    assert faults == []


async def enter(visit: Visit, name: str = "ada") -> None:
    """Load the page and log in."""
    visit.server.accounts_api.sign_up(name, PASSWORD)
    await visit.open()
    await visit.page.get_by_test_id("login").click()
    await visit.page.get_by_test_id("username").fill(name)
    await visit.page.get_by_test_id("password").fill(PASSWORD)
    await visit.page.get_by_test_id("submit").click()
    await expect(visit.page.get_by_test_id("account")).to_contain_text(name)
