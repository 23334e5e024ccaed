"""A simulated user joins, sends and receives media, and reports failures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from aiortc import RTCCertificate

from bench.audio_fixture import load_voice
from bench.scenario import Pattern
from bench.simulated_user import Material, SimulatedUser
from bench.tick_scheduler import TickScheduler
from bench.video_fixture import HEIGHT, WIDTH, encode_share
from mediaserver.rtc.config import Config
from mediaserver.rtc.sdp.offer import parse_offer
from mediaserver.webrtc.peer import RtcPeer
from pipeline.config import ConversationConfig
from pipeline.media import SpeechFrame
from pipeline.playout.opus_encoder import OpusEncoder
from tests.support.fake_conversation import FakeConversation


class FakeServer(FakeConversation):
    """The server's side: a recording conversation behind `/whip` and `/api/v1/guests`."""

    def __init__(self, status: int = 201) -> None:
        super().__init__(ConversationConfig("id", "label", "local", "local", None, "en", 600, 3600))
        self.status = status
        self.peer: RtcPeer | None = None
        self.left = asyncio.Event()

    async def guest(self, request: web.Request) -> web.Response:
        return web.json_response({"access_token": "t"}, status=201 if self.status else 500)

    async def offer(self, request: web.Request) -> web.Response:
        if self.status != 201:
            return web.Response(status=self.status)
        self.peer = RtcPeer(self, parse_offer(await request.text()), config=Config(), on_closed=self.left.set)
        answer = await self.peer.answer()
        return web.Response(status=201, text=answer, content_type="application/sdp", headers={"Location": "/whip/1"})

    async def leave(self, request: web.Request) -> web.Response:
        assert self.peer is not None
        await self.peer.close(is_final=True)
        return web.Response()


@asynccontextmanager
async def joined(fake_server: FakeServer, *, has_screen: bool = False) -> AsyncIterator[SimulatedUser]:
    app = web.Application()
    app.router.add_post("/api/v1/guests", fake_server.guest)
    app.router.add_post("/whip", fake_server.offer)
    app.router.add_delete("/whip/1", fake_server.leave)
    material = Material(
        load_voice(),
        encode_share()[:10] if has_screen else (),
        Pattern(pause=0.1),
        RTCCertificate.generateCertificate(),
    )
    async with TestServer(app) as server, ClientSession(server.make_url("/")) as http:
        user = SimulatedUser(http, material, seed=3)
        await user.join()
        beat = TickScheduler(slots=1)
        beat.subscribe(user.tick)
        try:
            yield user
        finally:
            beat.stop()
            await user.leave()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_user_is_heard_without_a_hole_and_its_screen_is_seen() -> None:
    fake_server = FakeServer()
    async with joined(fake_server, has_screen=True) as user:
        user.is_sharing = True
        await until(lambda: len(fake_server.frames) > 5 and user.scenario.turns and user.scenario.turns[0].speech_end)
        assert user.failure is None
        assert user.connect is not None
        assert user.connect.posted < user.connect.answered < user.connect.connected
    pcm = np.frombuffer(b"".join(chunk.pcm for chunk in fake_server.heard), "<i2")
    assert np.abs(pcm).max() > 5_000
    steps = {round(b.pts - a.pts, 3) for a, b in zip(fake_server.heard, fake_server.heard[1:], strict=False)}
    assert steps == {0.02}
    assert {(frame.width, frame.height) for frame in fake_server.frames} == {(WIDTH, HEIGHT)}
    assert fake_server.faults == []
    assert fake_server.left.is_set()


async def test_the_assistant_is_heard_and_told_from_silence() -> None:
    fake_server = FakeServer()
    encoder = OpusEncoder()
    tone = (np.sin(np.arange(480) * 0.1) * 8_000).astype("<i2").tobytes()
    async with joined(fake_server) as user:
        await until(lambda: user.scenario.turns and user.scenario.turns[0].speech_end)
        assert fake_server.peer is not None
        for _ in range(5):
            fake_server.peer.send_audio(SpeechFrame(1, tone, encoder.encode(tone)))
        turn = user.scenario.turns[0]
        await until(lambda: len(turn.arrivals) > 8)
        assert [arrival.slot for arrival in turn.arrivals[:5]] == list(range(5))
        assert [arrival.is_loud for arrival in turn.arrivals[:5]] == [True] * 5
        assert not turn.arrivals[-1].is_loud
        assert user.first_rtp is not None
        assert turn.reply_latency is not None


@pytest.mark.parametrize(("status", "why"), [(0, "HTTP 500 for a guest"), (503, "HTTP 503 for an offer")])
async def test_a_user_that_is_not_let_in_says_why(status: int, why: str) -> None:
    async with joined(FakeServer(status=status)) as user:
        assert user.failure == f"Refused: {why}"


async def test_a_connection_that_the_server_ends_is_a_failure() -> None:
    fake_server = FakeServer()
    async with joined(fake_server) as user:
        await until(lambda: fake_server.heard)
        assert fake_server.peer is not None
        await fake_server.peer.close()
        await until(lambda: user.failure)
        assert user.failure is not None
        assert "ConnectionError" in user.failure


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    async with ClientSession("http://127.0.0.1:9") as http:
        user = SimulatedUser(http, Material(load_voice(), (), Pattern(), RTCCertificate.generateCertificate()), seed=0)
        await user.join()
        assert user.failure is not None
        assert "ClientConnectorError" in user.failure
        await user.leave()
