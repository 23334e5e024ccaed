"""A voice behind OpenAI's `/v1/audio/speech`: its faults, its formats, and the places of its words."""

import asyncio
import io
import struct
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.voice import speech_server
from mediaserver.localengine.responder.voice.pcm_stream import PcmStream, UnsupportedAudioError
from mediaserver.localengine.responder.voice.speech_server import SpeechServer, SpeechServerConfig
from mediaserver.localengine.responder.voice.voices import VoiceUnavailableError
from mediaserver.localengine.responder.voice.word_estimate import WordEstimate
from mediaserver.localengine.responder.voice.words import Word
from pipeline.errors import FaultCode

KEY = "sk-very-secret"
SECOND = b"\x10\x00" * 24_000

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeServer:
    """Answers every request as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.is_cut = asyncio.Event()
        self.answer: Answer = self.speak

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.headers.append(request.headers.get("Authorization", ""))
        return await self.answer(request)

    async def speak(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=SECOND, content_type="audio/pcm")


@asynccontextmanager
async def speaking(key: str = KEY) -> AsyncIterator[tuple[FakeServer, SpeechServer]]:
    fake = FakeServer()
    app = web.Application()
    app.router.add_post("/v1/audio/speech", fake.handle)
    async with TestServer(app) as server:
        voice = SpeechServer(SpeechServerConfig(str(server.make_url("/v1/")), "kokoro", "bella", key))
        try:
            yield fake, voice
        finally:
            await voice.close()


async def said(voice: SpeechServer, text: str = "Hello there.", **how: Any) -> list[Speech]:
    return [piece async for piece in voice.speak(text, **{"language": "en", "speed": 1.0, **how})]


def wav(rate: int = 24_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((channels, 2, rate, 0, "NONE", ""))
        sound.writeframes(b"\x10\x00" * rate * channels)
    return file.getvalue()


async def test_it_asks_for_pcm_with_model_voice_and_key() -> None:
    async with speaking() as (fake, voice):
        await said(voice, "Press Ctrl+S.")
        await said(voice, "Drücke Strg+S.", language="de-DE", speed=0.85)
    common = {"model": "kokoro", "voice": "bella", "response_format": "pcm"}
    assert fake.asked == [
        {**common, "input": "Press control S."},
        {**common, "input": "Drücke Strg+S.", "speed": 0.85},
    ]
    assert fake.headers == [f"Bearer {KEY}"] * 2


async def test_without_a_key_none_is_sent() -> None:
    async with speaking(key="") as (fake, voice):
        await said(voice)
    assert fake.headers == [""]


async def test_the_first_piece_is_heard_while_the_rest_is_made() -> None:
    async with speaking() as (fake, voice):
        may_end = asyncio.Event()

        async def slowly(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
            await response.prepare(request)
            for _ in range(3):
                await response.write(SECOND[:9_601])
                await asyncio.sleep(0.02)
            await may_end.wait()
            await response.write(SECOND)
            return response

        fake.answer = slowly
        pieces = voice.speak("One two three.", language="en", speed=1.0)
        first = await anext(pieces)
        assert len(first.pcm) >= 4_800
        assert first.words[0] == (0, "One ")
        may_end.set()
        rest = [piece async for piece in pieces]
    assert len(first.pcm + b"".join(piece.pcm for piece in rest)) == 3 * 9_601 // 2 * 2 + len(SECOND)
    words = [word for piece in (first, *rest) for _, word in piece.words]
    assert words == ["One ", "two ", "three."]


async def test_an_answer_that_is_cut_ends_the_request() -> None:
    async with speaking() as (fake, voice):

        async def endless(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
            await response.prepare(request)
            try:
                while True:
                    await response.write(SECOND[:9_600])
                    await asyncio.sleep(0.01)
            finally:
                fake.is_cut.set()

        fake.answer = endless
        pieces = voice.speak("One two three.", language="en", speed=1.0)
        await anext(pieces)
        await pieces.aclose()
        async with asyncio.timeout(5):
            await fake.is_cut.wait()


def status(number: int) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=number, text=f"{KEY} is wrong", headers={"Location": "/elsewhere"})

    return answer


def body(data: bytes, content_type: str = "audio/pcm") -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=data, content_type=content_type)

    return answer


async def broken(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "audio/pcm", "Content-Length": "100000"})
    await response.prepare(request)
    await response.write(SECOND[:20_000])
    assert request.transport is not None
    request.transport.close()
    return response


async def stalled(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
    await response.prepare(request)
    await asyncio.sleep(10)
    return response


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(401), "did not accept the key"),
        (status(403), "did not accept the key"),
        (status(404), "no such address, model or voice"),
        (status(429), "limit is reached"),
        (status(503), "status 503"),
        (status(302), "status 302"),
        (status(299), "status 299"),
        (body(b"{}", "application/json"), "application/json instead of PCM or WAV"),
        (body(b"\xff\xfb", "audio/mpeg"), "audio/mpeg instead of PCM or WAV"),
        (body(b""), "no audio"),
        (body(b"\x01"), "no audio"),
        (body(b"RIFF\0\0\0\0WAVE", "audio/wav"), "incomplete WAV header"),
        (body(SECOND * 121), "audio without end"),
        (broken, "broke"),
        (stalled, "does not answer in time"),
    ],
)
async def test_every_fault_has_a_code_and_a_reason_without_the_key(
    answer: Answer, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_server, "READ_DEADLINE", 0.1)
    async with speaking() as (fake, voice):
        fake.answer = answer
        with pytest.raises(VoiceUnavailableError, match=reason) as caught:
            await said(voice)
        assert caught.value.code is FaultCode.ENGINE_VOICE_UNAVAILABLE
        assert KEY not in f"{caught.value} {caught.value.reason} {voice.name} {SpeechServerConfig('', '', '', KEY)!r}"
        fake.answer = fake.speak
        assert await said(voice)


async def test_a_server_that_is_off_cannot_be_reached(unused_tcp_port_factory: Callable[[], int]) -> None:
    voice = SpeechServer(SpeechServerConfig(f"http://127.0.0.1:{unused_tcp_port_factory()}/v1", "m", "v"))
    with pytest.raises(VoiceUnavailableError, match="cannot be reached"):
        await said(voice)
    await voice.close()


async def test_a_server_without_pcm_is_asked_for_wav_from_then_on() -> None:
    async with speaking() as (fake, voice):

        async def only_wav(request: web.Request) -> web.StreamResponse:
            if fake.asked[-1]["response_format"] == "pcm":
                return web.Response(status=400)
            return web.Response(body=wav(), content_type="audio/wav")

        fake.answer = only_wav
        for _ in range(2):
            assert b"".join(piece.pcm for piece in await said(voice)) == SECOND
    assert [asked["response_format"] for asked in fake.asked] == ["pcm", "wav", "wav"]


async def test_what_cannot_be_said_is_not_asked_for() -> None:
    async with speaking() as (fake, voice):
        (speech,) = await said(voice, "...")
    assert speech.words == ((0, "..."),)
    assert not fake.asked


@pytest.mark.parametrize(("rate", "channels"), [(24_000, 1), (22_050, 1), (48_000, 2), (16_000, 1)])
def test_wav_becomes_24_khz_mono_however_it_is_cut(rate: int, channels: int) -> None:
    data = wav(rate, channels)
    stream = PcmStream("audio/wav")
    pcm = b"".join(stream.push(data[start : start + 777]) for start in range(0, len(data), 777)) + stream.flush()
    samples = np.frombuffer(pcm, np.int16)
    assert len(samples) == pytest.approx(24_000, abs=64)
    assert abs(int(samples[12_000]) - 16) <= 1


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, kind, channels, rate, 0, 0, bits)
        for kind, channels, rate, bits in [(3, 1, 24_000, 32), (1, 6, 24_000, 16), (1, 1, 1, 16), (1, 1, 24_000, 8)]
    ]
    + [b"RIFF\0\0\0\0WAVE" + b"junk\xff\xff\xff\xff"],
)
def test_other_wav_is_refused(header: bytes) -> None:
    with pytest.raises(UnsupportedAudioError):
        PcmStream("audio/wav").push(header)


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_any_bytes_are_audio_or_are_refused(chunks: list[bytes]) -> None:
    stream = PcmStream("application/octet-stream")
    try:
        pcm = b"".join(stream.push(chunk) for chunk in chunks) + stream.flush()
    except UnsupportedAudioError:
        return
    assert len(pcm) % 2 == 0


@given(
    st.lists(st.tuples(st.text("ab", min_size=1), st.text("abc")), min_size=1, max_size=8),
    st.lists(st.integers(1, 9_000), min_size=1, max_size=8),
)
def test_every_word_is_placed_once_and_in_the_audio(texts: list[tuple[str, str]], lengths: list[int]) -> None:
    places = WordEstimate().places([Word(*text) for text in texts], 1.0)
    begin, placed = 0, []
    for index, length in enumerate(lengths):
        taken = places.take(length, is_last=index == len(lengths) - 1)
        assert all(0 <= place < length for place, _ in taken)
        placed += [(begin + place, text) for place, text in taken]
        begin += length
    assert [text for _, text in placed] == [written for written, _ in texts]
    assert [place for place, _ in placed] == sorted(place for place, _ in placed)


def test_the_pace_of_a_voice_is_learned() -> None:
    estimate = WordEstimate()
    words = [Word("a ", "a" * 9), Word("b", "b")]
    for _ in range(30):
        estimate.learn("a" * 10, 24_000, 1.0)
    places = estimate.places(words, 2.0)
    first, (start, word) = places.take(24_000, is_last=False)
    assert first == (0, "a ")
    assert word == "b"
    assert abs(start - 12_000) < 10
