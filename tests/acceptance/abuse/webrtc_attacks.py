"""Attacks over WHIP: its offers, its media and its data channel."""

import asyncio
import socket
from collections import Counter
from contextlib import AsyncExitStack
from fractions import Fraction
from typing import Any

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription, rtcsctptransport
from aiortc.mediastreams import MediaStreamTrack
from av import CodecContext, Packet, VideoCodecContext, VideoFrame

from tests.acceptance.abuse.target import SDP, Target
from tests.support.offers import CHROME
from tests.support.video_frames import vp8_keyframe


def _peer() -> RTCPeerConnection:
    return RTCPeerConnection(RTCConfiguration(iceServers=[]))


class _KeyFrames(MediaStreamTrack):
    """The same key frame ten times a second."""

    kind = "video"

    def __init__(self, frame: bytes) -> None:
        super().__init__()
        self._frame = frame
        self._number = 0

    async def recv(self) -> Any:  # a packet: aiortc sends it as it is
        await asyncio.sleep(0.1)
        self._number += 1
        packet = Packet(self._frame)
        packet.pts, packet.time_base = self._number * 9_000, Fraction(1, 90_000)
        return packet


async def large_video(target: Target) -> None:
    """Send video that claims 16383x16383 pixels in each key frame."""
    await _send_video(target, vp8_keyframe(16_383, 16_383))


async def huge_video(target: Target) -> None:
    """Send video of as many pixels as are taken."""
    await _send_video(target, _plain_keyframe(4_000, 4_000))


async def _send_video(target: Target, frame: bytes) -> None:
    async with target.client() as http:

        async def share() -> None:
            peer = _peer()
            peer.addTrack(_KeyFrames(frame))
            channel = peer.createDataChannel("events")
            channel.on("message", target.count_event)
            async with target.offered(http, peer) as is_taken:
                if is_taken and await target.opened(peer):
                    await asyncio.sleep(min(4.0, target.left))

        await target.repeat(share)


def _plain_keyframe(width: int, height: int) -> bytes:
    encoder = CodecContext.create("libvpx", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuv420p", Fraction(1, 10)
    encoder.options = {"deadline": "realtime", "cpu-used": "8"}
    frame = VideoFrame(width, height, "yuv420p")
    for plane in frame.planes:
        plane.update(bytes([128]) * plane.buffer_size)
    frame.pts = 0
    return bytes([*encoder.encode(frame), *encoder.encode(None)][0])


async def endless_message(target: Target) -> None:
    """Send messages on data channels whose last fragment never comes."""
    last_fragment = rtcsctptransport.SCTP_DATA_LAST_FRAG
    async with target.client() as http:
        while not target.is_over:
            async with AsyncExitStack() as stack:
                channels = []
                for peer in (_peer() for _ in range(4)):
                    channel = peer.createDataChannel("events")
                    if await stack.enter_async_context(target.offered(http, peer)) and await target.opened(peer):
                        channels.append(channel)
                await asyncio.sleep(1)  # opening a channel takes a message that ends
                rtcsctptransport.SCTP_DATA_LAST_FRAG = 0
                while not target.is_over and any(channel.readyState == "open" for channel in channels):
                    for channel in channels:
                        if channel.readyState == "open" and channel.bufferedAmount < 1 << 20:
                            channel.send(bytes(60_000))
                            target.counts["bytes sent"] += 60_000
                    await asyncio.sleep(0.001)
                rtcsctptransport.SCTP_DATA_LAST_FRAG = last_fragment


async def bad_events(target: Target) -> None:
    """Send small bad messages on data channels, with good ones between, so that no client counts many in a row."""
    async with target.client() as http:

        async def send() -> None:
            peer = _peer()
            channel = peer.createDataChannel("events")
            channel.on("message", target.count_event)
            async with target.offered(http, peer) as is_taken:
                if not is_taken or not await target.opened(peer):
                    return
                while not target.is_over and peer.connectionState == "connected":
                    if channel.readyState == "open" and channel.bufferedAmount < 1 << 16:
                        channel.send('{"action":"nothing of the kind"}')
                        channel.send('{"action":"ping"}')
                        target.counts["messages"] += 1
                    await asyncio.sleep(0.001)

        await target.repeat(send, 4)


async def many_connections(target: Target) -> None:
    """Connect again and again to one session, and stay."""
    async with target.client() as http, AsyncExitStack() as stack:
        headers = {"Authorization": f"Bearer {await target.guest(http)}", **SDP}

        async def connect() -> None:
            peer = _peer()
            stack.push_async_callback(peer.close)
            peer.createDataChannel("events")
            await peer.setLocalDescription(await peer.createOffer())
            sdp = peer.localDescription.sdp
            async with http.post("/whip?session=crowd", data=sdp, headers=headers) as answer:
                target.counts[f"offer {answer.status}"] += 1
                if answer.status == 201:
                    await peer.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
                    await target.opened(peer)
                else:
                    await asyncio.sleep(0.5)

        await target.repeat(connect, 4)


async def abandoned_offers(target: Target) -> None:
    """Offer and never connect."""
    async with target.client() as http:

        async def offer() -> None:
            headers = {"Authorization": f"Bearer {await target.guest(http)}", **SDP}
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
        headers = {"Authorization": f"Bearer {await target.guest(http)}", **SDP}
        async with http.post("/whip", data=offer, headers=headers) as answer:
            target.counts[f"offer {answer.status}"] += 1
            target.counts["offer bytes"] += len(offer)
        await asyncio.sleep(target.left)
    for transport in transports:
        transport.close()
