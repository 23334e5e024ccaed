"""The page's messages and actions when something is missing, refused, lost or over."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Route, expect

from pipeline.errors import FaultCode
from tests.web.fake_page_server import Refusal, Visit

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

REFUSING = "navigator.mediaDevices.{call} = async () => {{ throw new DOMException('{message}', '{name}'); }}"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NotAllowedError", "The microphone is blocked for this page."),
        ("NotFoundError", "No microphone was found."),
        ("NotReadableError", "The microphone could not be opened; another program may be using it."),
    ],
)
async def test_without_a_microphone_one_can_still_type(visit: Visit, name: str, sentence: str) -> None:
    await visit.page.add_init_script(REFUSING.format(call="getUserMedia", name=name, message="no"))
    await visit.start()

    await expect_error(visit, sentence, "You can type meanwhile.")
    await visit.expect_state("Ready – type your question")
    await expect(visit.page.get_by_test_id("mute")).to_be_disabled()
    await visit.page.get_by_test_id("text").fill("hello")
    await visit.page.get_by_test_id("send").click()
    await visit.server.wait_for_command("text_input")


async def test_the_microphone_can_be_tried_again_during_the_conversation(visit: Visit) -> None:
    await visit.page.add_init_script(
        "const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices); let tries = 0;"
        "navigator.mediaDevices.getUserMedia = async (wanted) => { tries += 1;"
        " if (tries === 1) throw new DOMException('no', 'NotAllowedError'); return ask(wanted); };"
    )
    await visit.start()
    await visit.expect_state("Ready – type your question")
    await visit.page.get_by_role("button", name="Try the microphone again").click()

    await visit.expect_state("Ready – just talk")
    await expect_no_error(visit)
    await expect(visit.page.get_by_test_id("mic-level")).to_have_attribute("aria-valuenow", re.compile(r"[1-9]\d"))


async def test_an_unplugged_microphone_is_reported(visit: Visit) -> None:
    await visit.page.add_init_script(
        "const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = async (wanted) => window.given = await ask(wanted);"
    )
    await visit.start()
    await visit.expect_state("Ready – just talk")
    await visit.page.evaluate("given.getAudioTracks()[0].dispatchEvent(new Event('ended')); undefined")

    await expect_error(visit, "The microphone was disconnected or taken away from this page.", "Plug it in")
    await visit.expect_state("Ready – type your question")


async def test_plain_http_from_another_machine_is_explained(visit: Visit) -> None:
    visit.address = visit.address.replace("127.0.0.1", "elsewhere.test")
    await visit.start()

    await expect_error(visit, "Browsers give microphone and screen only to secure pages", "open the page by https")
    await visit.expect_state("Ready – type your question")


async def test_a_browser_without_webrtc_is_explained(visit: Visit) -> None:
    await visit.page.add_init_script("delete window.RTCPeerConnection")
    await visit.open()
    await visit.page.get_by_test_id("start").click()

    await expect_error(visit, "This browser has no WebRTC", "Open the page in a current")


async def test_a_phone_that_cannot_share_is_explained(visit: Visit) -> None:
    await visit.page.add_init_script("MediaDevices.prototype.getDisplayMedia = undefined")
    await visit.start()
    await visit.page.get_by_test_id("share").click()

    await expect_error(visit, "This browser cannot share a screen", "open the page on a computer")


async def test_changing_ones_mind_about_sharing_is_no_error(visit: Visit) -> None:
    await visit.page.add_init_script(REFUSING.format(call="getDisplayMedia", name="NotAllowedError", message="by user"))
    await visit.start()
    await visit.page.get_by_test_id("share").click()

    await expect(visit.page.get_by_test_id("hint")).to_contain_text("Nothing is shared.")
    await expect_no_error(visit)
    await expect(visit.page.get_by_test_id("share")).to_have_text("Share screen")


@pytest.mark.parametrize(
    ("name", "message", "sentence"),
    [
        (
            "NotAllowedError",
            "Permission denied by system",
            "Your computer does not let this browser record the screen.",
        ),
        ("NotReadableError", "no", "The screen could not be captured."),
    ],
)
async def test_a_screen_that_cannot_be_captured_is_explained(
    visit: Visit, name: str, message: str, sentence: str
) -> None:
    await visit.page.add_init_script(REFUSING.format(call="getDisplayMedia", name=name, message=message))
    await visit.start()
    await visit.page.get_by_test_id("share").click()

    await expect_error(visit, sentence, "Share screen")


@pytest.mark.parametrize(
    ("request_line", "refusal", "sentence", "todo"),
    [
        ("POST /whip", Refusal(503, "SESSION_LIMIT", {"Retry-After": "7"}), "The server is full", "then try again"),
        ("POST /whip", Refusal(429, "RATE_LIMITED", {"Retry-After": "7"}), "too many tries", "then try again"),
        ("POST /whip", Refusal(429, "SESSION_LIMIT", {"Retry-After": "7"}), "as many conversations open", "End one"),
        (
            "POST /whip",
            Refusal(429, "SESSION_LIMIT", {"Retry-After": "7"}, details={"limit": "address"}),
            "open at your internet address",
            "on another device",
        ),
        (
            "POST /whip",
            Refusal(503, "SESSION_LIMIT", {"Retry-After": "7"}, details={"limit": "guests"}),
            "no room for more guests",
            "Log in",
        ),
        ("POST /whip", Refusal(503, "SHUTTING_DOWN", {"Retry-After": "7"}), "stopped or restarted", "Start again"),
        ("POST /whip", Refusal(500, "INTERNAL_ERROR"), "The server did not accept the conversation.", "Try again"),
        ("POST /whip", Refusal(401, "UNAUTHORIZED"), "no longer accepts this page’s pass", "Start again"),
        ("POST /api/v1/guests", Refusal(429, "RATE_LIMITED", {"Retry-After": "7"}), "too many tries", "then try again"),
        ("POST /api/v1/guests", Refusal(500, "INTERNAL_ERROR"), "The server made a mistake.", "Try again"),
    ],
)
async def test_a_refused_start_is_explained(
    visit: Visit, request_line: str, refusal: Refusal, sentence: str, todo: str
) -> None:
    visit.server.refusals[request_line] = refusal
    await visit.open()
    await visit.page.get_by_test_id("start").click()

    await expect_error(visit, sentence, todo)
    await visit.expect_state("Not started")
    seconds = visit.page.get_by_test_id("countdown")
    if refusal.headers:
        await expect(seconds).to_have_text(re.compile(r"in [1-7] s"))
        await expect(seconds).to_have_attribute("aria-live", "off")
    else:
        await expect(seconds).to_have_count(0)


async def test_a_full_server_is_tried_again_on_request(visit: Visit) -> None:
    visit.server.refusals["POST /whip"] = Refusal(503, "SESSION_LIMIT", {"Retry-After": "5"}, times=1)
    await visit.open()
    await visit.page.get_by_test_id("start").click()
    await visit.page.get_by_role("button", name="Try again").click()

    await visit.expect_state("Ready – just talk")
    await expect_no_error(visit)


async def test_a_server_that_does_not_answer_is_explained(visit: Visit) -> None:
    await visit.open()
    await visit.page.route("**/api/v1/guests", lambda route: route.abort())
    await visit.page.get_by_test_id("start").click()

    await expect_error(visit, "The server does not answer.", "Check the network")


async def test_end_while_the_server_still_thinks_about_it_ends_quietly(visit: Visit) -> None:
    await visit.open()
    await visit.page.route("**/whip?*", lambda route: None)
    await visit.page.get_by_test_id("start").click()
    await visit.expect_state("Connecting…")
    await visit.page.get_by_test_id("end").click()

    await visit.expect_state("Not started")
    await expect_no_error(visit)


async def test_a_whip_resource_created_after_end_is_deleted(visit: Visit) -> None:
    held: asyncio.Queue[Route] = asyncio.Queue()
    await visit.open()
    await visit.page.route("**/whip?*", held.put)
    await visit.page.get_by_test_id("start").click()
    route = await held.get()
    await visit.page.get_by_test_id("end").click()
    await visit.expect_state("Not started")
    await route.continue_()

    await visit.server.wait_for_requests("DELETE", "/whip/peer-1")
    await expect_no_error(visit)


async def test_a_lost_connection_is_rejoined_under_the_same_label_with_the_transcript_kept(visit: Visit) -> None:
    await visit.start()
    await visit.share()
    visit.server.send_event("transcript", turn=1, role="user", text="kept", final=True)
    await expect(visit.page.locator(".said")).to_have_text("kept")
    visit.server.refusals["POST /whip"] = Refusal(503, "SESSION_LIMIT", times=1)
    await visit.server.close_peers()

    await visit.server.wait_for_command("tracks", times=2)
    await visit.expect_state("Ready – just talk")
    visit.server.send_event("transcript", turn=2, role="user", text="and on", final=True)
    await expect(visit.page.locator(".said")).to_have_text(["kept", "and on"])
    offers = [path for _, path, _ in await visit.server.wait_for_requests("POST", "/whip?", times=3)]
    assert len({path.partition("&")[0] for path in offers}) == 1
    await expect(visit.page.get_by_test_id("share")).to_have_text("Stop sharing")
    await expect_no_error(visit)


async def test_while_rejoining_the_page_says_so_and_nothing_can_be_sent(visit: Visit) -> None:
    await visit.start()
    await visit.expect_state("Ready – just talk")
    await visit.page.route("**/whip?*", lambda route: None)
    await visit.server.close_peers()

    await visit.expect_state("Reconnecting…")
    await expect(visit.page.get_by_test_id("send")).to_be_disabled()
    await expect(visit.page.get_by_test_id("text")).to_be_enabled()
    await expect(visit.page.get_by_test_id("interrupt")).to_be_disabled()
    await expect(visit.page.locator(".announcer")).to_have_text("Reconnecting…")


async def test_a_new_conversation_after_rejoining_says_that_the_old_one_is_forgotten(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("transcript", turn=1, role="user", text="before", final=True)
    await expect(visit.page.locator(".said")).to_have_text("before")
    visit.server.session_id = "conversation-2"
    await visit.server.close_peers()
    await visit.server.wait_for_command("tracks", times=2)
    visit.server.send_event("transcript", turn=1, role="user", text="after", final=True)

    await expect(visit.page.locator(".said")).to_have_text(["before", "after"])
    await expect(visit.page.locator(".note")).to_contain_text("A new conversation begins")


@pytest.mark.parametrize(
    ("gone", "sentence"),
    [(False, "The connection was lost and could not be made again in time."), (True, "The server went away")],
)
async def test_rejoining_gives_up_after_the_grace_period(visit: Visit, gone: bool, sentence: str) -> None:
    await visit.page.clock.install()
    await visit.start()
    visit.server.send_event("transcript", turn=1, role="user", text="kept", final=True)
    await expect(visit.page.locator(".said")).to_have_text("kept")
    if gone:
        await visit.page.route("**/whip?*", lambda route: route.abort())
    visit.server.refusals["POST /whip"] = Refusal(503, "SESSION_LIMIT")
    await visit.server.close_peers()
    await visit.expect_state("Reconnecting…")
    await visit.page.clock.fast_forward(16_000)

    await expect_error(visit, sentence, "What was said is kept below.")
    await visit.expect_state("Ended")
    await expect(visit.page.locator(".said")).to_have_text("kept")

    await visit.page.unroute_all()
    visit.server.refusals.clear()
    await visit.page.get_by_test_id("start").click()
    await visit.server.wait_for_command("tracks", times=2)
    await expect_no_error(visit)


async def test_a_dead_connection_is_replaced_when_the_machine_wakes_up(visit: Visit) -> None:
    await visit.page.clock.install()
    await visit.start()
    await visit.expect_state("Ready – just talk")
    await visit.page.evaluate("window.dispatchEvent(new Event('online'))")
    await visit.server.wait_for_command("ping")
    await visit.page.clock.fast_forward(4_100)  # this server never answers a ping

    await visit.server.wait_for_command("tracks", times=2)


async def test_a_connection_that_answers_is_kept_when_the_machine_wakes_up(visit: Visit) -> None:
    await visit.page.clock.install()
    await visit.start()
    await visit.page.evaluate("window.dispatchEvent(new Event('online'))")
    await visit.server.wait_for_command("ping")
    visit.server.send_event("pong", t=1)
    visit.server.send_event("state", state="listening")
    await visit.expect_state("Listening to you")
    await visit.page.clock.fast_forward(4_100)

    await visit.expect_state("Listening to you")
    assert len(visit.server.offers) == 1


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("idle", "The conversation ended because nothing happened for a while."),
        ("limit", "The conversation reached the longest time this server allows."),
        ("shutdown", "The server is being stopped or restarted."),
        ("error", "The conversation ended because something went wrong."),
    ],
)
async def test_an_ended_conversation_says_why_and_offers_another(visit: Visit, reason: str, sentence: str) -> None:
    await visit.start()
    visit.server.send_event("session_ended", reason=reason)

    await expect_error(visit, sentence, "Start again")
    error = visit.page.get_by_test_id("error")
    await expect(error.get_by_role("button", name="Dismiss")).to_have_count(0)
    await error.get_by_role("button", name="Start again").click()
    await visit.server.wait_for_command("tracks", times=2)


async def test_a_fatal_fault_is_said_once_and_not_rejoined(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("error", code="ENGINE_AUTH_INVALID", message="key", details={}, fatal=True)
    visit.server.send_event("session_ended", reason="error")

    await expect_error(visit, "The engine refused the server’s key.", "GEMINI_API_KEY")
    await expect(visit.page.get_by_test_id("error").locator(".notice")).to_have_count(1)
    assert len(visit.server.offers) == 1


async def test_a_fatal_fault_followed_by_silence_is_still_said(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("error", code="INTERNAL_ERROR", message="", details={}, fatal=True)
    visit.server.send_event("state", state="thinking")
    await visit.expect_state("Thinking")
    await visit.server.close_peers()

    await expect_error(visit, "The server made a mistake and ended this conversation.", "Start again")
    assert len(visit.server.offers) == 1


async def test_a_lost_answer_is_reported_until_dismissed_or_the_next_one_comes(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("error", code="ENGINE_STALLED", message="", details={}, fatal=False)
    await expect_error(visit, "The engine fell silent in the middle.", "Ask again.")
    await visit.page.get_by_role("button", name="Dismiss").click()
    await expect_no_error(visit)

    visit.server.send_event("error", code="ENGINE_STALLED", message="", details={}, fatal=False)
    await expect_error(visit, "The engine fell silent in the middle.", "Ask again.")
    visit.server.send_event("turn_complete", turn=2, heard_ms=1, latency_ms={}, usage={})
    await expect_no_error(visit)


async def test_a_question_that_is_kept_need_not_be_asked_again(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("error", code="ENGINE_NETWORK", message="", details={"kept": True}, fatal=False)
    await expect_error(visit, "The engine cannot be reached at the moment.", "What you say is kept")
    visit.server.send_event("turn_complete", turn=2, heard_ms=1, latency_ms={}, usage={})
    await expect_no_error(visit)


async def test_a_reduced_engine_configuration_is_reported(visit: Visit) -> None:
    await visit.start()
    warnings = ["gemini-1.5-flash is retired, so gemini-3.8-live answers."]
    visit.server.send_event(
        "session_started", id=visit.server.session_id, engine="gemini", model="gemini-3.8-live", warnings=warnings
    )
    await expect(visit.page.get_by_text(warnings[0])).to_be_visible()

    reduced = "The model gemini-9-live is not available; gemini-3.8-live answers instead."
    visit.server.send_event("error", code="ENGINE_CONFIG_REDUCED", message=reduced, details={}, fatal=False)
    await expect(visit.page.get_by_text(reduced)).to_be_visible()


async def test_an_unknown_fault_is_shown_in_the_servers_words(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("error", code="NEW_ONE", message="The moon is in the way.", details={}, fatal=False)

    await expect_error(visit, "The moon is in the way.", "Try again.")


async def test_blocked_sound_is_turned_on_by_a_button(visit: Visit) -> None:
    await visit.page.add_init_script(
        "const play = HTMLMediaElement.prototype.play; let tries = 0;"
        "HTMLMediaElement.prototype.play = function () { tries += 1;"
        " return tries === 1 ? Promise.reject(new DOMException('no', 'NotAllowedError')) : play.call(this); };"
    )
    await visit.start()
    await expect_error(visit, "The browser holds back the assistant’s voice.", "Turn on sound")
    await visit.page.get_by_role("button", name="Turn on sound").click()

    await expect_no_error(visit)


async def test_garbage_and_unknown_events_are_ignored(visit: Visit) -> None:
    await visit.start()
    for fields in (
        {"action": "from_the_future"},
        {"action": "transcript", "turn": "one", "role": "user", "text": "no"},
        {"action": "pointer", "frame": 1, "box": [1, 2, 3], "label": "no"},
        {"action": "toString"},
    ):
        visit.server.send_event(**fields)
    visit.server.send_event("state", state="thinking")

    await visit.expect_state("Thinking")
    assert visit.console_errors == []


async def test_every_code_of_the_server_has_a_sentence(visit: Visit) -> None:
    await visit.open()

    codes = set(await visit.page.evaluate("import('/static/errors.js').then(({ CODES }) => CODES)"))
    assert {code.value for code in FaultCode} <= codes
    assert codes_of_the_api() <= codes


def codes_of_the_api() -> set[str]:
    raised = re.compile(r'HttpError\(\s*\d+,\s*"([A-Z_]+)"')
    sources = (path.read_text() for path in (Path(__file__).parents[2] / "mediaserver").rglob("*.py"))
    found = {code for source in sources for code in raised.findall(source)}
    assert "INVALID_CREDENTIALS" in found
    return found | {"USERNAME_TAKEN", "EMAIL_TAKEN"}


async def expect_error(visit: Visit, sentence: str, todo: str) -> None:
    error = visit.page.get_by_test_id("error")
    await expect(error).to_contain_text(sentence)
    await expect(error).to_contain_text(todo)


async def expect_no_error(visit: Visit) -> None:
    await expect(visit.page.get_by_test_id("error")).to_be_empty()
