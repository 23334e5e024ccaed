"""The product as its users start it: a server process, and Chromium with a microphone that plays a recording."""

import os
import re
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, sync_playwright

from mediaserver.localengine.responder.voice.espeak import speak
from tests.support.chromium import CHROMIUM, TALKING, require_chromium

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests" / "data" / "go-forward-ten-meters.wav"
RATE = 24_000
GEMINI = {"ENGINE": "gemini", "GEMINI_API_KEY": "k"}
"""An engine that loads nothing at the start, for tests that begin no session."""

EDITOR = """<title>Shared editor</title>
<style>body{margin:0;font:18px sans-serif;background:#fff;color:#111} nav{padding:14px;background:#e8e8ee}
button{font:18px sans-serif;padding:8px 22px;margin-right:14px} main{padding:40px}</style>
<nav><button>Open</button><button id="save">Save</button><button>Print</button></nav>
<main><h1>Quarterly report</h1><p>Income rose by four percent.</p></main>"""


@dataclass(frozen=True)
class Server:
    """A running server and the words it greeted with."""

    address: str
    greeting: str
    process: subprocess.Popen[str]


@contextmanager
def serving(folder: Path, *, program: str = "run.py", **environment: str) -> Iterator[Server]:
    """Start it on a free port, as a user would."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GEMINI", "ENGINE"))}
    errors = folder / "stderr.log"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / program)],
            cwd=ROOT,
            env={**clean, "PORT": "0", "HOST": "127.0.0.1", "DATA_DIR": str(folder / "data"), **environment},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    assert process.stdout is not None
    first = process.stdout.readline()
    found = re.search(r"https?://localhost:\d+", first)
    assert found, first + errors.read_text()
    try:
        yield Server(found[0], first + process.stdout.readline(), process)
    finally:
        process.terminate()
        process.wait(timeout=20)
        process.stdout.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), RATE_LIMIT_OFFER="1000/minute") as running:
        yield running


def write_wav(path: Path, pcm: bytes, rate: int = RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return path


def quiet(seconds: float) -> bytes:
    """A room in which nobody speaks; not digital silence, as no microphone gives that."""
    noise = np.random.default_rng(1).normal(0, 12, int(seconds * RATE))
    return noise.astype("<i2").tobytes()


def synthetic(text: str) -> bytes:
    """A command in a synthetic voice: nobody was recorded saying it."""
    return speak(text, "en").pcm


def person(seconds: float = 10.0) -> bytes:
    """A recorded person saying something that is no command, at 24 kHz."""
    with wave.open(str(RECORDING)) as file:
        heard = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    at = np.arange(0, len(heard) - 1, 16_000 / RATE)
    return bytes(np.interp(at, np.arange(len(heard)), heard).astype("<i2").tobytes()[: int(seconds * RATE) * 2])


Open = Callable[[Server, Path], Page]


@pytest.fixture
def open_page() -> Iterator[Open]:
    """Opens the page in a browser of its own whose microphone plays a recording, once."""
    require_chromium()
    with ExitStack() as stack:
        playwright = stack.enter_context(sync_playwright())

        def opened(server: Server, microphone: Path) -> Page:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM,
                ignore_default_args=["--mute-audio"],
                args=[
                    *TALKING,
                    f"--use-file-for-fake-audio-capture={microphone}%noloop",
                    "--auto-select-tab-capture-source-by-title=Shared editor",
                ],
            )
            stack.callback(browser.close)
            context = browser.new_context(viewport={"width": 1280, "height": 860})
            context.set_default_timeout(30_000)
            page = context.new_page()
            page.goto(server.address)
            return page

        yield opened
