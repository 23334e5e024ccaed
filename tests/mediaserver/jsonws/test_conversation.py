"""The JSON socket on the true conversation, with the local engine behind it and its answers scripted."""

import asyncio
import gc
import json
import random
import wave
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mediaserver.api.middleware import error_middleware
from mediaserver.bad_messages import BadMessageBudget
from mediaserver.jsonws.connection import SharedBounds
from mediaserver.jsonws.routes import JsonSocket
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LocalEngine
from mediaserver.registry import Capacity, Registry
from mediaserver.session_factory import EngineClient, SessionFactory
from mediaserver.session_factory import ServerDefaults as Rules
from pipeline.audio.vad import VadModel
from pipeline.config import TurnSettings
from pipeline.errors import FaultCode
from pipeline.gemini.bridge import make_client
from pipeline.gemini.model_profiles import LOCAL
from pipeline.playout.frame_clock import FrameClock
from tests.support.fake_conversation import Counter
from tests.support.jsonws_harness import QUICK, Client, FakeSessionFactory, FakeVerifier, Server, pcm_of

SPEECH = Path(__file__).parents[2] / "data" / "go-forward-ten-meters.wav"

SCRIPT = """
rules:
  - when: {text: screen, screen: true}
    answer: [{say: I can see it., tone: 440, seconds: 0.4}]
  - when: {text: long}
    answer: [{say: This goes on and on., tone: 440, seconds: 20}]
  - when: spoken
    heard: go forward ten meters
    answer: [{say: Going forward., tone: 440, seconds: 0.6}]
  - when: anything
    answer: [{say: I do not know., tone: 440, seconds: 0.2}]
"""


@dataclass
class Setup(Server):
    """A server on the true conversation."""

    registry: Registry = field(default_factory=lambda: Registry(Capacity(50, 50, 50, 50)))


@pytest.fixture
async def setup(vad: VadModel) -> AsyncIterator[Setup]:
    async with LocalEngine(parse_script(SCRIPT), vad=vad) as engine:
        client = make_client(api_key="local", base_url=engine.base_url, ssl_context=engine.client_ssl)
        registry = Registry(Capacity(50, 50, 50, 50))
        link = EngineClient("local", client, LOCAL, None, "medium")
        session_factory = SessionFactory(registry, link, Rules(600, 3600, 1280, TurnSettings()), vad, FrameClock())
        limiter = Counter()
        socket = JsonSocket(session_factory, FakeVerifier(), limiter, origin_is_allowed=lambda _: True, limits=QUICK)
        app = web.Application(middlewares=[error_middleware])
        socket.add_routes(app)
        async with TestClient(TestServer(app)) as http:
            server = Setup(http, socket, FakeSessionFactory(), limiter, registry=registry)
            yield server
            await registry.drain(5)
            await socket.close()
            await server.close()
        assert len(registry) == 0


