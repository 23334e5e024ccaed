"""Attacks of one address, each for some seconds, in a process of their own.

`python -m tests.acceptance.abuse.attacks NAME SERVER SECONDS` runs one and prints its counts as JSON.
"""

import asyncio
import base64
import gzip
import io
import json
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtcsctptransport
from aiortc.mediastreams import MediaStreamTrack
from av import CodecContext, Packet, VideoCodecContext, VideoFrame
from livekit.protocol.rtc import WrappedJoinRequest

from tests.support.offers import CHROME
from tests.support.video_frames import vp8_keyframe

ADDRESS = "127.0.0.9"
"""Address of the attacker, another one than that of the healthy client."""
PARALLEL = 8
_FAILED = (aiohttp.ClientError, OSError, TimeoutError)


@dataclass
class Target:
    """A server, and the counts of what was done to it."""

    server: str
    until: float
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> float:
        """Seconds until the attack ends."""
        return max(self.until - time.monotonic(), 0.0)

    @property
    def is_over(self) -> bool:
        """Whether the time of the attack has ended."""
        return time.monotonic() >= self.until

    @asynccontextmanager
    async def client(self) -> AsyncIterator[aiohttp.ClientSession]:
        """An HTTP client at the attacker's address."""
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


async def compressed_bodies(target: Target) -> None:
    """Post bodies that inflate a thousandfold, to addresses that exist and that do not."""
    body = gzip.compress(bytes(1 << 30), 1)[: 1 << 20]
    async with target.client() as http:

        async def post() -> None:
            for path in ("/", "/api/v1/users/login", "/nowhere", "/whip"):
                headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
                async with http.post(path, data=body, headers=headers) as answer:
                    target.counts[str(answer.status)] += 1

        await target.repeat(post, 4)


