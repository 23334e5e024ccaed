"""Chromium on pages that use LiveKit's published JavaScript clients; the test serves them."""

import base64
import json
import os
import subprocess
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.support.chromium import CHROMIUM, TALKING, require_chromium
from tests.support.server_process import RATE, ROOT

PAGES = ROOT / "tests" / "livekit_page"


def require_clients() -> None:
    """Skip without a browser or the clients, but never where CI vouches for them."""
    require_chromium()
    if not (PAGES / "node_modules" / "livekit-client").exists():
        missing = "LiveKit's JavaScript clients are missing: npm ci --prefix tests/livekit_page"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def served(folder: os.PathLike[str] = PAGES) -> Iterator[str]:
    """The folder as a site of its own, with another origin than the server's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = Thread(target=server.serve_forever, name="pages")
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    require_clients()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, ignore_default_args=["--mute-audio"], args=[*TALKING, *arguments]
        )
        try:
            yield browser
        finally:
            browser.close()


def bundle(entry: str, folder: Path) -> None:
    """Build a page of these and what it imports, as front ends are built."""
    esbuild = [str(PAGES / "node_modules" / ".bin" / "esbuild"), str(PAGES / entry), "--bundle", "--jsx=automatic"]
    flags = ['--define:process.env.NODE_ENV="production"', "--log-level=error", f"--outdir={folder}"]
    subprocess.run([*esbuild, *flags], check=True, timeout=60)


class Visitor:
    """A page in a room; what it does and notes is in `room.js`."""

    def __init__(self, page: Page):
        self.page = page
        self.complaints: list[str] = []
        self.room = self.access = ""
        self.connected: dict[str, Any] = {}
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def do(self, name: str, *arguments: object) -> Any:
        """Call what the page offers."""
        return self.page.evaluate("([name, those]) => page[name](...those)", [name, list(arguments)])

    def until(self, condition: str, within: float = 40.0) -> Any:
        """Wait until a JavaScript expression about `page` and `notes` is true; its value."""
        script = f"() => {{ const notes = page.notes; return {condition}; }}"
        return self.page.wait_for_function(script, timeout=within * 1000, polling=50).json_value()

    def say(self, pcm: bytes) -> None:
        """Speak 24 kHz PCM, to the end."""
        file = BytesIO()
        with wave.open(file, "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(RATE)
            out.writeframes(pcm)
        self.do("speak", base64.b64encode(file.getvalue()).decode())

    def answered(self, turn: int) -> str:
        """Wait until an answer is over; its text."""
        self.until(f"notes.told.some(event => event.action === 'turn_complete' && event.turn === {turn})")
        text: str = self.until(
            f"notes.told.filter(event => event.action === 'text_response' && event.turn === {turn})[0].text"
        )
        return text


def token_for(address: str, identity: str, room: str) -> tuple[str, str, str]:
    """A guest's way into a room: the socket's address, LiveKit's token, and the server's own."""
    with urlopen(Request(f"{address}/api/v1/guests", method="POST"), timeout=10) as answer:
        own = json.load(answer)["access_token"]
    body = json.dumps({"room_name": room, "participant_identity": identity}).encode()
    headers = {"Authorization": f"Bearer {own}", "Content-Type": "application/json"}
    with urlopen(Request(f"{address}/api/v1/livekit/token", data=body, headers=headers), timeout=10) as answer:
        token = json.load(answer)
    return token["server_url"], token["participant_token"], own


Visit = Callable[..., Visitor]
