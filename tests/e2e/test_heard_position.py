"""What the server says was heard, against what a client really received."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

from tests.product import serving

WORDS = [f"word{number}" for number in range(20)]
SECONDS = 8.0
SCRIPT = f"""
rules:
  - when: anything
    answer: [{{say: {" ".join(WORDS)}, tone: 440, seconds: {SECONDS}}}]
"""
TOLERANCE = 0.2
RATE = 48_000


@dataclass
class Client:
    """Listens to a session, and counts the voice that arrives."""

    channel: Any
    http: aiohttp.ClientSession
    loud_samples: int = 0
    first: asyncio.Event = field(default_factory=asyncio.Event)
    inbox: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)

    def send(self, **message: object) -> None:
        self.channel.send(json.dumps(message))

    async def until(self, action: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while (event := await self.inbox.get())["action"] != action:
                assert event["action"] != "error", event
        return event

    async def listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            if np.abs(frame.to_ndarray()).max() > 1_000:
                self.loud_samples += frame.samples
                self.first.set()


@asynccontextmanager
async def listening(server: str) -> AsyncIterator[Client]:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="recvonly")
    async with aiohttp.ClientSession(server) as http, asyncio.TaskGroup() as tasks:
        client = Client(peer.createDataChannel("events"), http)
        client.channel.on("message", lambda message: client.inbox.put_nowait(json.loads(message)))
        opened = asyncio.Event()
        client.channel.on("open", opened.set)
        peer.on("track", lambda track: tasks.create_task(client.listen(track)))
        await peer.setLocalDescription(await peer.createOffer())
        guest = await (await http.post("/api/v1/guests")).json()
        http.headers.update({"Authorization": f"Bearer {guest['access_token']}"})
        sdp = peer.localDescription.sdp
        answer = await http.post("/whip", data=sdp, headers={"Content-Type": "application/sdp"})
        assert answer.status == 201, await answer.text()
        await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        async with asyncio.timeout(20):
            await opened.wait()
        yield client
        await peer.close()


async def settled(client: Client) -> int:
    """How much voice has come once no more comes."""
    async with asyncio.timeout(10):
        while True:
            before = client.loud_samples
            await asyncio.sleep(0.3)
            if client.loud_samples == before:
                return before


async def hear_out(server: str) -> None:
    async with listening(server) as client:
        session = (await client.until("session_started"))["id"]
        for wanted in (0.3, 1.1, 2.6, 4.7):
            client.loud_samples = 0
            client.first.clear()
            client.send(action="text_input", text="count")
            async with asyncio.timeout(20):
                await client.first.wait()
                while client.loud_samples < wanted * RATE:
                    await asyncio.sleep(0.01)
            client.send(action="interrupt")
            event = await client.until("interrupted")
            said = (await client.until("text_response"))["text"]
            received = await settled(client) / RATE
            heard = event["heard_ms"] / 1000
            assert abs(heard - received) <= TOLERANCE
            words = event["heard_text"].split()
            assert words == WORDS[: len(words)]
            # Word n begins at n times the length of a word.
            word = SECONDS / len(WORDS)
            assert received - TOLERANCE <= len(words) * word <= received + TOLERANCE + word
            assert said == event["heard_text"]
            history = await (await client.http.get(f"/api/v1/sessions/{session}/history")).json()
            kept = [entry for entry in history["entries"] if entry["turn"] == event["turn"]][-1]
            assert (kept["text"], kept["interrupted"], kept["heard_ms"]) == (said, True, event["heard_ms"])


def test_what_was_heard_is_told_and_kept_within_200_ms(tmp_path: Path) -> None:
    (tmp_path / "script.yaml").write_text(SCRIPT)
    with serving(tmp_path, LOCAL_ENGINE_SCRIPT=str(tmp_path / "script.yaml")) as server:
        asyncio.run(hear_out(server.address))