def loudest(pcm: bytes, rate: int) -> float:
    """The strongest frequency in Hz."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples))


async def test_a_file_sent_at_once_is_one_utterance_and_is_answered_aloud(setup: Setup) -> None:
    client = await setup.started()
    await client.say(SPEECH.read_bytes(), "wav")
    complete = await client.until("turn_complete")
    said = {(m["role"], m["text"]) for m in client.seen if m["action"] == "transcript" and m["final"]}
    assert said == {("user", "go forward ten meters"), ("assistant", "Going forward.")}
    assert {m["turn"] for m in client.seen if "turn" in m} == {1}
    assert [m["text"] for m in client.seen if m["action"] == "text_response"] == ["Going forward."]
    voice = client.voice(1)
    assert [m["seq"] for m in voice] == list(range(len(voice)))
    pcm = pcm_of(voice)
    assert 0.598 <= len(pcm) / 32_000 <= 0.66
    assert loudest(pcm, 16_000) == pytest.approx(440, abs=5)
    assert complete["heard_ms"] == 600


async def test_audio_end_closes_the_utterance_at_once(setup: Setup) -> None:
    client = await setup.started()
    with wave.open(str(SPEECH)) as file:
        pcm = file.readframes(20_000)
    for start in range(0, len(pcm), 3_200):
        await client.say(pcm[start : start + 3_200], "pcm", sample_rate=16_000, channels=1)
    await client.send("audio_end", sessionId="desk")
    assert (await client.until("turn_complete"))["turn"] == 1


async def test_a_question_about_the_picture_before_it_is_asked_with_it(setup: Setup) -> None:
    client = await setup.started(config={"output": {"format": "pcm", "sample_rate": 24_000}})
    await client.until("state", state="idle")
    _, png = cv2.imencode(".png", np.full((90, 160, 3), 255, np.uint8))
    await client.show(png.tobytes(), "png", timestamp="2024-01-01T12:00:00Z")
    await client.send("text_input", sessionId="desk", text="what is on the screen?")
    await client.until("turn_complete")
    actions = [m["action"] for m in client.seen]
    assert actions.index("screen_seen") < actions.index("audio_output")
    assert [m["text"] for m in client.seen if m["action"] == "text_response"] == ["I can see it."]
    assert {(m["format"], m["sample_rate"]) for m in client.voice()} == {("pcm", 24_000)}


async def test_an_interruption_falls_silent_and_says_what_was_heard(setup: Setup) -> None:
    client = await setup.started()
    await client.send("text_input", text="something long")
    for _ in range(4):
        await client.until("audio_output")
    await client.send("interrupt")
    interrupted = await client.until("interrupted")
    voiced = len(client.voice())
    await client.send("text_input", text="and now?")
    await client.until("turn_complete")
    assert 300 <= interrupted["heard_ms"] < 5_000
    later = client.voice()[voiced:]
    assert {m["turn"] for m in later} == {2}


async def test_a_dropped_conversation_is_rejoined_and_goes_on(setup: Setup) -> None:
    first = await setup.started()
    session = first.seen[-1]["id"]
    await first.send("text_input", text="hello")
    await first.until("turn_complete")
    await first.ws.close()
    while len(setup.socket):
        await asyncio.sleep(0.01)
    second = await setup.started()
    assert second.seen[-1]["id"] == session
    await second.send("text_input", text="again")
    assert (await second.until("turn_complete"))["turn"] == 2


async def test_a_session_may_be_ended_and_begun_again_under_its_label(setup: Setup) -> None:
    client = await setup.started()
    first = client.seen[-1]["id"]
    await client.send("end_session", sessionId="desk")
    await client.send("start_session", sessionId="desk")
    assert (await client.until("session_started"))["id"] != first


async def test_the_servers_end_is_said(setup: Setup) -> None:
    client = await setup.started()
    await client.until("state", state="idle")
    drained = asyncio.create_task(setup.registry.drain(5))
    assert await client.closed() == 1001
    assert client.seen[-1]["reason"] == "shutdown"
    await drained


NO_OBJECTS = [
    b"",
    b"{",
    b"[]",
    b"\xff\xfe",
    b'"',
    b"null",
    b"{}",
    b'{"action": 1}',
    b'{"action": "tracks", "mids": {}}',
]
ACTIONS = [
    *("audio_input", "audio_input", "screen_share_frame", "text_input", "playback", "ping", "interrupt", "audio_end"),
    *("screen_share_end", "start_session", "dance", "tracks", ""),
]
FORMATS = ["wav", "pcm", "opus", "webm", "ogg", "mp3", "png", "jpeg", "webp", "gif", None, 7]


def fuzzed(dice: random.Random, files: list[bytes]) -> bytes:
    """A message that may be fine, or nearly, or not at all."""
    data = bytearray(dice.choice(files))
    for _ in range(dice.randrange(4)):
        data[dice.randrange(len(data))] = dice.randrange(256)
    text = b64encode(bytes(data[: dice.randrange(1, len(data))])).decode()
    fields: dict[str, object] = {
        "sessionId": dice.choice(["desk", None, "other", 3, "\ud800"]) if dice.random() < 0.3 else "desk",
        "data": text if dice.random() < 0.7 else text[:7],
        "format": dice.choice(FORMATS),
        "sample_rate": dice.choice([8_000, 16_000, 48_000, 1, "x", None]),
        "channels": dice.choice([1, 2, 0, None]),
        "text": dice.choice(["hi", "", "x" * 9_000, None, "\ud800"]),
        "turn": dice.choice([1, -1, 1e300, "1"]),
        "played_ms": dice.choice([0, 5_000, -1, True]),
        "t": dice.choice([1, None, "\ud800", [1]]),
        "config": dice.choice([{}, {"output": {"sample_rate": 1}}, 3]),
    }
    kept = {name: value for name, value in fields.items() if dice.random() < 0.8}
    message = json.dumps({"action": dice.choice(ACTIONS), **kept}).encode()
    if dice.random() < 0.1:
        return dice.choice(NO_OBJECTS)
    return message[: dice.randrange(len(message))] if dice.random() < 0.05 else message


async def bombard(setup: Setup, messages: int, seed: int) -> tuple[set[str], set[int | None]]:
    """Send them over as many sockets as it takes; tells the codes that came back, and how sockets were closed."""
    dice = random.Random(seed)
    pictures = [cv2.imencode(kind, np.full((40, 60, 3), 90, np.uint8))[1] for kind in (".png", ".jpg", ".webp")]
    files = [SPEECH.read_bytes()[:400], *(picture.tobytes() for picture in pictures)]
    codes: set[str] = set()
    closes: set[int | None] = set()
    while messages > 0:
        client = await setup.started("desk", config={"vad": {"silence_ms": 200}})
        reading = asyncio.create_task(client.closed())
        for _ in range(dice.randrange(50, 300)):
            if reading.done() or messages <= 0:
                break
            messages -= 1
            try:
                if dice.random() < 0.02:
                    await client.ws.send_bytes(dice.randbytes(20))
                else:
                    await client.ws.send_str(fuzzed(dice, files).decode("utf-8", "replace"))
                await asyncio.sleep(0)
                if dice.random() < 0.2:
                    await client.send("ping", sessionId="desk")  # a good one, so that not all end at twenty bad ones
            except ConnectionError:
                break
        await settled(client, reading)
        await client.ws.close()
        await reading
        closes.add(client.ws.close_code)
        setup.opened.remove(client)
        codes |= {m["code"] for m in client.seen if m["action"] == "error"}
        while len(setup.socket):
            await asyncio.sleep(0.005)
    return codes, closes


async def settled(client: Client, reading: asyncio.Task[int | None]) -> None:
    """Wait until everything that was sent has been answered, or the socket is closed."""
    with suppress(ConnectionError):
        await client.send("ping", t="last")
    while not reading.done() and all(message.get("t") != "last" for message in client.seen):
        await asyncio.sleep(0.005)


EXPECTED = {
    "INVALID_MESSAGE",
    "UNKNOWN_ACTION",
    "SESSION_NOT_FOUND",
    "SESSION_EXISTS",
    "UNSUPPORTED_FORMAT",
    "FRAME_PROCESSING_ERROR",
    "AUDIO_PROCESSING_ERROR",
}


@pytest.mark.parametrize(
    "messages", [600, pytest.param(10_000, marks=[pytest.mark.acceptance, pytest.mark.timeout(900)])]
)
async def test_whatever_is_sent_the_server_stands(setup: Setup, messages: int) -> None:
    setup.socket._bounds = SharedBounds(BadMessageBudget(1_000_000))  # else the address would soon be refused
    await bombard(setup, 200, seed=1)
    gc.collect()
    tasks, objects = len(asyncio.all_tasks()), len(gc.get_objects())
    codes, closes = await bombard(setup, messages, seed=2)
    assert codes <= EXPECTED
    assert {code for code in EXPECTED if FaultCode(code).severity == "report"} <= codes
    assert closes <= {1000, 1006, 1008}
    gc.collect()
    assert len(asyncio.all_tasks()) <= tasks + 2
    # Interned strings, codec tables and the like settle; a leak would keep something of every message.
    assert len(gc.get_objects()) - objects < messages
    client = await setup.started("desk")
    await client.send("text_input", text="still here?")
    assert await client.until("text_response")


async def test_one_client_after_another_leaves_nothing_behind(setup: Setup) -> None:
    client = await setup.started("desk")
    await client.send("end_session")
    await client.until("session_ended")
    await client.ws.close()
    assert not setup.socket._attached
