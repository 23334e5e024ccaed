"""The server under attack, and an attacker's ways to connect to it: all from one address."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription

ADDRESS = "127.0.0.9"
"""Address of the attacker, another one than that of the healthy client."""
PARALLEL = 8
SDP = {"Content-Type": "application/sdp"}
_FAILED = (aiohttp.ClientError, OSError, TimeoutError)


@dataclass
class Target:
    """A server, and the counts of what was done to it."""

    server: str
    seconds: float
    """Time of the attack, from its first connection on."""
    counts: Counter[str] = field(default_factory=Counter)

    _until: float | None = None

    @property
    def left(self) -> float:
        """Seconds until the attack ends."""
        return self.seconds if self._until is None else max(self._until - time.monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the time of the attack has ended."""
        return not self.left

    @asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """An HTTP client at the attacker's address."""
        self._until = self._until or time.monotonic() + self.seconds
        connector = aiohttp.TCPConnector(local_addr=(ADDRESS, 0), limit=0)
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(self.server, connector=connector, timeout=timeout) as http:
            yield http

    async def guest(self, http: aiohttp.ClientSession) -> str | None:
        """A guest's token; None where the server has no more."""
        async with http.post("/api/v1/guests") as answer:
            self.counts[f"guest {answer.status}"] += 1
            token: str | None = (await answer.json()).get("access_token")
        return token

    async def repeat(self, act: Callable[[], Awaitable[None]], parallel: int = PARALLEL) -> None:
        """Act again and again, `parallel` at a time."""

        async def loop() -> None:
            while not self.is_over:
                try:
                    await act()
                except _FAILED as error:
                    self.counts[type(error).__name__] += 1
                    await asyncio.sleep(0.05)

        await asyncio.gather(*(loop() for _ in range(parallel)))

    @asynccontextmanager
    async def json_session(self, http: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A socket of a new guest on which a session was asked for."""
        token = await self.guest(http)
        async with http.ws_connect(f"/ws/livekit?token={token}", max_msg_size=0) as ws:
            await ws.send_json({"action": "start_session"})
            yield ws

    async def count_answers(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Count what comes on a socket, until it is closed or the attack is over."""
        while not self.is_over:
            answer = await ws.receive(timeout=10)
            if answer.type is not aiohttp.WSMsgType.TEXT:
                self.counts[f"closed {ws.close_code}"] += 1
                return
            self.count_event(answer.data)

    def count_event(self, text: str) -> None:
        """Count an event by its action, an error by its code."""
        event = json.loads(text)
        self.counts[event["code"] if event["action"] == "error" else event["action"]] += 1

    @asynccontextmanager
    async def offered(self, http: aiohttp.ClientSession, peer: RTCPeerConnection) -> AsyncIterator[bool]:
        """Whether the server took a peer's offer; the peer is closed at the end."""
        try:
            token = await self.guest(http)
            await peer.setLocalDescription(await peer.createOffer())
            headers = {"Authorization": f"Bearer {token}", **SDP}
            async with http.post("/whip", data=peer.localDescription.sdp, headers=headers) as answer:
                self.counts[f"offer {answer.status}"] += 1
                if answer.status == 201:
                    await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
                else:
                    await asyncio.sleep(0.2)
                yield answer.status == 201
        finally:
            await peer.close()

    async def opened(self, peer: RTCPeerConnection) -> bool:
        """Wait up to 5 s for a peer's connection."""
        for _ in range(100):
            if peer.connectionState == "connected":
                self.counts["connected"] += 1
                return True
            await asyncio.sleep(0.05)
        self.counts["not connected"] += 1
        return False
