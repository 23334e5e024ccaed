"""A page of LiveKit's client on a network that loses datagrams: how long what goes wrong lasts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import cv2
import numpy as np
from playwright.sync_api import Browser

from tests.support.livekit_browser import Visitor, token_for
from tests.support.server_process import Server, serving, synthetic

SONG = """
rules:
  - when: typed
    answer: [{say: la la la, tone: 440, seconds: 120}]
  - when: spoken
    heard: something
    answer: [{say: la la la, tone: 440, seconds: 120}]
"""
SHADES = (80, 180, 120, 200)
NEAR = 20
"""Chromium shows what a canvas shows with more contrast than it has."""


@contextmanager
def losing(folder: Path, share: float) -> Iterator[Server]:
    """A server that sings for two minutes, behind a network that loses this share of all datagrams both ways."""
    (folder / "script.yaml").write_text(SONG)
    rates = {"RATE_LIMIT_API": "100000/minute", "LOCAL_ENGINE_SCRIPT": str(folder / "script.yaml")}
    with serving(folder, program="tests/support/lossy_server.py", LOSS=str(share), **rates) as server:
        yield server


@dataclass(frozen=True)
class Suffered:
    """Seconds that each change of the screen took to be seen, the longest silence in the voice, and the losses."""

    delays: list[float]
    silence: float
    lost: int
    repeated: int
    heard: list[str]


def suffer(server: Server, browser: Browser, site: str, release: str, changes: int) -> Suffered:
    """Hear a song and change the screen so many times, then speak."""
    context = browser.new_context()
    try:
        ada = Visitor(context.new_page())
        ada.page.goto(f"{site}/room.html?client={release}")
        ada.page.wait_for_function("() => window.page")
        url, token, access = token_for(server.address, "ada", release)
        ada.do("connect", url, token)
        ada.until("page.actions().includes('state')")
        ada.do("microphone", True)
        ada.do("screen", True)
        ada.until("page.actions().includes('screen_seen')")
        ada.do("ask", "sing")
        ada.until("page.loudSince(0).length > 10")
        began = ada.do("now")
        delays = [_change(server, ada, release, access, SHADES[number % 4]) for number in range(changes)]
        heard = [began, *ada.do("loudSince", began)]
        lost = ada.do("lost")
        ada.say(synthetic("what time is it"))
        ada.until("page.finals('ada').length")
        return Suffered(
            delays,
            max(later - earlier for earlier, later in pairwise(heard)),
            lost["down"],
            lost["again"],
            ada.do("finals", "ada"),
        )
    finally:
        context.close()


def _change(server: Server, ada: Visitor, room: str, access: str, shade: int) -> float:
    ada.do("show", ["Save"], shade)
    began = time.monotonic()
    while abs(_seen(server, room, access) - shade) > NEAR:
        assert time.monotonic() - began < 20, "the screen is frozen"
        time.sleep(0.05)  # a busy server would be measured otherwise
    took = time.monotonic() - began
    ada.page.wait_for_timeout(500)
    return took


def _seen(server: Server, room: str, access: str) -> float:
    """The shade of most of what the assistant sees; -1 before it sees anything."""
    address = f"{server.address}/api/v1/sessions/{room}/frame"
    try:
        with urlopen(Request(address, headers={"Authorization": f"Bearer {access}"}), timeout=10) as answer:
            picture = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_GRAYSCALE)
    except HTTPError:
        return -1.0
    assert picture is not None
    return float(np.median(picture))
