"""Signalling and media together: a client made of aiortc and a plain socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientWebSocketResponse
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from livekit.protocol.models import DataPacket
from livekit.protocol.rtc import (
    AddTrackRequest,
    LeaveRequest,
    SessionDescription,
    SignalRequest,
    SignalResponse,
    SignalTarget,
    TrickleRequest,
)

from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.media.media_link import MediaLink
from mediaserver.livekit.media.types import LinkEvents
from mediaserver.livekit.room.limits import RoomLimits
from mediaserver.rtc.aiortc_patches.receivers import ConnectTask, end_consent
from mediaserver.rtc.config import Config, RtcLimits
from pipeline.media import SpeechFrame
from pipeline.playout.opus_encoder import OpusEncoder
from tests.support.livekit_harness import Server, join_request, serving, token
from tests.support.media_link_harness import Sink
from tests.support.rtc_harness import TONE, Camera, Microphone, loudest, picture, until

CALM = RoomLimits(tick=0.05, leave_delay=0.0)


def make_link(events: LinkEvents, is_dual: bool, client: str) -> Link:
    return MediaLink(events, is_dual=is_dual, client=client, config=Config(lull=0.3, limits=RtcLimits(tick=0.05)))


class WireClient:
    """Does by hand what LiveKit's client libraries do."""

    def __init__(self, server: Server, name: str, *, is_dual: bool = False) -> None:
        self.name = name
        self.is_dual = is_dual
        self.up = RTCPeerConnection(RTCConfiguration([]))
        self.down = RTCPeerConnection(RTCConfiguration([]))
        self.seen: list[SignalResponse] = []
        self.packets: list[DataPacket] = []
        self.sinks: dict[str, Sink] = {}
        self.names: dict[str, str] = {}
        self.channel = self.up.createDataChannel("_reliable") if is_dual else None
        self._server = server
        self._ws: ClientWebSocketResponse | None = None
        self._connecting = [ConnectTask(self.up), ConnectTask(self.down)]
        self._reading: asyncio.Task[None] | None = None
        self._wakeup = asyncio.Event()
        self._number = 0
        self.down.on("datachannel", self._listen)

    async def join(self) -> None:
        if self.is_dual:
            await self.open("/rtc", {})
            await self.until("join")
            await self.answer()
            await self.negotiate()
        else:
            for kind in ("audio", "audio", "video"):
                self.up.addTransceiver(kind, "recvonly")
            self.channel = self.up.createDataChannel("_reliable")
            self._listen(self.channel)
            await self.up.setLocalDescription(await self.up.createOffer())
            offer = SessionDescription(type="offer", sdp=self.up.localDescription.sdp, id=self._next())
            await self.open("/rtc/v1", {"join_request": join_request(publisher_offer=offer)})
            await self.until("join")
            await self.take_answer()
        await until(lambda: self.up.connectionState == "connected")
        await until(lambda: self.channel is not None and self.channel.readyState == "open")

    async def open(self, path: str, query: dict[str, str]) -> None:
        headers = {"Authorization": f"Bearer {token(self.name, owner=f'u-{self.name}')}"}
        self._ws = await self._server.http.ws_connect(path, params=query, headers=headers)
        self._reading = asyncio.create_task(self._read(self._ws))

    async def publish(self, track: Any, **said: Any) -> str:
        self.up.addTransceiver(track, "sendonly")
        await self.send(add_track=AddTrackRequest(cid=track.id, **said))
        sid: str = (await self.until("track_published")).track.sid
        await self.negotiate()
        return sid

    async def negotiate(self) -> None:
        await self.up.setLocalDescription(await self.up.createOffer())
        await self.send(offer=SessionDescription(type="offer", sdp=self.up.localDescription.sdp, id=self._next()))
        await self.take_answer()

    async def take_answer(self) -> None:
        answer = await self.until("answer")
        assert answer.id == self._number
        await self.up.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        self._sink(self.up, answer)

    async def answer(self) -> None:
        """Take an offer of the server's (dual mode)."""
        offer = await self.until("offer")
        await self.down.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        await self.down.setLocalDescription(await self.down.createAnswer())
        sdp = self.down.localDescription.sdp
        await self.send(answer=SessionDescription(type="answer", sdp=sdp, id=offer.id))
        self._sink(self.down, offer)

    async def send(self, **request: Any) -> None:
        assert self._ws is not None
        await self._ws.send_bytes(SignalRequest(**request).SerializeToString())

    async def until(self, kind: str) -> Any:
        """The next message of a kind."""
        async with asyncio.timeout(10):
            while True:
                for index, response in enumerate(self.seen):
                    if response.WhichOneof("message") == kind:
                        del self.seen[index]
                        return getattr(response, kind)
                self._wakeup.clear()
                await self._wakeup.wait()

    def say(self, packet: DataPacket) -> None:
        assert self.channel is not None
        self.channel.send(packet.SerializeToString())

    def heard(self, track: str) -> float:
        """What is loudest in a track that is received (Hz)."""
        sink = self.sinks.get(track)
        return loudest(sink.sound(25), 48_000) if sink is not None and len(sink.heard) > 25 else 0.0

    async def lose_socket(self) -> None:
        assert self._ws is not None
        await self._ws.close()

    async def close(self) -> None:
        if self._ws is not None:
            await self._ws.close()
        if self._reading is not None:
            await self._reading
        for sink in self.sinks.values():
            sink.stop()
        for connection, connecting in zip((self.up, self.down), self._connecting, strict=True):
            await connection.close()
            await connecting.settle()
            for transceiver in connection.getTransceivers():
                end_consent(transceiver.receiver.transport.transport)

    async def _read(self, ws: ClientWebSocketResponse) -> None:
        async for message in ws:
            self.seen.append(SignalResponse.FromString(message.data))
            self._wakeup.set()

    def _listen(self, channel: RTCDataChannel) -> None:
        channel.on("message", lambda data: self.packets.append(DataPacket.FromString(data)))

    def _sink(self, connection: RTCPeerConnection, description: SessionDescription) -> None:
        for transceiver in connection.getTransceivers():
            track = description.mid_to_track_id.get(transceiver.mid or "")
            if track is not None and track not in self.sinks:
                self.sinks[track] = Sink(transceiver.receiver)

    def _next(self) -> int:
        self._number += 1
        return self._number


