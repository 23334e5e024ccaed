"""A hundred JSON WebSocket clients hold a conversation at once."""

import asyncio
import base64
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.support.server_process import RECORDING, serving

pytestmark = pytest.mark.acceptance

SCRIPT = """
rules:
  - when: anything
    heard: go forward
    answer: [{say: one two three four, tone: 440, seconds: 2}]
"""
SOCKETS = 100
QUESTIONS = 3


@dataclass
class Talk:
    """What came back to one client."""

    turns: int = 0
    audio: int = 0
    errors: int = 0
    latencies: list[int] = field(default_factory=list)


async def converse(address: str, number: int) -> Talk:
    """Ask by voice and in writing, and count what comes back."""
    speech = base64.b64encode(RECORDING.read_bytes()).decode()
    talk = Talk()
    await asyncio.sleep(number * 0.05)  # people do not come all at once
    async with aiohttp.ClientSession(address) as http:
        guest = await (await http.post("/api/v1/guests")).json()
        async with http.ws_connect(f"/ws/livekit?token={guest['access_token']}", max_msg_size=0) as socket:
            await socket.send_json({"action": "start_session", "sessionId": f"s{number}"})
            for question in range(QUESTIONS):
                if question % 2 == 0:
                    audio = {"data": speech, "format": "wav", "sample_rate": 16000, "channels": 1}
                    await socket.send_json({"action": "audio_input", "sessionId": f"s{number}", **audio})
                    await socket.send_json({"action": "audio_end", "sessionId": f"s{number}"})
                else:
                    await socket.send_json({"action": "text_input", "sessionId": f"s{number}", "text": "and now?"})
                async with asyncio.timeout(60):
                    while (event := await socket.receive_json())["action"] != "turn_complete":
                        talk.audio += event["action"] == "audio_output"
                        talk.errors += event["action"] == "error"
                talk.turns += 1
                talk.latencies.append(event["latency_ms"]["speech_end_to_first_audio"])
            await socket.send_json({"action": "end_session", "sessionId": f"s{number}"})
            while (await socket.receive_json())["action"] != "session_ended":
                pass
    return talk


def bucket_quantile(metrics: str, name: str, quantile: float) -> float:
    """The upper bound (s) of the histogram bucket in which the quantile lies."""
    buckets = [
        (float(bound), float(count))
        for bound, count in re.findall(rf'{name}_bucket{{le="([^"]+)"}} ([0-9.e+]+)', metrics)
    ]
    return next(bound for bound, count in buckets if count >= quantile * buckets[-1][1])


@pytest.mark.timeout(300)
def test_a_hundred_sockets_hold_a_conversation(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(SCRIPT)
    rates = dict.fromkeys(("RATE_LIMIT_OFFER", "RATE_LIMIT_API", "RATE_LIMIT_LOGIN"), "100000/minute")
    limits = dict.fromkeys(("MAX_SESSIONS", "MAX_SESSIONS_PER_ADDRESS"), "200")
    with serving(tmp_path, LOCAL_ENGINE_SCRIPT=str(tmp_path / "script.yaml"), **rates, **limits) as server:

        def rss() -> int:
            return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.process.pid}/status").read_text())[0])

        async def crowd() -> tuple[list[Talk], int, str]:
            talks = asyncio.gather(*(converse(server.address, number) for number in range(SOCKETS)))
            # Time itself: memory is measured while all of them talk, three seconds after the last has come.
            await asyncio.sleep(SOCKETS * 0.05 + 3)
            busy = rss()
            results = await talks
            async with aiohttp.ClientSession(server.address) as http:
                return results, busy, await (await http.get("/api/v1/metrics")).text()

        before, began = rss(), time.monotonic()
        talks, busy, metrics = asyncio.run(crowd())
        took = time.monotonic() - began
        log = (tmp_path / "stderr.log").read_text()
    latencies = sorted(latency for talk in talks for latency in talk.latencies)
    print(
        f"\n{SOCKETS} sockets, {sum(talk.turns for talk in talks)} turns in {took:.0f} s;"
        f" memory {before} -> {busy} kB ({(busy - before) / SOCKETS:.0f} kB each);"
        f" loop lag p50 <= {bucket_quantile(metrics, 'mediaserver_loop_lag_seconds', 0.5)} s,"
        f" p99 <= {bucket_quantile(metrics, 'mediaserver_loop_lag_seconds', 0.99)} s;"
        f" question to first audio p50 {latencies[len(latencies) // 2]} ms,"
        f" p95 {latencies[len(latencies) * 95 // 100]} ms"
    )
    assert [talk.turns for talk in talks] == [QUESTIONS] * SOCKETS
    assert all(talk.errors == 0 for talk in talks)
    assert all(talk.audio >= QUESTIONS * 15 for talk in talks), "2 s of voice in 100 ms messages"
    assert "Traceback" not in log
