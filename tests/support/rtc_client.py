"""A client of the product over WebRTC, by aiortc: it asks on the data channel and counts the voice that arrives."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

RATE = 48_000
WAIT = 30.0


@dataclass
class RtcClient:
    """Listens to a session."""

    channel: Any
    http: aiohttp.ClientSession
    loud: list[int] = field(default_factory=list)
    """RTP time (samples) of each frame in which something is heard."""
    first: asyncio.Event = field(default_factory=asyncio.Event)
    inbox: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)

    @property
    def heard(self) -> float:
        """Seconds of voice so far."""
        return len(self.loud) * 960 / RATE

    @property
    def longest_gap(self) -> float:
        """Seconds without voice between two frames that have it."""
        return float((np.diff(self.loud) - 960).max(initial=0)) / RATE

    def forget(self) -> None:
        self.loud.clear()
        self.first.clear()

    def send(self, **message: object) -> None:
        self.channel.send(json.dumps(message))

    async def until(self, action: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT):
            while (event := await self.inbox.get())["action"] != action:
                assert event["action"] != "error", event
        return event

    async def until_heard(self, seconds: float) -> None:
        """Wait for as much voice: it travels apart from the events, and may come after them."""
        async with asyncio.timeout(WAIT):
            while self.heard < seconds:
                await asyncio.sleep(0.01)

    async def listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            if np.abs(frame.to_ndarray()).max() > 1_000:
                assert frame.pts is not None
                self.loud.append(frame.pts)
                self.first.set()


@asynccontextmanager
async def listening(server: str, *, session: str = "") -> AsyncIterator[RtcClient]:
    """Connect as a guest, to the session of that name if one is given, and hang up at the end."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="recvonly")
    async with aiohttp.ClientSession(server) as http, asyncio.TaskGroup() as tasks:
        client = RtcClient(peer.createDataChannel("events"), http)
        client.channel.on("message", lambda message: client.inbox.put_nowait(json.loads(message)))
        opened = asyncio.Event()
        client.channel.on("open", opened.set)
        peer.on("track", lambda track: tasks.create_task(client.listen(track)))
        await peer.setLocalDescription(await peer.createOffer())
        guest = await (await http.post("/api/v1/guests")).json()
        http.headers.update({"Authorization": f"Bearer {guest['access_token']}"})
        sdp = peer.localDescription.sdp
        query = {"session": session} if session else {}
        answer = await http.post("/whip", data=sdp, params=query, headers={"Content-Type": "application/sdp"})
        assert answer.status == 201, await answer.text()
        await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        async with asyncio.timeout(WAIT):
            await opened.wait()
        yield client
        await peer.close()
