"""A conversation on the page: starting, talking, sharing, ending."""

import re

import pytest
from playwright.async_api import FloatRect, expect

from tests.web.fake_page_server import Refusal, Visit, picture

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_start_offers_microphone_screen_and_events_under_a_label_of_its_own(visit: Visit) -> None:
    await visit.start()

    _, path, headers = (await visit.server.wait_for_requests("POST", "/whip?"))[0]
    assert re.fullmatch(r"/whip\?session=page-[0-9a-f]{16}&preconnect=1", path)
    assert headers["Content-Type"] == "application/sdp"
    assert headers["Authorization"] == "Bearer guest-1"
    assert re.findall(r"^m=(\w+)", visit.server.offers[0], re.M) == ["audio", "video", "application"]
    assert re.search(r"m=audio.*?a=sendrecv.*?m=video.*?a=sendonly", visit.server.offers[0], re.S)
    assert await visit.server.wait_for_command("tracks") == {"action": "tracks", "mids": {"1": "screen"}}
    await visit.expect_state("Ready – just talk")
    await expect(visit.page.get_by_test_id("start")).to_be_hidden()
    await expect(visit.page.get_by_test_id("end")).to_be_focused()


async def test_a_whole_conversation_contacts_no_other_host_and_leaves_the_console_empty(visit: Visit) -> None:
    await visit.start()
    await visit.share()
    visit.server.send_event("transcript", turn=1, role="user", text="hello", final=True)
    visit.server.send_event("screen_seen", frame=17, age_ms=10, reason="first")
    visit.server.send_event("pointer", frame=17, box=[0, 0, 500, 500], label="Save")
    await expect(visit.page.get_by_test_id("pointer")).to_be_visible()
    await visit.page.get_by_test_id("end").click()
    await visit.expect_state("Ended")

    assert visit.console_errors == []
    assert visit.foreign_requests == []


async def test_the_idle_page_explains_itself_and_where_the_data_goes(visit: Visit) -> None:
    await visit.open()

    await expect(visit.page.get_by_role("heading", name="Talk about what’s on your screen.")).to_be_visible()
    await expect(visit.page.locator("#privacy")).to_contain_text("go to this server and no further")
    await expect(visit.page.get_by_test_id("engine")).to_have_text("Local engine (offline)")
    await expect(visit.page.get_by_test_id("can-be-asked").get_by_role("listitem")).to_have_text(
        ["hello", "what is on my screen", "where is save", "what time is it", "repeat", "stop"]
    )
    await expect(visit.page.get_by_text("Mediaserver 9.9.9")).to_be_visible()
    await visit.expect_state("Not started")
    assert [path for _, path, _ in visit.server.requests if path.startswith(("/whip", "/api/v1/guests"))] == []


async def test_gemini_is_named_with_its_model_and_so_is_google(visit: Visit) -> None:
    visit.server.engine = {"engine": "gemini", "model": "gemini-3.8-live", "can_be_asked": []}
    await visit.open()

    await expect(visit.page.get_by_test_id("engine")).to_have_text("Gemini Live, model gemini-3.8-live")
    await expect(visit.page.locator("#privacy")).to_contain_text("passes them on to Google’s Gemini")
    await expect(visit.page.get_by_test_id("can-be-asked")).to_be_hidden()


async def test_the_guest_is_kept_between_visits(visit: Visit) -> None:
    await visit.start()
    await visit.start()

    offers = await visit.server.wait_for_requests("POST", "/whip?", times=2)
    assert [headers["Authorization"] for _, _, headers in offers] == ["Bearer guest-1", "Bearer guest-1"]


async def test_a_refused_token_is_replaced_once(visit: Visit) -> None:
    await visit.start()
    visit.server.refusals["POST /whip"] = Refusal(401, "UNAUTHORIZED", times=1)
    await visit.start()

    offers = await visit.server.wait_for_requests("POST", "/whip?", times=3)
    assert [headers["Authorization"] for _, _, headers in offers[1:]] == ["Bearer guest-1", "Bearer guest-2"]
    await visit.expect_state("Ready – just talk")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("connecting", "Connecting…"),
        ("idle", "Ready – just talk"),
        ("listening", "Listening to you"),
        ("thinking", "Thinking"),
        ("speaking", "Speaking"),
        ("reconnecting", "Reconnecting…"),
    ],
)
async def test_the_state_is_shown_as_text(visit: Visit, state: str, words: str) -> None:
    await visit.start()
    visit.server.send_event("state", state=state)

    await visit.expect_state(words)


