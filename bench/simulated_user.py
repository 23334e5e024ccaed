"""One simulated user on the network: joins by WHIP, sends the packets of its scenario, and receives the reply."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import numpy as np
from aiortc import RTCCertificate

from bench.audio_fixture import VoicePackets
from bench.rtp import AUDIO_CLOCK, VIDEO_CLOCK, RtpError, Stream, has_picture_loss, parse_rtp, vp8_payloads
from bench.scenario import SLOT, Pattern, Scenario
from bench.transport import SEND_FAILURES, Transport
from bench.video_fixture import FPS
from pipeline.codecs.libopus import Decoder
from pipeline.errors import AudioError

TICK = 0.02
DEADLINE = 10.0

LOUD = 1_000
"""Least peak of a loud packet (16-bit steps); the scripted tone reaches 8,000, silence 0."""

_OPUS, _VP8 = 111, 96
_REPORT_EVERY = 50  # ticks
_PACKETS_PER_TICK = 12  # of video: browsers spread a large picture too

_AUDIO = (f"m=audio 9 UDP/TLS/RTP/SAVPF {_OPUS}", "a=sendrecv", f"a=rtpmap:{_OPUS} opus/{AUDIO_CLOCK}/2",
          f"a=fmtp:{_OPUS} minptime=10;useinbandfec=1")  # fmt: skip
_VIDEO = (f"m=video 9 UDP/TLS/RTP/SAVPF {_VP8}", "a=sendonly", f"a=rtpmap:{_VP8} VP8/{VIDEO_CLOCK}",
          f"a=rtcp-fb:{_VP8} nack pli")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Material:
    """The packets that all users send; without `pictures` no video is offered."""

    voice: VoicePackets
    pictures: Sequence[bytes]
    pattern: Pattern
    certificate: RTCCertificate


@dataclass(frozen=True, slots=True)
class Connected:
    """Clock times (s) of one connect: POST sent, answer read, DTLS done."""

    posted: float
    answered: float
    connected: float


class Refused(Exception):
    """Raised when the server refused a user."""


class SimulatedUser:
    """Call `join`, then `tick` every 20 ms; `failure` is the reason for a disconnect."""

    def __init__(self, http: aiohttp.ClientSession, material: Material, *, seed: int):
        self.failure: str | None = None
        self.connect: Connected | None = None
        self.first_rtp: float | None = None
        self.is_sharing = False
        self.scenario = Scenario(material.voice, material.pattern, seed=seed)
        self._http = http
        self._material = material
        self._transport = Transport(material.certificate, on_rtp=self._on_rtp, on_rtcp=self._on_rtcp)
        chance = random.Random(seed)
        self._audio = Stream(payload_type=_OPUS, ssrc=chance.getrandbits(32))
        self._video = Stream(payload_type=_VP8, ssrc=chance.getrandbits(32))
        self._ticks = seed  # so that reports and pictures of different users fall on different ticks
        self._picture = 0
        self._queued_video: deque[bytes] = deque()
        self._decoder = Decoder(rate=8_000)  # enough to detect loud packets
        self._headers: dict[str, str] = {}
        self._location = ""

    async def join(self) -> None:
        """Join as a new guest; sets `failure` instead of raising."""
        try:
            async with asyncio.timeout(DEADLINE):
                await self._join()
        except (ConnectionError, Refused, aiohttp.ClientError) as error:
            self.failure = f"{type(error).__name__}: {error}"
        except TimeoutError:
            self.failure = f"not connected within {DEADLINE:g} s"

    async def leave(self) -> None:
        """Leave by DELETE and close the connection."""
        if self._location:
            async with self._http.delete(self._location, headers=self._headers):
                pass
        await self._transport.close()

    def tick(self) -> None:
        """Send the packets that are due now."""
        if self.failure is not None or self.connect is None:
            return
        self._ticks += 1
        now = time.monotonic()
        try:
            self._transport.send_rtp(self._audio.packet(self.scenario.tick(now), self._ticks * SLOT))
            if self.is_sharing:
                self._share()
            if self._ticks % _REPORT_EVERY == 0:
                self._report()
        except SEND_FAILURES as error:
            self.failure = f"{type(error).__name__}: {error}"

    async def _join(self) -> None:
        async with self._http.post("/api/v1/guests") as response:
            if response.status not in (200, 201):
                raise Refused(f"HTTP {response.status} for a guest")
            guest = await response.json()
        self._headers = {"Authorization": f"Bearer {guest['access_token']}", "Content-Type": "application/sdp"}
        offer = await self._transport.offer([_AUDIO, _VIDEO] if self._material.pictures else [_AUDIO])
        posted = time.monotonic()
        async with self._http.post("/whip", data=offer, headers=self._headers) as response:
            answer = await response.text()
            if response.status != 201:
                raise Refused(f"HTTP {response.status} for an offer")
            self._location = response.headers["Location"]
        answered = time.monotonic()
        await self._transport.connect(answer)
        self.connect = Connected(posted, answered, time.monotonic())

    def _share(self) -> None:
        pictures = self._material.pictures
        if self._ticks % round(1 / (FPS * TICK)) == 0:
            payloads = list(vp8_payloads(pictures[self._picture % len(pictures)], self._picture))
            stamp = round(self._ticks * TICK * VIDEO_CLOCK)
            for place, payload in enumerate(payloads, 1):
                self._queued_video.append(self._video.packet(payload, stamp, marker=place == len(payloads)))
            self._picture += 1
        for _ in range(min(len(self._queued_video), _PACKETS_PER_TICK)):
            self._transport.send_rtp(self._queued_video.popleft())

    def _report(self) -> None:
        if not self._transport.is_connected:
            raise ConnectionError("the server closed the connection")
        wall = time.time()
        self._transport.send_rtcp(self._audio.report(wall))
        if self.is_sharing:
            self._transport.send_rtcp(self._video.report(wall))

    def _on_rtp(self, data: bytes) -> None:
        now = time.monotonic()
        self.first_rtp = self.first_rtp or now
        try:
            packet = parse_rtp(data)
            pcm = np.frombuffer(self._decoder.decode(packet.payload), "<i2")
        except (RtpError, AudioError) as error:
            self.failure = f"{type(error).__name__}: {error}"
            return
        is_loud = bool(len(pcm)) and max(int(pcm.max()), -int(pcm.min())) >= LOUD
        self.scenario.on_packet(now, packet.timestamp, is_loud=is_loud)

    def _on_rtcp(self, data: bytes) -> None:
        if has_picture_loss(data) and self._material.pictures:
            self._picture += -self._picture % len(self._material.pictures)