@asynccontextmanager
async def talking(*names: str, is_dual: bool = False) -> AsyncIterator[tuple[Any, ...]]:
    """A server and clients that have joined it."""
    async with serving(CALM, make_link=make_link) as server:
        clients = [WireClient(server, name, is_dual=is_dual) for name in names]
        try:
            for client in clients:
                await client.join()
            yield server, *clients
        finally:
            for client in clients:
                await client.close()


async def speak(server: Server, hertz: float, seconds: float = 1.0) -> None:
    """Let the assistant say a tone, in real time, to everybody."""
    encoder = OpusEncoder()
    for number in range(int(seconds * 50)):
        times = (np.arange(480) + number * 480) / 24_000
        pcm = (9_000 * np.sin(2 * np.pi * hertz * times)).astype("<i2").tobytes()
        frame = SpeechFrame(1, pcm, encoder.encode(pcm))
        for peer in server.conversation.peers:
            peer.send_audio(frame)
        await asyncio.sleep(0.02)


def pcm(server: Server) -> Any:
    return np.frombuffer(b"".join(chunk.pcm for chunk in server.conversation.heard), np.int16)


@pytest.mark.parametrize("is_dual", [False, True])
async def test_a_client_is_heard_and_seen_and_hears(is_dual: bool) -> None:
    async with talking("ada", is_dual=is_dual) as (server, ada):
        await ada.publish(Microphone(), type="AUDIO", source="MICROPHONE")
        await ada.publish(Camera(picture(320, 240)), type="VIDEO", source="SCREEN_SHARE")
        await until(lambda: len(server.conversation.heard) > 40 and server.conversation.frames)
        assert abs(loudest(pcm(server)[-24_000:], server.conversation.heard[0].rate) - TONE) < 20
        assert server.conversation.frames[-1].width == 320
        await ada.until("track_subscribed")

        (voice,) = ada.sinks
        await speak(server, 500)
        await until(lambda: abs(ada.heard(voice) - 500) < 30)


@pytest.mark.parametrize("is_dual", [False, True])
async def test_questions_go_up_and_events_come_down(is_dual: bool) -> None:
    async with talking("ada", is_dual=is_dual) as (server, ada):
        ada.say(DataPacket(chat_message={"message": "where is save?"}))

        await until(lambda: server.conversation.questions == ["where is save?"])
        await until(lambda: any(b"session_started" in packet.user.payload for packet in ada.packets))


@pytest.mark.parametrize("is_dual", [False, True])
async def test_two_people_hear_each_other(is_dual: bool) -> None:
    async with talking("ada", "bob", is_dual=is_dual) as (_, ada, bob):
        sid = await ada.publish(Microphone(), type="AUDIO", source="MICROPHONE")
        if is_dual:
            await bob.answer()
        else:
            await bob.until("media_sections_requirement")
            await bob.negotiate()

        await until(lambda: abs(bob.heard(sid) - TONE) < 20)


async def test_media_and_conversation_outlive_a_lost_socket() -> None:
    async with talking("ada") as (server, ada):
        await ada.publish(Microphone(), type="AUDIO", source="MICROPHONE")
        await until(lambda: server.conversation.heard)
        sid = next(iter(server.livekit.rooms.all)).room.find("ada").sid
        await ada.lose_socket()
        await ada.open("/rtc/v1", {"join_request": join_request(reconnect=True, participant_sid=sid)})
        await ada.until("reconnect")
        await ada.negotiate()

        count = len(server.conversation.heard)
        await until(lambda: len(server.conversation.heard) > count + 20)
        (voice,) = (track for track in ada.sinks)
        await speak(server, 700)
        await until(lambda: abs(ada.heard(voice) - 700) < 30)
        assert server.conversation.graces == []


async def test_a_client_trickles_and_says_goodbye() -> None:
    async with talking("ada") as (server, ada):
        candidate = {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}
        await ada.send(trickle=TrickleRequest(candidateInit=json.dumps(candidate), target=SignalTarget.PUBLISHER))
        await ada.send(leave=LeaveRequest())

        await until(lambda: server.conversation.graces == [CALM.grace])
        await until(lambda: ada.up.connectionState == "closed" or not server.conversation.peers)
