"""LiveKit's JavaScript clients in Chromium at length, every release in every mode, with figures."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.livekit_browser import Visitor, chromium, served, token_for
from tests.support.livekit_loss import losing, suffer
from tests.support.server_process import Server, serving, synthetic
from tests.support.tcp_proxy import proxied

pytestmark = [pytest.mark.acceptance, pytest.mark.browser, pytest.mark.timeout(400)]


@dataclass(frozen=True)
class Mode:
    """A release of livekit-client, and how its rooms are made."""

    release: str = "livekit-client"
    options: dict[str, object] = field(default_factory=dict)


MODES = {
    "newest": Mode(),
    "newest, adaptive": Mode(options={"adaptiveStream": True, "dynacast": True}),
    "newest, two connections": Mode(options={"singlePeerConnection": False}),
    "2.15": Mode("livekit-client-2.15"),
}


@pytest.fixture(params=list(MODES.values()), ids=list(MODES))
def mode(request: pytest.FixtureRequest) -> Mode:
    mode: Mode = request.param
    return mode


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), RATE_LIMIT_OFFER="1000/minute") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with served() as site:
        yield site


class Visits:
    """Pages of one mode, which are closed in the end."""

    def __init__(self, browser: Browser, site: str):
        self.context = browser.new_context()
        self._site = site

    def enter(self, address: str, mode: Mode, room: str = "", identity: str = "ada") -> Visitor:
        here = Visitor(self.context.new_page())
        here.page.goto(f"{self._site}/room.html?client={mode.release}")
        here.page.wait_for_function("() => window.page")
        here.room = room or uuid.uuid4().hex
        url, token, here.access = token_for(address, identity, here.room)
        here.connected = here.do("connect", url, token, mode.options)
        here.until("page.actions().includes('state')")
        return here


@pytest.fixture
def visits(browser: Browser, site: str) -> Iterator[Visits]:
    visits = Visits(browser, site)
    yield visits
    visits.context.close()


def figures(what: str, seconds: list[float]) -> None:
    """Tell the median and the worst."""
    ordered = sorted(seconds)
    middle, worst = ordered[len(ordered) // 2] * 1000, ordered[-1] * 1000
    print(f"\n{what}: median {middle:.0f} ms, worst {worst:.0f} ms of {len(ordered)}")


def test_ten_pages_connect_one_after_another(server: Server, visits: Visits, mode: Mode) -> None:
    took = []
    for _ in range(10):
        ada = visits.enter(server.address, mode)
        took.append(ada.connected["seconds"])
        ada.do("leave")
        ada.page.close()
    figures("connect", took)
    assert max(took) < 5


def test_five_spoken_questions_are_answered(server: Server, visits: Visits, mode: Mode) -> None:
    took = []
    ada = visits.enter(server.address, mode)
    ada.do("microphone", True)
    ada.until("notes.happened.includes('LocalTrackSubscribed')")
    for turn in range(1, 6):
        ada.say(synthetic("what time is it"))
        asked = ada.do("now")
        ada.until(f"page.loudSince({asked}).length")
        took.append(ada.do("loudSince", asked)[0] - asked)
        assert ada.answered(turn).startswith("It is")
    ada.until("page.finals('ada').length === 5")
    assert ada.do("finals", "ada") == ["What time is it?"] * 5
    assert not ada.complaints
    figures("end of a question to the first sound of its answer, of which 500 ms are the silence that ends it", took)


def test_questions_about_ever_new_screens_are_answered(server: Server, visits: Visits, mode: Mode) -> None:
    ada = visits.enter(server.address, mode)
    ada.do("screen", True)
    ada.until("page.actions().includes('screen_seen')")
    for turn, name in enumerate(("Save", "Open", "Print", "Close", "Export"), 1):
        seen = ada.do("actions").count("screen_seen")
        ada.do("show", ["Begin", name])
        ada.until(f"page.actions().filter(action => action === 'screen_seen').length > {seen}")
        ada.do("ask", f"where is {name.lower()}")
        assert f"{name} is at the top left." in ada.answered(turn)
    assert ada.do("sent")["h"]["width"] == 1920


def test_microphone_and_screen_can_be_published_ten_times(singing: Server, visits: Visits, mode: Mode) -> None:
    ada = visits.enter(singing.address, mode)
    for number in range(10):
        seen = ada.do("actions").count("screen_seen")
        ada.do("microphone", True)
        ada.do("screen", True)
        ada.until(f"page.actions().filter(action => action === 'screen_seen').length > {seen}")
        ada.say(synthetic("what time is it"))
        ada.until(f"page.finals('ada').length > {number}")
        ada.do("unpublish")
    assert not ada.complaints


def test_five_lost_sockets_are_resumed_and_the_voice_never_stops(singing: Server, visits: Visits, mode: Mode) -> None:
    took, silences = [], []
    with proxied(singing.address) as proxy:
        ada = visits.enter(proxy.address, mode)
        ada.do("microphone", True)
        sid = ada.do("sid")
        ada.do("ask", "sing")
        ada.until("page.loudSince(0).length > 10")
        for number in range(5):
            cut = ada.do("now")
            assert proxy.cut()
            ada.until(f"notes.happened.filter(event => event === 'Reconnected').length > {number}")
            took.append(ada.do("now") - cut)
            ada.until(f"notes.levels.at(-1)[0] > {cut} + 2.5")
            heard = [cut, *ada.do("loudSince", cut)]
            silences.append(max(later - earlier for earlier, later in pairwise(heard)))
        assert ada.do("sid") == sid
        ada.do("call", "interrupt")
        # Consent to send is asked for every 5 s and lasts 30 s: a connection that was only half kept ends by then.
        later = ada.do("now") + 40
        ada.until(f"notes.levels.at(-1)[0] > {later}", 60)
        ada.say(synthetic("what time is it"))
        ada.until(f"page.loudSince({later}).length")
        assert "session_ended" not in ada.do("actions")
    figures("cut to resumed", took)
    figures("longest silence meanwhile", silences)
    assert max(silences) < 0.5


def test_a_server_that_is_killed_and_started_anew_is_rejoined(visits: Visits, tmp_path: Path, mode: Mode) -> None:
    with serving(tmp_path) as server, proxied(server.address) as proxy:
        ada = visits.enter(proxy.address, mode)
        ada.do("microphone", True)
        ada.do("screen", True)
        ada.until("page.actions().includes('screen_seen')")
        before = ada.do("sid")
        server.process.kill()
        server.process.wait(10)
        ada.page.evaluate("page.notes.told.length = page.notes.happened.length = 0")
        with serving(tmp_path) as again:
            proxy.upstream, up = again.address, ada.do("now")
            ada.until("notes.happened.includes('Reconnected')")
            ada.until("notes.happened.filter(event => event === 'LocalTrackSubscribed').length >= 2")
            ada.until("page.actions().includes('screen_seen')")
            figures("server up to heard and seen again", [ada.do("now") - up])
            assert ada.do("sid") != before
            ada.say(synthetic("what is on my screen"))
            assert "Save" in ada.answered(1)
            ada.do("leave")


def test_two_people_hear_and_see_one_another_and_share_the_assistant(singing: Server, visits: Visits) -> None:
    ada = visits.enter(singing.address, Mode(), room="shared")
    bob = visits.enter(singing.address, Mode("livekit-client-2.15"), room="shared", identity="bob")
    for one, other, name in ((ada, bob, "ada"), (bob, ada, "bob")):
        one.do("microphone", True)
        one.do("screen", True)
        one.until("notes.happened.filter(event => event === 'LocalTrackSubscribed').length >= 2")
        one.page.bring_to_front()
        one.say(synthetic("what time is it"))
        other.until(f"page.loudSince(0, '{name}').length > 5")
        other.until(f"notes.videos.{name} && notes.videos.{name}.videoWidth === 1920")
        for each in (ada, bob):
            each.until(f"page.finals('{name}').length === 1")
            each.until("page.loudSince(0).length > 10")


@pytest.mark.parametrize("release", ["livekit-client", "livekit-client-2.15"])
def test_a_minute_of_4_percent_loss_is_survived(browser: Browser, site: str, tmp_path: Path, release: str) -> None:
    with losing(tmp_path, 0.04) as server:
        suffered = suffer(server, browser, site, release, changes=40)
    figures("change of the screen to seen, at most one picture a second", suffered.delays)
    figures("longest silence in the voice", [suffered.silence])
    print(f"{suffered.lost} lost on the way down, {suffered.repeated} sent again on the way up")
    assert max(suffered.delays) < 3
    assert suffered.silence < 0.5
    assert suffered.heard == ["something"]
