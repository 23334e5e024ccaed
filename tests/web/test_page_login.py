"""Authentication on the page: guests, logging in, registering, and staying logged in."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.web.fake_page_server import Refusal, Visit

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LOGIN, REGISTER, REFRESH = (f"POST /api/v1/users/{name}" for name in ("login", "register", "refresh"))
PASSWORD = "correct horse"
KEPT = "JSON.parse(localStorage.getItem('mediaserver.identity'))"


async def test_the_form_is_one_that_password_managers_and_screen_readers_understand(visit: Visit) -> None:
    await visit.open()
    page = visit.page
    await page.get_by_test_id("login").click()

    dialog = page.get_by_role("dialog", name="Log in")
    await expect(dialog.get_by_label("Username or email")).to_be_focused()
    await expect(page.get_by_test_id("username")).to_have_attribute("autocomplete", "username")
    await expect(page.get_by_test_id("password")).to_have_attribute("autocomplete", "current-password")
    await expect(page.get_by_test_id("email")).to_be_hidden()

    await page.get_by_test_id("register").click()
    dialog = page.get_by_role("dialog", name="Create an account")
    await expect(dialog.get_by_label("Username", exact=True)).to_be_focused()
    await expect(page.get_by_test_id("email")).to_have_attribute("autocomplete", "email")
    await expect(page.get_by_test_id("password")).to_have_attribute("autocomplete", "new-password")


async def test_logging_in_by_keyboard_alone_names_the_person_and_gives_the_focus_back(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.open()
    page = visit.page
    await page.get_by_test_id("login").focus()
    await page.keyboard.press("Enter")
    await page.keyboard.type("ada")
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")

    await expect(page.get_by_test_id("account")).to_have_text(re.compile(r"\bada\b"))
    await expect(page.get_by_test_id("account")).to_be_focused()
    await expect(page.get_by_test_id("login")).to_be_hidden()
    await expect(page.locator(".announcer")).to_have_text("Logged in as ada.")
    assert visit.console_errors == []
    assert visit.foreign_requests == []


async def test_escape_closes_the_dialog_and_gives_the_focus_back(visit: Visit) -> None:
    await visit.open()
    await visit.page.get_by_test_id("login").focus()
    await visit.page.keyboard.press("Enter")
    await visit.page.get_by_test_id("username").fill("ada")
    await visit.page.keyboard.press("Escape")

    await expect(visit.page.locator("dialog[open]")).to_have_count(0)
    await expect(visit.page.get_by_test_id("login")).to_be_focused()


async def test_login_and_registration_carry_the_guest_so_that_its_history_is_adopted(visit: Visit) -> None:
    api = visit.server.accounts_api
    await visit.start()  # as guest-1
    api.add_conversations("id-of-guest-1", 2)
    page = visit.page
    await page.get_by_test_id("login").click()
    await expect(page.locator("#login-why")).to_contain_text("What you said here as a guest comes along.")
    await register(page, "ada", PASSWORD)

    await expect(page.get_by_test_id("account")).to_contain_text("ada")
    assert api.bodies(REGISTER) == [
        {"username": "ada", "email": "ada@example.org", "password": PASSWORD, "guest_token": "guest-1"}
    ]
    assert api.bodies(LOGIN)[0]["guest_token"] == "guest-1"
    await page.get_by_test_id("history").click()
    await expect(page.get_by_test_id("history-item")).to_have_count(2)


async def test_logging_in_does_not_disturb_the_conversation_that_is_live(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.start()
    await log_in(visit)

    await expect(visit.page.locator(".announcer")).to_contain_text("This conversation goes on as it began")
    await visit.expect_state("Ready – just talk")
    await visit.server.close_peers()  # and it is rejoined by whoever began it
    offers = await visit.server.wait_for_requests("POST", "/whip?", times=2)
    assert [headers["Authorization"] for _, _, headers in offers] == ["Bearer guest-1", "Bearer guest-1"]


async def test_the_login_is_kept_between_visits_and_used_by_conversations(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.open()
    await log_in(visit)
    await visit.start()

    await expect(visit.page.get_by_test_id("account")).to_contain_text("ada")
    _, _, headers = (await visit.server.wait_for_requests("POST", "/whip?"))[0]
    assert headers["Authorization"] == "Bearer access-1"


async def test_empty_fields_are_named_without_asking_the_server(visit: Visit) -> None:
    await visit.open()
    page = visit.page
    await page.get_by_test_id("login").click()
    await page.get_by_test_id("submit").click()

    username = page.get_by_test_id("username")
    await expect(username).to_be_focused()
    await expect(username).to_have_attribute("aria-invalid", "true")
    await expect(username).to_have_accessible_description(re.compile("Please fill this in."))
    await expect(page.get_by_test_id("outcome")).to_have_text("2 fields need another look.")
    await expect(page.get_by_test_id("outcome")).to_have_attribute("role", "alert")
    assert visit.server.accounts_api.received == []
    await username.fill("a")
    await expect(username).not_to_have_attribute("aria-invalid", "true")


async def test_a_wrong_password_is_said_beside_it_and_can_be_corrected(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.open()
    page = visit.page
    await page.get_by_test_id("login").click()
    await fill(page, "ada", "wrong")
    await page.get_by_test_id("submit").click()

    await expect(page.get_by_test_id("password")).to_be_focused()
    await expect(page.locator("#login-password-fault")).to_contain_text("The name or the password is wrong.")
    await page.get_by_test_id("password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("account")).to_contain_text("ada")


@pytest.mark.parametrize(
    ("refusal", "field", "sentence"),
    [
        (Refusal(409, "USERNAME_TAKEN"), "username", "Somebody here has this username already."),
        (Refusal(409, "EMAIL_TAKEN"), "email", "There is an account with this email already."),
        (
            Refusal(422, "INVALID_FIELDS", details={"fields": [{"field": "email", "message": "Accepts `x`."}]}),
            "email",
            "Enter an email address, such as ada@example.org.",
        ),
    ],
)
async def test_an_error_of_a_registration_is_shown_beside_its_field(
    visit: Visit, refusal: Refusal, field: str, sentence: str
) -> None:
    visit.server.refusals[REGISTER] = refusal
    await visit.open()
    await visit.page.get_by_test_id("login").click()
    await register(visit.page, "ada", PASSWORD)

    await expect(visit.page.get_by_test_id(field)).to_be_focused()
    await expect(visit.page.locator(f"#login-{field}-fault")).to_contain_text(sentence)


@pytest.mark.parametrize(("name", "password", "field"), [("a b", PASSWORD, "username"), ("ada", "short", "password")])
async def test_names_and_passwords_that_no_server_takes_are_not_sent(
    visit: Visit, name: str, password: str, field: str
) -> None:
    await visit.open()
    await visit.page.get_by_test_id("login").click()
    await register(visit.page, name, password)

    await expect(visit.page.locator(f"#login-{field}-fault")).to_contain_text("Use ")
    assert visit.server.accounts_api.received == []


async def test_too_many_tries_say_when_to_try_again(visit: Visit) -> None:
    visit.server.refusals[LOGIN] = Refusal(429, "RATE_LIMITED", {"Retry-After": "12"})
    await visit.open()
    page = visit.page
    await page.get_by_test_id("login").click()
    await fill(page, "ada", PASSWORD)
    await page.get_by_test_id("submit").click()

    await expect(page.get_by_test_id("outcome")).to_contain_text("too many tries in a short time. Try again in 12 s.")
    await expect(page.get_by_test_id("countdown")).to_have_text(re.compile(r"try again in \d+ s"))
    await expect(page.get_by_test_id("countdown")).to_have_attribute("aria-hidden", "true")
    await expect(page.get_by_test_id("password")).to_have_value(PASSWORD)


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (Refusal(503, "BUSY"), "Too many people are logging in at once."),
        (Refusal(503, "STORE_UNAVAILABLE"), "The server cannot reach its database."),
        (Refusal(500, "INTERNAL_ERROR"), "The server made a mistake."),
        (Refusal(418, "TEAPOT"), "The server made a mistake."),
    ],
)
async def test_a_server_in_trouble_is_explained_in_the_dialog(visit: Visit, refusal: Refusal, sentence: str) -> None:
    visit.server.refusals[LOGIN] = refusal
    await visit.open()
    await visit.page.get_by_test_id("login").click()
    await fill(visit.page, "ada", PASSWORD)
    await visit.page.get_by_test_id("submit").click()

    await expect(visit.page.get_by_test_id("outcome")).to_contain_text(sentence)


async def test_the_password_can_be_looked_at_and_is_hidden_again_when_sent(visit: Visit) -> None:
    visit.server.refusals[LOGIN] = Refusal(503, "BUSY")
    await visit.open()
    page = visit.page
    await page.get_by_test_id("login").click()
    await fill(page, "ada", PASSWORD)
    show = page.get_by_role("button", name="Show password")
    await show.click()
    await expect(page.get_by_test_id("password")).to_have_attribute("type", "text")
    await expect(show).to_have_attribute("aria-pressed", "true")
    await page.get_by_test_id("submit").click()

    await expect(page.get_by_test_id("password")).to_have_attribute("type", "password")
    await expect(show).to_have_attribute("aria-pressed", "false")


@pytest.mark.parametrize("told_before", [True, False])
async def test_closed_registration_is_explained_and_has_no_form(visit: Visit, told_before: bool) -> None:
    if told_before:
        visit.server.registration = "closed"
    visit.server.refusals[REGISTER] = Refusal(403, "FORBIDDEN")
    await visit.open()
    page = visit.page
    await page.get_by_test_id("login").click()
    if told_before:
        await page.get_by_test_id("register").click()
    else:
        await register(page, "ada", PASSWORD)

    closed = page.get_by_test_id("registration-closed")
    await expect(closed).to_have_text("This server takes no registrations. Ask whoever runs it for an account.")
    await expect(closed).to_be_focused()
    await expect(page.get_by_test_id("username")).to_be_hidden()
    await page.get_by_role("button", name="I have an account").click()
    await expect(page.get_by_test_id("username")).to_be_visible()


async def test_an_account_that_was_made_is_not_lost_when_logging_in_fails(visit: Visit) -> None:
    visit.server.refusals[LOGIN] = Refusal(503, "BUSY", times=1)
    await visit.open()
    page = visit.page
    await page.get_by_test_id("login").click()
    await register(page, "ada", PASSWORD)
    await expect(page.locator("#login-why")).to_have_text("Your account is made. Log in to use it.")
    await page.get_by_test_id("submit").click()

    await expect(page.get_by_test_id("account")).to_contain_text("ada")
    assert len(visit.server.accounts_api.bodies(REGISTER)) == 1


async def test_where_guests_are_not_allowed_start_asks_for_a_login_and_then_starts(visit: Visit) -> None:
    visit.server.refusals["POST /api/v1/guests"] = Refusal(403, "FORBIDDEN")
    visit.server.accounts_api.sign_up()
    await visit.open()
    page = visit.page
    await page.get_by_test_id("start").click()
    await expect(page.locator("#login-why")).to_contain_text("This server does not let you in as a guest.")
    await expect(page.get_by_test_id("username")).to_be_focused()
    await fill(page, "ada", PASSWORD)
    await page.get_by_test_id("submit").click()

    await visit.server.wait_for_command("tracks")
    await visit.expect_state("Ready – just talk")
    await expect(page.get_by_test_id("error")).to_be_empty()


async def test_the_reason_for_a_login_stays_after_the_dialog_is_closed(visit: Visit) -> None:
    visit.server.refusals["POST /api/v1/guests"] = Refusal(403, "FORBIDDEN")
    await visit.open()
    page = visit.page
    await page.get_by_test_id("start").click()
    await expect(page.get_by_test_id("username")).to_be_focused()
    await page.keyboard.press("Escape")

    await visit.expect_state("Not started")
    error = page.get_by_test_id("error")
    await expect(error).to_contain_text("ALLOW_GUESTS=true")
    await error.get_by_role("button", name="Log in").click()
    await expect(page.get_by_test_id("username")).to_be_visible()


@pytest.mark.parametrize("hook", ["history", "settings"])
async def test_a_dialog_that_needs_a_login_asks_for_it_and_opens_afterwards(visit: Visit, hook: str) -> None:
    visit.server.refusals["POST /api/v1/guests"] = Refusal(403, "FORBIDDEN")
    visit.server.accounts_api.sign_up()
    await visit.open()
    await visit.page.get_by_test_id(hook).click()
    await expect(visit.page.get_by_test_id("username")).to_be_focused()
    await fill(visit.page, "ada", PASSWORD)
    await visit.page.get_by_test_id("submit").click()

    await expect(visit.page.locator(f"#{hook}")).to_be_visible()
    await expect(visit.page.locator("#login")).to_be_hidden()


async def test_a_token_is_renewed_before_it_expires_and_both_new_ones_are_kept(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.page.clock.install()
    await visit.open()
    await log_in(visit)
    await visit.page.clock.fast_forward(3541 * 1000)
    await visit.page.get_by_test_id("settings").click()
    await expect(visit.page.locator("#voice")).to_be_focused()

    assert visit.server.accounts_api.bodies(REFRESH) == [{"refresh_token": "refresh-1"}]
    _, _, headers = (await visit.server.wait_for_requests("GET", "/api/v1/users/me/settings"))[0]
    assert headers["Authorization"] == "Bearer access-2"
    kept = await visit.page.evaluate(KEPT)
    assert (kept["access_token"], kept["refresh_token"]) == ("access-2", "refresh-2")


async def test_requests_that_are_refused_together_renew_the_token_once(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.open()
    await log_in(visit)
    visit.server.accounts_api.access.clear()
    answers = await visit.page.evaluate(
        """async () => {
            const { Identity } = await import("/static/auth/identity.js");
            const me = new Identity(() => {});
            const asked = [1, 2, 3].map(() => me.fetch("/api/v1/users/me"));
            return (await Promise.all(asked)).map((answer) => answer.status);
        }"""
    )

    assert answers == [200, 200, 200]
    assert visit.server.accounts_api.bodies(REFRESH) == [{"refresh_token": "refresh-1"}]


async def test_two_tabs_do_not_spend_one_refresh_token_twice(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.open()
    await log_in(visit)
    visit.server.accounts_api.access.clear()
    other = await visit.page.context.new_page()
    await other.goto(visit.address)
    for page in (visit.page, other):
        await page.get_by_test_id("history").click()
    for page in (visit.page, other):
        await expect(page.get_by_test_id("history-empty")).to_be_visible()

    assert len(visit.server.accounts_api.bodies(REFRESH)) == 1
    await other.close()


async def test_a_login_that_has_expired_is_asked_for_by_name_and_goes_on(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.open()
    await log_in(visit)
    visit.server.refusals["POST /whip"] = Refusal(401, "UNAUTHORIZED", times=1)
    visit.server.accounts_api.refresh.clear()
    page = visit.page
    await page.get_by_test_id("start").click()

    await expect(page.locator("#login-why")).to_contain_text("Your login has expired.")
    await expect(page.get_by_test_id("username")).to_have_value("ada")
    await expect(page.get_by_test_id("password")).to_be_focused()
    await page.get_by_test_id("password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    await visit.server.wait_for_command("tracks")
    assert [path for _, path, _ in visit.server.requests if path == "/api/v1/guests"] == []


async def test_an_expired_login_can_continue_as_a_guest(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.open()
    await log_in(visit)
    visit.server.refusals["POST /whip"] = Refusal(401, "UNAUTHORIZED", times=1)
    visit.server.accounts_api.refresh.clear()
    await visit.page.get_by_test_id("start").click()
    await visit.page.get_by_test_id("as-guest").click()

    _, _, headers = (await visit.server.wait_for_requests("POST", "/whip?", times=2))[1]
    assert headers["Authorization"] == "Bearer guest-1"


async def test_a_guest_that_can_be_renewed_stays_the_same_guest(visit: Visit) -> None:
    visit.server.accounts_api.guests_can_refresh = True
    await visit.start()
    visit.server.accounts_api.add_conversations("id-of-guest-1", 1)
    visit.server.accounts_api.access.pop("guest-1")
    await visit.page.get_by_test_id("history").click()

    await expect(visit.page.get_by_test_id("history-item")).to_have_count(1)
    assert len(visit.server.accounts_api.bodies(REFRESH)) == 1


async def test_logging_out_in_one_tab_empties_the_other(visit: Visit) -> None:
    visit.server.accounts_api.sign_up()
    await visit.open()
    await log_in(visit)
    other = await visit.page.context.new_page()
    await other.goto(visit.address)
    await other.get_by_test_id("account").click()
    await other.get_by_test_id("logout").click()

    await expect(visit.page.get_by_test_id("login")).to_be_visible()
    await expect(visit.page.get_by_test_id("error")).to_contain_text("You were logged out on another page.")
    await other.close()


async def test_single_keys_and_escape_belong_to_the_dialog_while_it_is_open(visit: Visit) -> None:
    await visit.start()
    await visit.expect_state("Ready – just talk")
    visit.server.send_event("state", state="speaking")
    await visit.expect_state("Speaking")
    await visit.page.get_by_test_id("login").click()
    await visit.page.get_by_test_id("show-password").focus()
    await visit.page.keyboard.press("m")
    await visit.page.keyboard.press("Escape")

    await expect(visit.page.locator("dialog[open]")).to_have_count(0)
    await expect(visit.page.get_by_test_id("mute")).to_have_text("Mute")
    await visit.page.keyboard.press("m")
    await expect(visit.page.get_by_test_id("mute")).to_have_text("Unmute")
    assert [c for c in visit.server.commands if c["action"] == "interrupt"] == []


async def fill(page: Page, name: str, password: str) -> None:
    await page.get_by_test_id("username").fill(name)
    await page.get_by_test_id("password").fill(password)


async def register(page: Page, name: str, password: str) -> None:
    await page.get_by_test_id("register").click()
    await fill(page, name, password)
    await page.get_by_test_id("email").fill("ada@example.org")
    await page.get_by_test_id("submit").click()


async def log_in(visit: Visit) -> None:
    await visit.page.get_by_test_id("login").click()
    await fill(visit.page, "ada", PASSWORD)
    await visit.page.get_by_test_id("submit").click()
    await expect(visit.page.get_by_test_id("account")).to_contain_text("ada")
