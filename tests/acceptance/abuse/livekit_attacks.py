"""Attacks on LiveKit's signalling and data channels."""

import asyncio
import base64
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import aiohttp
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from livekit.protocol.models import ClientInfo, DataPacket, DataStream
from livekit.protocol.rtc import JoinRequest, SessionDescription, SignalRequest, SignalResponse, WrappedJoinRequest

from tests.acceptance.abuse.target import Target


async def packed_joins(target: Target) -> None:
    """Join rooms with requests that unpack a thousandfold."""
    packed = WrappedJoinRequest(
        compression=WrappedJoinRequest.GZIP, join_request=gzip.compress(b"\x0a\xff\xff\xff\x7f" + bytes(40_000_000), 9)
    )
    text = _in_query(packed)
    async with target.client() as http:
        token = await _join_token(target, http)

        async def join() -> None:
            try:
                async with http.ws_connect(f"/rtc/v1?access_token={token}&join_request={text}"):
                    target.counts["taken"] += 1
            except aiohttp.WSServerHandshakeError as refused:
                target.counts[str(refused.status)] += 1
                await asyncio.sleep(0.01)

        await target.repeat(join)


async def abandoned_joins(target: Target) -> None:
    """Join a room of one's own, and connect no media."""
    async with target.client() as http:

        async def join() -> None:
            async with _joined(target, http) as ws:
                while ws is not None and not target.is_over:
                    answer = await ws.receive(timeout=15)
                    if answer.type is not aiohttp.WSMsgType.BINARY:
                        target.counts["closed"] += 1
                        return
                    kind = SignalResponse.FromString(answer.data).WhichOneof("message")
                    target.counts[str(kind)] += kind in ("join", "leave")

        await target.repeat(join, 12)


async def packed_streams(target: Target) -> None:
    """Send compressed streams of 4 kB that unpack to 4 MB, as calls and as chat."""
    await _send_packets(target, _packed_streams())


async def bad_packets(target: Target) -> None:
    """Send bad messages on the data channel, with good ones between, so that no client counts many in a row."""
    good = DataPacket()
    good.user.topic, good.user.payload = "events", b'{"action":"ping"}'
    bad = DataPacket()
    bad.user.topic, bad.user.payload = "events", b'{"action":"nothing of the kind"}'
    await _send_packets(target, [bad, good])


async def signals_of_bad_json(target: Target) -> None:
    """Send text frames that are wide, deep or no request, with good ones between."""
    bad = ("[" * 100_000, '{"a":[' + "0," * 200_000 + "0]}", '{"offer":1}')
    async with target.client() as http:

        async def send() -> None:
            async with _joined(target, http) as ws:
                while ws is not None and not ws.closed and not target.is_over:
                    for text in bad:
                        with suppress(ConnectionError):
                            await ws.send_str(text)
                            await ws.send_str('{"ping":"1"}')
                        target.counts["messages"] += 1
                    with suppress(TimeoutError):
                        answer = await ws.receive(timeout=0.01)
                        target.counts[answer.type.name] += 1

        await target.repeat(send)


def _packed_streams() -> list[DataPacket]:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(bytes(4_000_000)) + packer.flush()
    packets = []
    for topic in ("lk.rpc_request", "lk.chat", "lk.agent.pre-connect-audio-buffer"):
        packet = DataPacket()
        header = packet.stream_header
        header.stream_id, header.topic, header.total_length = topic, topic, 4_000_000
        header.compression, header.inline_content = DataStream.DEFLATE_RAW, packed
        packets.append(packet)
        # The same without its length, which would be refused first.
        packets.append(DataPacket.FromString(packet.SerializeToString()))
        packets[-1].stream_header.ClearField("total_length")
    return packets


async def _send_packets(target: Target, packets: list[DataPacket]) -> None:
    async with target.client() as http:

        async def send() -> None:
            async with _connected(target, http) as channel:
                if channel is None:
                    await asyncio.sleep(0.2)
                    return
                for packet in _numbered(packets):
                    while channel.bufferedAmount > 1 << 18 and channel.readyState == "open" and not target.is_over:
                        await asyncio.sleep(0.01)
                    if channel.readyState != "open" or target.is_over:
                        return
                    channel.send(packet)
                    target.counts["packets"] += 1
                    await asyncio.sleep(0)

        await target.repeat(send, 4)


def _numbered(packets: list[DataPacket]) -> Iterator[bytes]:
    number = 0
    while True:
        for packet in packets:
            number += 1
            packet.sequence = number
            if packet.HasField("stream_header"):
                packet.stream_header.stream_id = str(number)
            yield packet.SerializeToString()


@asynccontextmanager
async def _connected(target: Target, http: aiohttp.ClientSession) -> AsyncIterator[RTCDataChannel | None]:
    """The reliable data channel of a client that is in a room."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = peer.createDataChannel("_reliable")
    channel.on("message", lambda data: _count_packet(target, data))
    try:
        async with _joined(target, http) as ws:
            if ws is None:
                yield None
                return
            await peer.setLocalDescription(await peer.createOffer())
            offer = SignalRequest(offer=SessionDescription(type="offer", sdp=peer.localDescription.sdp, id=1))
            await ws.send_bytes(offer.SerializeToString())
            reading = asyncio.create_task(_read_answer(ws, peer))
            try:
                yield channel if await target.opened(peer) else None
            finally:
                reading.cancel()
    finally:
        await peer.close()


async def _read_answer(ws: aiohttp.ClientWebSocketResponse, peer: RTCPeerConnection) -> None:
    async for message in ws:
        if message.type is aiohttp.WSMsgType.BINARY:
            response = SignalResponse.FromString(message.data)
            if response.HasField("answer"):
                await peer.setRemoteDescription(RTCSessionDescription(response.answer.sdp, "answer"))


def _count_packet(target: Target, data: bytes) -> None:
    packet = DataPacket.FromString(data)
    if packet.user.topic == "events":
        target.count_event(packet.user.payload.decode())
    else:
        target.counts[str(packet.WhichOneof("value"))] += 1


@asynccontextmanager
async def _joined(target: Target, http: aiohttp.ClientSession) -> AsyncIterator[aiohttp.ClientWebSocketResponse | None]:
    """The signalling socket of a new guest in a room of its own; None where the join is refused."""
    token = await _join_token(target, http)
    request = JoinRequest(client_info=ClientInfo(sdk="PYTHON", protocol=16))
    text = _in_query(WrappedJoinRequest(join_request=request.SerializeToString()))
    try:
        async with http.ws_connect(f"/rtc/v1?access_token={token}&join_request={text}", max_msg_size=0) as ws:
            target.counts["joined"] += 1
            yield ws
    except aiohttp.WSServerHandshakeError as refused:
        target.counts[f"join {refused.status}"] += 1
        await asyncio.sleep(0.2)
        yield None


def _in_query(request: WrappedJoinRequest) -> str:
    return base64.urlsafe_b64encode(request.SerializeToString()).decode()


async def _join_token(target: Target, http: aiohttp.ClientSession) -> str:
    headers = {"Authorization": f"Bearer {await target.guest(http)}"}
    async with http.post("/api/v1/livekit/token", json={}, headers=headers) as answer:
        target.counts[f"token {answer.status}"] += 1
        token: str = json.loads(await answer.text()).get("participant_token", "")
    return token
