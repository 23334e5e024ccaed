"""Recordings from before the connection, over HTTP, with aiortc as the client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aioice.ice
import numpy as np
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from mediaserver.api.middleware import error_middleware
from mediaserver.auth.users import User
from mediaserver.caller import Caller
from mediaserver.http_route import add_routes
from mediaserver.rtc.config import Config, RtcLimits
from mediaserver.rtc.inbound import preconnect_audio
from mediaserver.session_factory import SessionOptions
from mediaserver.webrtc.routes import MAX_RECORDING, RECORDING, SDP, Whip
from tests.support.fake_conversation import Counter
from tests.support.leak_check import nothing_left
from tests.support.recordings import recorded
from tests.support.rtc_harness import FakeConversation, until

SPEECH = recorded("webm", "libopus", 48_000, "mono", 2.0)


class OneConversation:
    """Returns one conversation to everybody."""

    def __init__(self) -> None:
        self.conversation = FakeConversation()

    async def get_or_create(self, caller: Caller, options: SessionOptions) -> FakeConversation:
        return self.conversation


class Names:
    """A token is a user's name."""

    def verify(self, token: str) -> User:
        return User(token, token, is_guest=False)

    def check(self, user: User) -> None:
        """Take every user that was verified for one that still is."""


class Client:
    """A silent microphone over WebRTC, and its HTTP client as "ann"."""

    def __init__(self, http: "TestClient[web.Request, web.Application]", conversation: FakeConversation):
        self.conversation = conversation
        self.rtc = RTCPeerConnection(RTCConfiguration([]))
        self._http = http
        self._location = ""
        self._answer = ""

    async def post(self, path: str, body: bytes | str, kind: str, user: str = "ann") -> ClientResponse:
        headers = {"Content-Type": kind, "Authorization": f"Bearer {user}"}
        return await self._http.post(path, data=body, headers=headers)

    async def offer(self, query: str) -> int:
        """Offer, without connecting; returns the status."""
        self.rtc.addTrack(AudioStreamTrack())
        await self.rtc.setLocalDescription(await self.rtc.createOffer())
        response = await self.post(f"/whip{query}", self.rtc.localDescription.sdp, SDP)
        self._location, self._answer = response.headers.get("Location", ""), await response.text()
        return response.status

    async def connect(self) -> None:
        """Connect, so that live audio flows."""
        await self.rtc.setRemoteDescription(RTCSessionDescription(self._answer, "answer"))
        await until(lambda: self.rtc.connectionState == "connected")

    async def send_recording(self, body: bytes, kind: str = RECORDING, user: str = "ann") -> tuple[int, str]:
        """Send the recording; returns the status and the error code."""
        response = await self.post(f"{self._location}/audio", body, kind, user)
        return response.status, "" if response.status == 204 else (await response.json())["error"]["code"]

    async def hear_live_audio(self) -> None:
        heard = len(self.conversation.chunks)
        await until(lambda: len(self.conversation.chunks) > heard + 3)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    vars(aioice.ice._mdns).clear()  # holds a lock for the process, which belongs to the loop of an earlier test
    factory = OneConversation()
    whip = Whip(factory, Names(), Counter(), config=Config(limits=RtcLimits(tick=0.05)))
    app = web.Application(middlewares=[error_middleware])
    add_routes(app, whip.routes())
    async with nothing_left(), TestClient(TestServer(app)) as http:
        client = Client(http, factory.conversation)
        yield client
        await whip.close()
        await client.rtc.close()


def levels(pcm: np.ndarray[Any, np.dtype[np.int16]]) -> list[int]:
    """The loudest sample of each 20 ms."""
    return [int(np.abs(part.astype(int)).max()) for part in pcm[: len(pcm) // 320 * 320].reshape(-1, 320)]


async def test_a_recording_is_heard_before_the_live_audio_and_once(client: Client) -> None:
    assert await client.offer("?preconnect=1") == 201
    await client.connect()
    await asyncio.sleep(0.1)
    assert client.conversation.chunks == []

    assert await client.send_recording(SPEECH, "audio/webm;codecs=opus") == (204, "")
    assert await client.send_recording(SPEECH) == (409, "RECORDING_NOT_AWAITED")
    await client.hear_live_audio()

    loud = [at * 0.02 for at, level in enumerate(levels(client.conversation.pcm())) if level > 1_000]
    assert 0.0 <= loud[0] < loud[-1] < 2.1
    assert loud[-1] - loud[0] > 1.0
    for chunk, after in zip(client.conversation.chunks, client.conversation.chunks[1:], strict=False):
        assert after.pts == pytest.approx(chunk.pts + chunk.duration)


async def test_a_recording_that_comes_before_the_connection_is_heard_first_too(client: Client) -> None:
    await client.offer("?preconnect=1")
    assert await client.send_recording(SPEECH) == (204, "")
    recorded_chunks = len(client.conversation.chunks)
    assert recorded_chunks > 20

    await client.connect()
    await client.hear_live_audio()

    assert max(levels(client.conversation.pcm()[-320:])) < 100


async def test_an_empty_recording_ends_the_wait(client: Client) -> None:
    await client.offer("?preconnect=1")
    await client.connect()
    assert await client.send_recording(b"") == (204, "")
    await client.hear_live_audio()
    assert await client.send_recording(SPEECH) == (409, "RECORDING_NOT_AWAITED")


async def test_a_recording_that_comes_too_late_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconnect_audio, "MAX_WAIT", 0.1)
    await client.offer("?preconnect=1")
    await client.connect()
    await client.hear_live_audio()
    assert await client.send_recording(SPEECH) == (409, "RECORDING_NOT_AWAITED")


@pytest.mark.parametrize("query", ["", "?preconnect=0"])
async def test_without_an_announcement_nothing_waits_and_no_recording_is_taken(client: Client, query: str) -> None:
    await client.offer(query)
    assert await client.send_recording(SPEECH) == (409, "RECORDING_NOT_AWAITED")
    await client.connect()
    await client.hear_live_audio()


async def test_an_announcement_is_0_or_1(client: Client) -> None:
    assert await client.offer("?preconnect=yes") == 422


@pytest.mark.parametrize(
    ("body", "kind", "user", "refusal"),
    [
        (SPEECH, "audio/mp4", "ann", (415, "UNSUPPORTED_MEDIA_TYPE")),
        (bytes(MAX_RECORDING + 1), RECORDING, "ann", (413, "PAYLOAD_TOO_LARGE")),
        (SPEECH, RECORDING, "bob", (404, "NOT_FOUND")),
    ],
)
async def test_a_refused_recording_may_be_sent_again(
    client: Client, body: bytes, kind: str, user: str, refusal: tuple[int, str]
) -> None:
    await client.offer("?preconnect=1")
    assert await client.send_recording(body, kind, user) == refusal
    assert client.conversation.chunks == []
    assert await client.send_recording(SPEECH) == (204, "")


async def test_live_audio_goes_on_after_a_recording_that_cannot_be_decoded(client: Client) -> None:
    await client.offer("?preconnect=1")
    await client.connect()
    assert await client.send_recording(b"no audio at all") == (400, "INVALID_RECORDING")
    await client.hear_live_audio()
