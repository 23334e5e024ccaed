"""LiveKit's own JavaScript client, unmodified, in Chromium, on a page of another origin than the server's."""

import json
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.request import Request, urlopen

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.support.livekit_browser import Visit, Visitor, chromium, served, token_for
from tests.support.server_process import Server, serving, synthetic
from tests.support.tcp_proxy import proxied

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

NEWEST, OLDER = "livekit-client", "livekit-client-2.15"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sharp"), FRAME_MAX_SIDE="1920", RATE_LIMIT_OFFER="1000/minute") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with served() as site:
        yield site


@pytest.fixture
def visit(browser: Browser, site: str) -> Iterator[Visit]:
    """Lets a page with some release of the client into a room."""
    context = browser.new_context()
    context.set_default_timeout(30_000)

    def visit(address: str, release: str = NEWEST, **options: object) -> Visitor:
        here = Visitor(context.new_page())
        here.page.goto(f"{site}/room.html?client={release}")
        here.page.wait_for_function("() => window.page")
        here.room = uuid.uuid4().hex
        url, token, here.access = token_for(address, "ada", here.room)
        here.connected = here.do("connect", url, token, options)
        here.until("page.actions().includes('state')")
        return here

    yield visit
    context.close()


@pytest.mark.parametrize("release", [NEWEST, OLDER])
def test_a_spoken_question_is_answered_by_voice_and_in_writing(server: Server, visit: Visit, release: str) -> None:
    ada = visit(server.address, release)
    ada.do("microphone", True)
    ada.until("notes.happened.includes('LocalTrackSubscribed')")
    ada.say(synthetic("what time is it"))
    assert ada.answered(1).startswith("It is")
    ada.until("page.finals('assistant').length")
    (question,), (answer,) = ada.do("finals", "ada"), ada.do("finals", "assistant")
    assert question == "What time is it?"
    assert answer.startswith("It is")
    legacy = ada.page.evaluate("page.notes.legacy.filter(segment => segment.final)")
    assert [(each["who"], each["text"]) for each in legacy] == [("ada", question), ("assistant", answer)]
    ada.until("notes.states.slice(-3).join() === 'thinking,speaking,listening'")
    assert len(ada.do("loudSince", 0)) > 10, "every 50 ms"
    assert not ada.complaints


def test_a_simulcast_screen_of_1080_lines_is_seen_whole_and_asked_about(server: Server, visit: Visit) -> None:
    ada = visit(server.address)
    ada.do("screen", True)
    assert ada.do("offered", "a=simulcast:send"), "several sizes were offered"
    ada.until("page.actions().includes('screen_seen')")
    ada.do("ask", "where is save")
    assert "Save is at the top left." in ada.answered(1)
    (pointer,) = ada.page.evaluate("page.notes.told.filter(event => event.action === 'pointer')")
    top, left, bottom, right = pointer["box"]
    assert 320 <= (left + right) / 2 / 1000 * 1920 <= 540
    assert 40 <= (top + bottom) / 2 / 1000 * 1080 <= 120

    own = Request(
        f"{server.address}/api/v1/sessions/{ada.room}/frame", headers={"Authorization": f"Bearer {ada.access}"}
    )
    with urlopen(own, timeout=10) as answer:
        seen = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
    assert seen is not None
    assert seen.shape[:2] == (1080, 1920)


@pytest.mark.acceptance  # test_livekit_sdk.py does the same with one of the SDKs
def test_calls_interrupt_ask_for_history_and_tune(droning: Server, visit: Visit) -> None:
    ada = visit(droning.address)
    ada.do("ask", "sing")
    ada.until("page.loudSince(0).length > 20")
    assert ada.do("call", "interrupt") == {"answer": "{}"}
    called = ada.do("now")
    ada.until("page.actions().includes('interrupted')")
    ada.until(f"notes.levels.at(-1)[0] > {called} + 1.5")
    assert not ada.do("loudSince", called + 0.5), "silent for a second at least, of an answer of ten"

    history = json.loads(ada.do("call", "get_history")["answer"])
    assert [(entry["role"], entry["interrupted"]) for entry in history["entries"]] == [
        ("user", False),
        ("assistant", True),
    ]
    tuned = json.loads(ada.do("call", "set_config", '{"vad": {"silence_ms": 300}}')["answer"])
    assert tuned["vad"]["silence_ms"] == 300
    assert ada.do("call", "open_the_door")["code"] == 1400


