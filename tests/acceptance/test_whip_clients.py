"""WHIP clients that other people make: each connects, is heard (a turn), is seen (`screen_seen`), and ends."""

import asyncio
import os
import shutil
import signal
import wave
from asyncio.subprocess import DEVNULL, PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import imageio_ffmpeg
import pytest
from playwright.async_api import async_playwright

from tests.support.chromium import CHROMIUM, TALKING
from tests.support.livekit_browser import PAGES, bundle, require_clients, served
from tests.support.rtc_client import RtcClient, listening
from tests.support.server_process import RECORDING, Server, serving

pytestmark = pytest.mark.acceptance

SESSION = "shown"
LEFT = "peer left"
WITHIN = 60.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whip")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with serving(folder, RATE_LIMIT_OFFER="1000/minute", CORS_ORIGINS="*") as running:
        yield running


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """The recording, and silence after it, for clients that repeat a file."""
    path = tmp_path / "speech.wav"
    with wave.open(str(RECORDING), "rb") as said, wave.open(str(path), "wb") as out:
        out.setparams(said.getparams())
        out.writeframes(bytes(2 * said.getframerate()) + said.readframes(said.getnframes()))
        out.writeframes(bytes(2 * said.getframerate() * 4))
    return path


class Watched:
    """One session as its owner's own connection sees it, and the log of its server."""

    def __init__(self, client: RtcClient, server: Server, log: Path):
        self.token = client.http.headers["Authorization"].removeprefix("Bearer ")
        self.url = f"{server.address}/whip?session={SESSION}"
        self._client = client
        self._log = log
        self._left = log.read_text().count(LEFT)

    async def until_heard_and_seen(self) -> None:
        """Wait until the answer to what the client says was told, and that a picture was seen."""
        wanted = {"text_response", "screen_seen"}
        async with asyncio.timeout(WITHIN):
            while wanted:
                event = await self._client.inbox.get()
                assert event["action"] != "error", event
                wanted.discard(event["action"])

    async def until_left(self) -> None:
        """Wait until the server has taken leave of the client."""
        async with asyncio.timeout(WITHIN):
            while self._log.read_text().count(LEFT) == self._left:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def watched(server: Server, folder: Path) -> AsyncIterator[Watched]:
    """A session that a client is about to join."""
    async with listening(server.address, session=SESSION) as client:
        yield Watched(client, server, folder / "stderr.log")


@asynccontextmanager
async def running(*command: object, **environment: str) -> AsyncIterator[Process]:
    """A program, which is told to end after the block."""
    process = await create_subprocess_exec(
        *map(str, command), stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env={**os.environ, **environment}
    )
    try:
        yield process
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(WITHIN):
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("role", [(), ("-whip_flags", "dtls_active")])
@pytest.mark.parametrize("profile", ["high", "baseline"])
async def test_ffmpeg(server: Server, folder: Path, speech: Path, profile: str, role: tuple[str, ...]) -> None:
    async with watched(server, folder) as here:
        video = ("-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=10")
        audio = ("-re", "-stream_loop", "-1", "-i", speech, "-c:a", "libopus", "-ar", "48000", "-ac", "2")
        x264 = ("-c:v", "libx264", "-profile:v", profile, "-pix_fmt", "yuv420p", "-preset", "veryfast")
        tune = ("-tune", "zerolatency", "-bf", "0", "-g", "20")
        target = ("-authorization", here.token, *role, "-f", "whip", here.url)
        async with running(imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", *video, *audio, *x264, *tune, *target):
            await here.until_heard_and_seen()
        await here.until_left()


async def test_simple_whip_client(server: Server, folder: Path, speech: Path) -> None:
    program = shutil.which("whip-client")
    if program is None:
        pytest.skip("simple-whip-client is missing: apt-get install simple-whip-client")
    audio = f"filesrc location={speech} ! wavparse ! audioconvert ! audioresample ! identity sync=true ! opusenc"
    video = "videotestsrc is-live=true pattern=ball ! videoconvert ! x264enc tune=zerolatency key-int-max=30"
    audio += " ! rtpopuspay pt=100 ssrc=1 ! queue ! application/x-rtp,media=audio,encoding-name=OPUS,payload=100"
    video += " ! rtph264pay pt=96 ssrc=2 ! queue ! application/x-rtp,media=video,encoding-name=H264,payload=96"
    async with watched(server, folder) as here:
        async with running(program, "-u", here.url, "-t", here.token, "-A", audio, "-V", video) as process:
            ended = asyncio.create_task(process.wait())
            work = asyncio.create_task(here.until_heard_and_seen())
            await asyncio.wait([ended, work], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                assert process.stderr is not None
                complaint = (await process.stderr.read()).decode()
                # Of Debian 12: libnice came to use libsoup 3, which does not run beside whip-client's libsoup 2.
                if "libsoup2 and libsoup3" in complaint:
                    pytest.skip("This simple-whip-client cannot start with this libnice: it needs another libsoup.")
                raise AssertionError(complaint)
            await work
            ended.cancel()
        await here.until_left()


@pytest.mark.browser
@pytest.mark.parametrize("name", ["eyevinn", "medooze"])
async def test_clients_of_npm_from_another_origin(
    server: Server, folder: Path, speech: Path, tmp_path: Path, name: str
) -> None:
    require_clients()
    site = tmp_path / "site"
    bundle("whip.js", site)
    (site / "index.html").write_text((PAGES / "whip.html").read_text())
    talking = [*TALKING, f"--use-file-for-fake-audio-capture={speech}"]
    with served(site) as origin:
        async with watched(server, folder) as here, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=talking)
            page = await browser.new_page()
            await page.goto(origin)
            await page.evaluate("([name, url, token]) => page.start(name, url, token)", [name, here.url, here.token])
            await here.until_heard_and_seen()
            await page.evaluate("page.stop()")
            await here.until_left()
            await browser.close()