async def test_the_transcript_shows_both_sides_and_announces_only_whole_texts(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("transcript", turn=1, role="assistant", text="It is", final=False)
    visit.server.send_event("transcript", turn=1, role="user", text="what time is it", final=True)
    entries = visit.page.get_by_test_id("transcript").locator(".entry")

    await expect(entries.locator(".said")).to_have_text(["what time is it", "It is"])  # who asked comes first
    await expect(entries.nth(1)).to_have_attribute("aria-hidden", "true")
    growing = await entries.nth(1).element_handle()

    visit.server.send_event("transcript", turn=1, role="assistant", text="It is noon.", final=True)
    await expect(entries.nth(1).locator(".said")).to_have_text("It is noon.")
    await expect(entries.nth(1)).not_to_have_attribute("aria-hidden", "true")
    assert growing is not None
    assert not await growing.evaluate("node => node.isConnected")  # a new node is what a live region announces


async def test_an_interrupted_answer_ends_at_what_was_heard(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("transcript", turn=3, role="assistant", text="I can see a spreadsheet with", final=False)
    visit.server.send_event("interrupted", turn=3, heard_ms=900, heard_text="I can see")
    visit.server.send_event(
        "transcript", turn=3, role="assistant", text="I can see a spreadsheet with numbers", final=True
    )
    visit.server.send_event("text_response", turn=3, text="I can see", confidence=None)
    visit.server.send_event("state", state="listening")

    await visit.expect_state("Listening to you")
    entry = visit.page.locator(".entry[data-turn='3']")
    await expect(entry.locator(".said")).to_have_text("I can see – interrupted here")
    await expect(entry).to_have_attribute("data-interrupted", "")


async def test_an_answer_that_goes_on_after_an_interruption_is_shown_whole(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("transcript", turn=3, role="assistant", text="I can see a page", final=False)
    visit.server.send_event("interrupted", turn=3, heard_ms=900, heard_text="I can")
    visit.server.send_event("text_response", turn=3, text="I can", confidence=None)
    entry = visit.page.locator(".entry[data-turn='3']")
    await expect(entry).to_have_attribute("data-interrupted", "")
    visit.server.send_event("resumed", turn=3, from_ms=700)
    visit.server.send_event("transcript", turn=3, role="assistant", text="I can see a page", final=True)
    await expect(entry.locator(".said")).to_have_text("I can see a page")
    await expect(entry).not_to_have_attribute("data-interrupted", "")


async def test_an_answer_interrupted_at_once_says_that_nothing_was_heard(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("interrupted", turn=3, heard_ms=0, heard_text="")

    await expect(visit.page.locator(".said")).to_have_text("interrupted before anything was heard")


async def test_each_turn_shows_its_latency_and_the_usage_adds_up(visit: Visit) -> None:
    await visit.start()
    for turn, latency in ((1, 412), (2, 1300)):
        visit.server.send_event("transcript", turn=turn, role="assistant", text="Yes.", final=True)
        visit.server.send_event(
            "turn_complete",
            turn=turn,
            heard_ms=1,
            latency_ms={"speech_end_to_first_audio": latency},
            usage={"total": 600},
        )

    await expect(visit.page.get_by_test_id("latency")).to_have_text(["answered in 0.41 s", "answered in 1.30 s"])
    await visit.page.get_by_text("Usage", exact=True).click()
    await expect(visit.page.get_by_test_id("usage").locator("dd")).to_have_text("1,200")


async def test_the_assistant_is_audible_and_both_levels_move(visit: Visit) -> None:
    await visit.start()

    await expect(visit.page.get_by_test_id("voice-level")).to_have_attribute("aria-valuenow", re.compile(r"[1-9]\d"))
    await expect(visit.page.get_by_test_id("mic-level")).to_have_attribute("aria-valuenow", re.compile(r"[1-9]\d"))
    assert await visit.page.evaluate("document.querySelector('audio').paused") is False


async def test_with_push_to_talk_the_microphone_is_heard_only_while_space_is_held(visit: Visit) -> None:
    await visit.page.add_init_script(
        "const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = async (wanted) => window.given = await ask(wanted);"
    )
    await visit.open()
    await visit.page.get_by_test_id("push-to-talk").check()
    await visit.start()
    await expect(visit.page.get_by_test_id("push-to-talk")).to_be_checked()
    await visit.expect_state("Ready – hold Space while you talk")
    is_heard = "given.getAudioTracks()[0].enabled"
    assert await visit.page.evaluate(is_heard) is False

    await visit.page.get_by_test_id("end").focus()
    await visit.page.keyboard.down(" ")
    await visit.expect_state("Ready – just talk")
    assert await visit.page.evaluate(is_heard) is True
    await visit.page.keyboard.up(" ")
    await visit.expect_state("Ready – hold Space while you talk")
    assert await visit.page.evaluate(is_heard) is False
    assert await visit.server.wait_for_command("audio_end") == {"action": "audio_end"}

    await visit.page.get_by_test_id("text").fill("a b")
    await visit.page.keyboard.press("Space")
    await expect(visit.page.get_by_test_id("text")).to_have_value("a b ")


async def test_a_model_of_the_operators_own_is_named_and_so_is_how_sure_the_hearing_was(visit: Visit) -> None:
    own = {"model": "qwen", "host": "box:11434"}
    visit.server.engine = {"engine": "local", "model": "local", "language_model": own, "can_be_asked": []}
    await visit.start()
    await expect(visit.page.get_by_test_id("engine")).to_have_text("Local engine, answers by qwen at box:11434")
    visit.server.send_event("transcript", turn=1, role="user", text="hello", final=True, confidence=0.874)
    await expect(visit.page.get_by_test_id("confidence")).to_have_text("heard with 87 % confidence")
    visit.server.send_event("transcript", turn=2, role="user", text="hello", final=True, confidence=None)
    await expect(visit.page.get_by_test_id("confidence")).to_have_count(1)


async def test_the_words_the_engine_reads_are_boxes_on_the_preview_while_wanted(visit: Visit) -> None:
    await visit.start()
    await visit.share()
    words = visit.page.get_by_test_id("word")
    await expect(words).to_have_count(0)
    await visit.page.get_by_test_id("words-on").check()
    await expect(words).to_have_count(2)
    assert await words.first.evaluate("box => [box.title, box.style.top, box.style.width]") == ["Save", "10%", "10%"]
    assert await words.last.evaluate("box => box.hasAttribute('data-unsure')") is True
    await visit.page.get_by_test_id("words-on").uncheck()
    await expect(words).to_have_count(0)


async def test_a_muted_microphone_sends_silence_and_says_so(visit: Visit) -> None:
    await visit.page.add_init_script(
        "const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getUserMedia = async (wanted) => {"
        " window.asked = wanted; return window.given = await ask(wanted); };"
    )
    await visit.start()
    mute = visit.page.get_by_test_id("mute")
    await visit.expect_state("Ready – just talk")

    await mute.click()
    await expect(mute).to_have_text("Unmute")
    await visit.expect_state("Ready – you are muted, so type or unmute")
    assert await visit.page.evaluate("given.getAudioTracks()[0].enabled") is False
    await mute.click()
    await expect(mute).to_have_text("Mute")
    assert await visit.page.evaluate("given.getAudioTracks()[0].enabled") is True
    assert await visit.page.evaluate("asked") == {
        "audio": {"echoCancellation": True, "noiseSuppression": True, "autoGainControl": True, "channelCount": 1}
    }


async def test_a_question_is_typed_and_sent_by_enter(visit: Visit) -> None:
    await visit.start()
    field = visit.page.get_by_test_id("text")
    await field.fill("  where is save?  ")
    await field.press("Enter")

    assert await visit.server.wait_for_command("text_input") == {"action": "text_input", "text": "where is save?"}
    await expect(field).to_have_value("")
    await field.fill("   ")
    await visit.page.get_by_test_id("send").click()
    await field.fill("stop")
    await visit.page.get_by_test_id("send").click()
    assert (await visit.server.wait_for_command("text_input", times=2))["text"] == "stop"  # blank text was not sent


async def test_an_example_is_put_into_the_text_field_to_be_changed_or_sent(visit: Visit) -> None:
    await visit.start()
    await visit.page.get_by_role("button", name="where is save").click()

    await expect(visit.page.get_by_test_id("text")).to_have_value("where is save")
    await expect(visit.page.get_by_test_id("text")).to_be_focused()


async def test_the_pointer_is_drawn_where_the_box_says_on_both_pictures(visit: Visit) -> None:
    visit.server.frame = (17, picture(1000, 500))
    await visit.start()
    await visit.share()
    visit.server.send_event("screen_seen", frame=17, age_ms=80, reason="turn")
    visit.server.send_event("pointer", frame=17, box=[120, 40, 160, 110], label="Save")

    pairs = {"pointer": visit.page.locator(".seen canvas"), "pointer-live": visit.page.get_by_test_id("preview")}
    for hook, shown in pairs.items():
        pointer = visit.page.get_by_test_id(hook)
        await expect(pointer).to_have_text("Save")
        await expect(shown).to_be_visible()
        await pointer.evaluate("node => Promise.all(node.getAnimations().map(a => a.finished))")
        frame = boxed(await shown.bounding_box())
        box = boxed(await pointer.bounding_box())
        assert (box["y"] - frame["y"]) / frame["height"] == pytest.approx(0.120, abs=0.006)
        assert (box["x"] - frame["x"]) / frame["width"] == pytest.approx(0.040, abs=0.006)
        assert box["height"] / frame["height"] == pytest.approx(0.040, abs=0.006)
        assert box["width"] / frame["width"] == pytest.approx(0.070, abs=0.006)
    await expect(visit.page.get_by_test_id("pointed")).to_have_text("Pointing at Save, at the upper left.")


async def test_the_last_picture_the_assistant_saw_is_the_servers_own(visit: Visit) -> None:
    visit.server.frame = (18, picture(800, 450))
    await visit.start()
    await visit.share()
    visit.server.send_event("screen_seen", frame=17, age_ms=80, reason="changed")

    seen = visit.page.get_by_test_id("seen")
    await expect(seen).to_contain_text("Picture 18, sent because the screen changed")
    await expect(seen.locator("canvas")).to_have_js_property("width", 800)
    await expect(seen.locator(".age")).to_have_text(re.compile(r"just now|\d s ago"))
    _, _, headers = (await visit.server.wait_for_requests("GET", "/api/v1/sessions/conversation-1/frame"))[0]
    assert headers["Authorization"] == "Bearer guest-1"


async def test_without_the_servers_picture_the_preview_stands_in_and_says_so(visit: Visit) -> None:
    visit.server.frame = None
    await visit.start()
    await visit.share()
    visit.server.send_event("screen_seen", frame=3, age_ms=80, reason="first")

    seen = visit.page.get_by_test_id("seen")
    await expect(seen).to_contain_text("Picture 3, the first picture of it (as this browser shows it)")
    width = await visit.page.get_by_test_id("preview").evaluate("node => node.videoWidth")
    await expect(seen.locator("canvas")).to_have_js_property("width", width)


async def test_a_pointer_into_a_picture_that_has_changed_is_shown_as_outdated(visit: Visit) -> None:
    await visit.start()
    await visit.share()
    visit.server.send_event("screen_seen", frame=17, age_ms=80, reason="turn")
    visit.server.send_event("pointer", frame=17, box=[120, 40, 160, 110], label="Save")
    visit.server.send_event("screen_seen", frame=18, age_ms=80, reason="turn")
    await expect(visit.page.get_by_test_id("seen")).to_contain_text("asked")
    await expect(visit.page.get_by_test_id("pointer")).not_to_have_attribute("data-stale", "")

    visit.server.send_event("screen_seen", frame=19, age_ms=80, reason="changed")
    await expect(visit.page.get_by_test_id("pointer")).to_have_attribute("data-stale", "")


@pytest.mark.parametrize("how", ["button", "browser"])
async def test_sharing_ends_properly_by_the_button_and_by_the_browsers_own(visit: Visit, how: str) -> None:
    await visit.start()
    await visit.share()
    share = visit.page.get_by_test_id("share")
    await expect(share).to_have_text("Stop sharing")
    visit.server.send_event("screen_seen", frame=17, age_ms=80, reason="turn")
    visit.server.send_event("pointer", frame=17, box=[120, 40, 160, 110], label="Save")
    await expect(visit.page.get_by_test_id("pointer")).to_be_visible()

    if how == "button":
        await share.click()
    else:
        await visit.page.get_by_test_id("preview").evaluate(
            "node => node.srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))"
        )
    await visit.server.wait_for_command("screen_share_end")
    await expect(share).to_have_text("Share screen")
    await expect(visit.page.get_by_test_id("preview")).to_be_hidden()
    await expect(visit.page.get_by_test_id("pointer")).to_have_count(0)


async def test_the_shared_screen_reaches_the_server_at_few_frames_and_for_text(visit: Visit) -> None:
    await visit.page.add_init_script(
        "const ask = navigator.mediaDevices.getDisplayMedia.bind(navigator.mediaDevices);"
        "navigator.mediaDevices.getDisplayMedia = (wanted) => { window.asked = wanted; return ask(wanted); };"
        "const Line = RTCPeerConnection; window.RTCPeerConnection = class extends Line {"
        " constructor(...all) { super(...all); window.line = this; } };"
    )
    await visit.start()
    await visit.share()

    assert await visit.page.evaluate("asked.video.frameRate") == {"ideal": 2, "max": 5}
    assert await visit.page.evaluate("asked.audio") is False
    assert (
        await visit.page.get_by_test_id("preview").evaluate("n => n.srcObject.getVideoTracks()[0].contentHint")
        == "text"
    )
    await visit.page.evaluate(
        "async () => { for (;;) { const all = [...(await line.getStats()).values()];"
        " if (all.some((one) => one.type === 'outbound-rtp' && one.kind === 'video' && one.framesSent > 0)) return;"
        " await new Promise(requestAnimationFrame); } }"
    )


async def test_guidance_is_an_ordered_list_with_its_current_step_marked(visit: Visit) -> None:
    await visit.start()
    await visit.share()
    visit.server.send_event("screen_seen", frame=17, age_ms=80, reason="turn")
    steps = [
        {"id": 1, "text": "Open the menu", "state": "done"},
        {"id": 2, "text": "Press Save", "state": "current"},
        {"id": 3, "text": "Choose a name", "state": "todo"},
    ]
    visit.server.send_event("guidance", title="Save the ledger", steps=steps)

    guidance = visit.page.get_by_test_id("guidance")
    await expect(guidance.get_by_role("heading")).to_have_text("Save the ledger")
    await expect(guidance.locator("ol > li")).to_have_text(["Open the menu done", "Press Save now", "Choose a name"])
    await expect(guidance.locator("[aria-current=step]")).to_contain_text("Press Save")


async def test_end_waits_for_session_ended_and_keeps_the_transcript(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("transcript", turn=1, role="user", text="goodbye", final=True)
    await expect(visit.page.locator(".said")).to_have_text("goodbye")
    await visit.page.get_by_test_id("end").click()

    await visit.server.wait_for_command("end_session")
    await visit.expect_state("Ended")
    await expect(visit.page.locator(".said")).to_have_text("goodbye")
    await expect(visit.page.get_by_test_id("error")).to_be_empty()
    await expect(visit.page.get_by_test_id("start")).to_have_text("Start again")
    await expect(visit.page.get_by_test_id("start")).to_be_focused()


async def test_without_session_ended_the_whip_resource_is_deleted(visit: Visit) -> None:
    visit.server.sends_session_ended = False
    await visit.start()
    await visit.page.get_by_test_id("end").click()

    await visit.server.wait_for_requests("DELETE", "/whip/peer-1")
    await visit.expect_state("Not started")


async def test_a_second_conversation_keeps_the_first_one_on_the_page(visit: Visit) -> None:
    await visit.start()
    visit.server.send_event("transcript", turn=1, role="user", text="the first", final=True)
    await expect(visit.page.locator(".said")).to_have_text("the first")
    await visit.page.get_by_test_id("end").click()
    await visit.expect_state("Ended")
    visit.server.session_id = "conversation-2"
    await visit.page.get_by_test_id("start").click()
    await visit.server.wait_for_command("tracks", times=2)
    visit.server.send_event("transcript", turn=1, role="user", text="the second", final=True)

    await expect(visit.page.locator(".said")).to_have_text(["the first", "the second"])
    labels = {path for _, path, _ in await visit.server.wait_for_requests("POST", "/whip?", times=2)}
    assert len(labels) == 2


async def test_leaving_the_page_deletes_the_whip_resource(visit: Visit) -> None:
    await visit.start()
    await visit.page.goto("about:blank")

    _, _, headers = (await visit.server.wait_for_requests("DELETE", "/whip/peer-1"))[0]
    assert headers["Authorization"] == "Bearer guest-1"


def boxed(box: FloatRect | None) -> FloatRect:
    assert box is not None
    return box