@pytest.mark.acceptance  # test_livekit_sdk.py does the same with one of the SDKs
def test_a_muted_microphone_is_not_heard_until_it_is_unmuted(server: Server, visit: Visit) -> None:
    ada = visit(server.address)
    ada.do("microphone", True)
    ada.until("notes.happened.includes('LocalTrackSubscribed')")
    ada.do("microphone", False)
    ada.say(synthetic("what time is it"))
    assert not ada.page.evaluate("page.notes.told.filter(event => event.state === 'listening')")
    ada.do("microphone", True)
    ada.say(synthetic("what time is it"))
    ada.until("page.finals('ada').length")
    assert ada.do("finals", "ada") == ["What time is it?"]


def publish_and_take_back(ada: Visitor) -> None:
    """Publish microphone and screen, be seen and heard by them, and take them back."""
    seen, heard = ada.do("actions").count("screen_seen"), len(ada.do("finals", "ada"))
    ada.do("microphone", True)
    ada.do("screen", True)
    ada.until(f"page.actions().filter(action => action === 'screen_seen').length > {seen}")
    ada.say(synthetic("what time is it"))
    ada.until(f"page.finals('ada').length > {heard}")
    ada.do("unpublish")


@pytest.mark.acceptance  # test_livekit_sdk.py does the same with one of the SDKs
def test_microphone_and_screen_can_be_published_again_and_again(droning: Server, visit: Visit) -> None:
    ada = visit(droning.address)
    for _ in range(3):
        publish_and_take_back(ada)
    assert not ada.complaints


@pytest.mark.acceptance  # test_livekit_sdk.py does the same with one of the SDKs
def test_the_voice_goes_on_while_a_lost_socket_is_resumed(droning: Server, visit: Visit) -> None:
    with proxied(droning.address) as proxy:
        ada = visit(proxy.address)
        ada.do("ask", "sing")
        ada.until("page.loudSince(0).length > 10")
        cut, sid = ada.do("now"), ada.do("sid")
        assert proxy.cut()
        ada.until("notes.happened.includes('Reconnected')")
        ada.until(f"notes.levels.at(-1)[0] > {cut} + 3")
        heard = [cut, *ada.do("loudSince", cut)]
        assert max(later - earlier for earlier, later in pairwise(heard)) < 0.5
        assert ada.do("sid") == sid
        assert ada.do("call", "interrupt") == {"answer": "{}"}
        ada.until("page.actions().includes('interrupted')")
        assert "session_ended" not in ada.do("actions")


@pytest.mark.acceptance  # test_livekit_sdk.py does the same with one of the SDKs
def test_a_client_whose_server_is_killed_joins_another(visit: Visit, tmp_path: Path) -> None:
    with serving(tmp_path) as server, serving(tmp_path) as other, proxied(server.address) as proxy:
        ada = visit(proxy.address)
        ada.do("microphone", True)
        ada.until("notes.happened.includes('LocalTrackSubscribed')")
        before = ada.do("sid")
        ada.page.evaluate("page.notes.told.length = page.notes.happened.length = 0")
        proxy.upstream = other.address
        server.process.kill()
        ada.until("notes.happened.includes('Reconnected')")
        ada.until("notes.happened.includes('LocalTrackSubscribed')")  # said once the server receives the microphone
        ada.until("page.actions().includes('session_started')")
        assert ada.do("sid") != before
        ada.do("leave")
