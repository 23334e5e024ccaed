"""The page sends what is said while it connects."""

import asyncio

import numpy as np
import pytest
from playwright.async_api import Route

from pipeline.codecs.audio_decoder import AudioDecoder, AudioFormat
from tests.web.fake_page_server import Visit

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

LIVE_TRACK = """(() => {
    const Connection = RTCPeerConnection;
    window.RTCPeerConnection = class extends Connection {
        constructor(...options) { super(...options); window.connection = this; }
    };
})()"""


BEEP = "() => Number(document.body.style.getPropertyValue('--microphone')) > 0.3"
"""The fake microphone's level; it beeps twice a second."""


async def is_live(visit: Visit) -> bool:
    return bool(await visit.page.evaluate("connection.getSenders()[0].track?.readyState === 'live'"))


async def test_what_is_said_while_the_answer_is_awaited_is_sent_once(visit: Visit) -> None:
    held: asyncio.Queue[Route] = asyncio.Queue()
    await visit.page.route("**/whip?*", held.put)
    await visit.page.add_init_script(LIVE_TRACK)
    await visit.open()
    await visit.page.get_by_test_id("start").click()
    route = await held.get()
    assert not await is_live(visit)  # or the server would hear the same words twice
    await visit.page.wait_for_function(BEEP)
    await route.continue_()

    ((_, path, headers),) = await visit.server.wait_for_requests("POST", "/whip/")
    await visit.server.wait_for_command("tracks")
    assert path == "/whip/peer-1/audio"
    assert headers["Content-Type"].startswith("audio/webm")
    assert headers["Authorization"] == "Bearer guest-1"
    await visit.page.wait_for_function("() => connection.getSenders()[0].track?.readyState === 'live'")
    (recording,) = visit.server.recordings
    chunks = [chunk for chunk in AudioDecoder().push(recording, audio_format=AudioFormat.WEBM) if chunk is not None]
    assert np.abs(np.frombuffer(b"".join(chunk.pcm for chunk in chunks), np.int16)).max() > 1_000
    await visit.expect_state("Ready – just talk")
    assert visit.console_errors == []


async def test_a_microphone_that_waits_for_push_to_talk_is_not_recorded(visit: Visit) -> None:
    await visit.open()
    await visit.page.get_by_test_id("push-to-talk").check()
    await visit.page.get_by_test_id("start").click()

    await visit.server.wait_for_requests("POST", "/whip/")
    assert visit.server.recordings == [b""]


@pytest.mark.parametrize(
    "without",
    [
        "delete window.MediaRecorder",
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError'); }",
    ],
    ids=["recorder", "microphone"],
)
async def test_where_nothing_can_be_recorded_nothing_is_announced(visit: Visit, without: str) -> None:
    await visit.page.add_init_script(f"{LIVE_TRACK}; {without}")
    await visit.start()

    ((_, path, _),) = await visit.server.wait_for_requests("POST", "/whip")
    assert "preconnect" not in path
    assert await is_live(visit) == ("MediaRecorder" in without)