class _LargeFrames(MediaStreamTrack):
    """Key frames of a few bytes that claim the largest size of VP8."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._number = 0

    async def recv(self) -> Any:  # a packet: aiortc sends it as it is
        await asyncio.sleep(0.1)
        self._number += 1
        packet = Packet(vp8_keyframe(16_383, 16_383))
        packet.pts, packet.time_base = self._number * 9_000, Fraction(1, 90_000)
        return packet


@asynccontextmanager
async def _connected(target: Target, http: aiohttp.ClientSession, peer: RTCPeerConnection) -> AsyncIterator[bool]:
    try:
        token = await target.guest(http)
        await peer.setLocalDescription(await peer.createOffer())
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
        async with http.post("/whip", data=peer.localDescription.sdp, headers=headers) as answer:
            target.counts[f"offer {answer.status}"] += 1
            if answer.status == 201:
                await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
            yield answer.status == 201
    finally:
        await peer.close()


async def large_video(target: Target) -> None:
    """Send video that claims 16383x16383 pixels in each key frame, over four connections."""
    async with target.client() as http:

        async def share() -> None:
            peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            peer.addTrack(_LargeFrames())
            async with _connected(target, http, peer) as connected:
                if connected:
                    await asyncio.sleep(3)

        await target.repeat(share, 4)


async def large_pictures(target: Target) -> None:
    """Send pictures of 16 megapixels at 16 bits a channel, over four sockets."""
    picture = base64.b64encode(_png(4096, 4096)).decode()
    async with target.client() as http:

        async def show() -> None:
            async with _session(target, http) as ws:
                while not target.is_over:
                    await ws.send_json({"action": "screen_share_frame", "data": picture, "format": "png"})
                    message = await ws.receive(timeout=10)
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        break
                    target.counts[json.loads(message.data)["action"]] += 1

        await target.repeat(show, 4)


def _png(width: int, height: int) -> bytes:
    frame = VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint16), "rgb48le")
    encoder = CodecContext.create("png", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "rgb48be", Fraction(1, 1)
    file = io.BytesIO()
    for packet in (*encoder.encode(frame.reformat(format="rgb48be")), *encoder.encode(None)):
        file.write(bytes(packet))
    return file.getvalue()


@asynccontextmanager
async def _session(target: Target, http: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    token = await target.guest(http)
    async with http.ws_connect(f"/ws/livekit?token={token}", max_msg_size=0) as ws:
        await ws.send_json({"action": "start_session"})
        yield ws


async def endless_message(target: Target) -> None:
    """Send messages on data channels whose last fragment never comes."""
    rtcsctptransport.SCTP_DATA_LAST_FRAG = 0
    async with target.client() as http:

        async def send() -> None:
            peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            channel = peer.createDataChannel("events")
            async with _connected(target, http, peer) as connected:
                while connected and not target.is_over and peer.connectionState in ("new", "connecting", "connected"):
                    if channel.readyState == "open" and channel.bufferedAmount < 1 << 20:
                        channel.send(bytes(60_000))
                        target.counts["bytes sent"] += 60_000
                    await asyncio.sleep(0.001)

        await target.repeat(send, 4)


async def deep_json(target: Target) -> None:
    """Send nested and wide JSON of 12 MB before any token, over ten sockets."""
    messages = (
        "[" * 12_000_000,
        "[" + "0," * 5_999_999 + "0]",
        '{"action":"start_session","token":' + "[{}," * 3_000_000,
    )
    async with target.client() as http:

        async def send() -> None:
            for message in messages:
                async with http.ws_connect("/ws/livekit", max_msg_size=0) as ws:
                    with suppress(ConnectionError):
                        await ws.send_str(message)
                    answer = await ws.receive(timeout=10)
                    target.counts[str(answer.type.name)] += 1

        await target.repeat(send, 10)


async def deep_json_of_guests(target: Target) -> None:
    """Send nested and wide JSON of 12 MB in sessions of guests."""
    messages = ('{"action":"text_input","text":' + "[" * 11_900_000, '{"a":[' + "0," * 5_900_000 + "0]}")
    async with target.client() as http:

        async def send() -> None:
            async with _session(target, http) as ws:
                for message in messages:
                    await ws.send_str(message)
                async for answer in ws:
                    target.counts[json.loads(answer.data)["action"]] += 1
                    if target.is_over:
                        break

        await target.repeat(send, 4)


async def silent_connections(target: Target) -> None:
    """Open two thousand connections that send nothing, or half a request, and open them again when they are closed."""
    address = urlsplit(target.server)

    async def hold() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port, local_addr=(ADDRESS, 0))
        target.counts["opened"] += 1
        try:
            if target.counts["opened"] % 2:
                writer.write(b"GET / HTTP/1.1\r\nHost: loc")
            async with asyncio.timeout(target.left):
                await reader.read()
            await asyncio.sleep(0.5)
        finally:
            writer.close()

    await target.repeat(hold, 2_000)


async def many_sessions(target: Target) -> None:
    """Begin as many sessions as the server gives, as one guest after the other, and hold them."""
    async with target.client() as http:

        async def begin() -> None:
            token = await target.guest(http)
            async with http.ws_connect(f"/ws/livekit?token={token}") as ws:
                await ws.send_json({"action": "start_session"})
                answer = await ws.receive(timeout=10)
                action = json.loads(answer.data)["action"] if answer.type is aiohttp.WSMsgType.TEXT else "closed"
                target.counts[action] += 1
                if action == "session_started":
                    await asyncio.sleep(target.left)
                else:
                    await asyncio.sleep(0.2)

        await target.repeat(begin, 60)


async def abandoned_offers(target: Target) -> None:
    """Offer and never connect."""
    async with target.client() as http:

        async def offer() -> None:
            headers = {"Authorization": f"Bearer {await target.guest(http)}", "Content-Type": "application/sdp"}
            async with http.post("/whip", data=CHROME, headers=headers) as answer:
                target.counts[f"offer {answer.status}"] += 1
            if answer.status == 429:
                await asyncio.sleep(0.2)

        await target.repeat(offer)


class _Sink(asyncio.DatagramProtocol):
    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._counts["datagrams"] += 1
        self._counts["datagram bytes"] += len(data)


async def reflected_checks(target: Target) -> None:
    """Offer forty candidates of others, and count what the server sends them."""
    loop = asyncio.get_running_loop()
    transports = []
    lines = []
    for number in range(40):
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Sink(target.counts), local_addr=(f"127.0.1.{number + 1}", 0), family=socket.AF_INET
        )
        transports.append(transport)
        host, port = transport.get_extra_info("sockname")
        lines.append(f"a=candidate:{number} 1 udp {2_113_937_151 - number} {host} {port} typ host")
    offer = "\r\n".join(line for line in CHROME.split("\r\n") if not line.startswith("a=candidate"))
    offer = offer.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\n" + "\r\n".join(lines) + "\r\n", 1)
    async with target.client() as http:
        headers = {"Authorization": f"Bearer {await target.guest(http)}", "Content-Type": "application/sdp"}
        async with http.post("/whip", data=offer, headers=headers) as answer:
            target.counts[f"offer {answer.status}"] += 1
            target.counts["offer bytes"] += len(offer)
        await asyncio.sleep(target.left)
    for transport in transports:
        transport.close()


async def packed_joins(target: Target) -> None:
    """Join rooms with requests that unpack a thousandfold."""
    packed = WrappedJoinRequest(
        compression=WrappedJoinRequest.GZIP, join_request=gzip.compress(b"\x0a\xff\xff\xff\x7f" + bytes(40_000_000), 9)
    )
    text = base64.urlsafe_b64encode(packed.SerializeToString()).decode()
    async with target.client() as http:

        async def join() -> None:
            async with http.get(f"/rtc/v1?access_token=x&join_request={text}") as answer:
                target.counts[str(answer.status)] += 1

        await target.repeat(join)


async def wrong_passwords(target: Target) -> None:
    """Try passwords of one account."""
    async with target.client() as http:

        async def login() -> None:
            body = {"email": "ada@example.com", "username": "ada", "password": "not the password"}
            async with http.post("/api/v1/users/login", json=body) as answer:
                target.counts[str(answer.status)] += 1

        await target.repeat(login)


async def health_checks(target: Target) -> None:
    """Ask for the health all the time."""
    async with target.client() as http:

        async def ask() -> None:
            async with http.get("/health") as answer:
                target.counts[str(answer.status)] += 1

        await target.repeat(ask)


async def malformed_requests(target: Target) -> None:
    """Send what is no HTTP, and long paths with control characters."""
    address = urlsplit(target.server)
    lines = (
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /" + b"%0a%1b[31m" * 3_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"A\r\n\r\n",
    )

    async def send() -> None:
        for line in lines:
            reader, writer = await asyncio.open_connection(address.hostname, address.port, local_addr=(ADDRESS, 0))
            try:
                writer.write(line + b"\r\n\r\n")
                writer.write_eof()
                async with asyncio.timeout(5):
                    await reader.read()
                target.counts["sent"] += 1
            finally:
                writer.close()

    await target.repeat(send)


ATTACKS: dict[str, Callable[[Target], Awaitable[None]]] = {
    attack.__name__: attack
    for attack in (
        compressed_bodies,
        large_video,
        large_pictures,
        endless_message,
        deep_json,
        deep_json_of_guests,
        silent_connections,
        many_sessions,
        abandoned_offers,
        reflected_checks,
        packed_joins,
        wrong_passwords,
        health_checks,
        malformed_requests,
    )
}


async def _main(name: str, server: str, seconds: float) -> None:
    target = Target(server, time.monotonic() + seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds + 15):
            await ATTACKS[name](target)
    print(json.dumps(target.counts))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
