"""The server at length: many conversations one after the other and beside one another leave nothing behind."""

import asyncio
import json
import time
from pathlib import Path

import aiohttp
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaBlackhole
from playwright.sync_api import expect

from tests.support.server_process import Open, person, quiet, serving, write_wav

pytestmark = pytest.mark.acceptance

SCRIPT = """
rules:
  - when: anything
    answer: [{say: one two three four, tone: 440, seconds: 2}]
"""
CLIENTS = 6
MINUTES = 4.0


async def converse(server: str, until: float) -> int:
    """One client after the other: connect, ask three times and listen, leave. How many turns were completed."""
    turns = 0
    while time.monotonic() < until:
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.addTransceiver("audio", direction="recvonly")
        sink = MediaBlackhole()
        peer.on("track", sink.addTrack)
        events = peer.createDataChannel("events")
        inbox: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        events.on("message", lambda message, inbox=inbox: inbox.put_nowait(json.loads(message)))
        await peer.setLocalDescription(await peer.createOffer())
        async with aiohttp.ClientSession(server) as http:
            guest = await (await http.post("/api/v1/guests")).json()
            headers = {"Authorization": f"Bearer {guest['access_token']}", "Content-Type": "application/sdp"}
            answer = await http.post("/whip", data=peer.localDescription.sdp, headers=headers)
            assert answer.status == 201, await answer.text()
            await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
            await sink.start()
            for _ in range(3):
                async with asyncio.timeout(30):
                    while events.readyState != "open":
                        await asyncio.sleep(0.01)
                    events.send(json.dumps({"action": "text_input", "text": "count"}))
                    while (event := await inbox.get())["action"] != "turn_complete":
                        assert event["action"] != "error", event
                    turns += 1
            events.send(json.dumps({"action": "end_session"}))
            await http.delete(answer.headers["Location"], headers=headers)
        await sink.stop()
        await peer.close()
    return turns


def status_of(process: int) -> dict[str, int]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    files = len(list(Path(f"/proc/{process}/fd").iterdir()))
    return {"kilobytes": int(fields["VmRSS"].split()[0]), "threads": int(fields["Threads"]), "files": files}


@pytest.mark.timeout(600)
def test_an_hour_of_sessions_in_minutes_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(SCRIPT)
    rates = {"RATE_LIMIT_OFFER": "100000/minute", "RATE_LIMIT_API": "100000/minute"}
    with serving(tmp_path, LOCAL_ENGINE_SCRIPT=str(tmp_path / "script.yaml"), **rates) as server:

        async def crowd(minutes: float) -> int:
            until = time.monotonic() + minutes * 60
            return sum(await asyncio.gather(*(converse(server.address, until) for _ in range(CLIENTS))))

        asyncio.run(crowd(0.5))
        before = status_of(server.process.pid)
        turns = asyncio.run(crowd(MINUTES))
        until = time.monotonic() + 10  # sockets and decoder threads of the last ones close
        while (after := status_of(server.process.pid))["files"] > before["files"] and time.monotonic() < until:
            time.sleep(0.05)
        log = (tmp_path / "stderr.log").read_text()
    print(f"\n{turns} turns; before {before}, after {after}")
    assert turns > CLIENTS * MINUTES * 10
    assert after["threads"] <= before["threads"] + 2
    assert after["files"] <= before["files"] + 3
    assert after["kilobytes"] < before["kilobytes"] * 1.25
    assert "ERROR" not in log
    assert "Traceback" not in log


@pytest.mark.browser
@pytest.mark.timeout(400)
def test_a_long_talk_in_the_browser_is_answered_and_interrupted_to_the_end(open_page: Open, tmp_path: Path) -> None:
    microphone = quiet(3) + (person() + quiet(2.5)) * 35 + quiet(30)
    with serving(tmp_path) as server:
        page = open_page(server, write_wav(tmp_path / "mic.wav", microphone))
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.get_by_test_id("start").click()
        page.wait_for_timeout(190_000)  # time itself: the length of the talk
        transcript = page.get_by_test_id("transcript").inner_text()
        page.get_by_test_id("text").fill("what time is it")
        page.get_by_test_id("send").click()
        expect(page.get_by_test_id("transcript")).to_contain_text("It is", timeout=30_000)
    assert transcript.count("interrupted") >= 10
    assert not complaints
