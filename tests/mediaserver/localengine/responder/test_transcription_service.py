import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiohttp import BodyPartReader, web
from aiohttp.test_utils import TestServer

from mediaserver.localengine.responder.transcript import SpeechToTextError, Transcript
from mediaserver.localengine.responder.transcription_service import MAX_QUEUED, TranscriptionService
from pipeline.errors import FaultCode

PCM = b"\1\0" * 16_000
KEY = "a-key-to-keep"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Service:
    """A server with OpenAI's interface that answers as a test says."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[dict[str, bytes]] = []
        self.keys: list[str | None] = []
        self.answer: Handler = self.hears("hello")

    def hears(self, text: str, **more: object) -> Handler:
        async def answer(_: web.Request) -> web.Response:
            return web.json_response({"text": text, **more})

        return answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        parts = await request.multipart()
        fields: dict[str, bytes] = {}
        async for part in parts:
            assert isinstance(part, BodyPartReader)
            fields[part.name or ""] = bytes(await part.read())
        self.keys.append(request.headers.get("Authorization"))
        self.requests.append(fields)
        return await self.answer(request)


@pytest_asyncio.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    application = web.Application()
    application.router.add_post("/v1/audio/transcriptions", service.handle)
    async with TestServer(application) as server:
        service.url = str(server.make_url("/v1"))
        yield service


@pytest_asyncio.fixture
async def speech_to_text(service: Service) -> AsyncIterator[TranscriptionService]:
    speech_to_text = TranscriptionService(service.url, model="whisper-large", key=KEY)
    yield speech_to_text
    await speech_to_text.close()


async def failure(speech_to_text: TranscriptionService) -> SpeechToTextError:
    with pytest.raises(SpeechToTextError) as caught:
        await speech_to_text.transcribe(PCM, "en")
    return caught.value


async def test_speech_is_sent_as_wav_with_model_language_and_key(
    service: Service, speech_to_text: TranscriptionService
) -> None:
    assert await speech_to_text.transcribe(PCM, "de-DE") == Transcript("hello")
    (request,) = service.requests
    assert (request["model"], request["language"], request["temperature"]) == (b"whisper-large", b"de", b"0")
    assert service.keys == [f"Bearer {KEY}"]
    with wave.open(io.BytesIO(request["file"])) as file:
        assert (file.getframerate(), file.getnchannels(), file.readframes(99_999)) == (16_000, 1, PCM)


async def test_confidence_comes_from_the_scores_of_the_segments(
    service: Service, speech_to_text: TranscriptionService
) -> None:
    segments = [{"avg_logprob": 0.0, "no_speech_prob": 0.2}, {"avg_logprob": -0.6931472, "no_speech_prob": 0.2}]
    service.answer = service.hears(" hello ", segments=segments)
    assert await speech_to_text.transcribe(PCM, "en") == Transcript("hello", 0.6)


@pytest.mark.parametrize("segments", [[], None, 3, [{}], [{"avg_logprob": "x"}], [{"avg_logprob": 1e9}]])
async def test_scores_that_are_missing_or_wrong_are_no_evidence(
    segments: object, service: Service, speech_to_text: TranscriptionService
) -> None:
    service.answer = service.hears("hello", segments=segments)
    assert await speech_to_text.transcribe(PCM, "en") == Transcript("hello", None)


async def test_a_model_without_scores_is_asked_for_the_text_alone_from_then_on(
    service: Service, speech_to_text: TranscriptionService
) -> None:
    async def answer(_: web.Request) -> web.Response:
        is_accepted = service.requests[-1]["response_format"] == b"json"
        return web.json_response(
            {"text": "hello"} if is_accepted else {"error": {}}, status=200 if is_accepted else 400
        )

    service.answer = answer
    for _ in range(2):
        assert await speech_to_text.transcribe(PCM, "en") == Transcript("hello")
    assert [request["response_format"] for request in service.requests] == [b"verbose_json", b"json", b"json"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, FaultCode.STT_REFUSED),
        (401, FaultCode.STT_AUTH_INVALID),
        (403, FaultCode.STT_AUTH_INVALID),
        (404, FaultCode.STT_MODEL_UNAVAILABLE),
        (413, FaultCode.STT_REFUSED),
        (429, FaultCode.STT_RATE_LIMITED),
        (302, FaultCode.STT_REFUSED),
        (500, FaultCode.STT_INTERNAL),
        (503, FaultCode.STT_INTERNAL),
    ],
)
async def test_each_refusal_has_its_code_and_its_sentence(
    status: int, code: FaultCode, service: Service, speech_to_text: TranscriptionService
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=f"no, {KEY}", headers={"Location": "http://elsewhere.invalid/"})

    service.answer = answer
    error = await failure(speech_to_text)
    assert error.code is code
    assert error.message.endswith(".")
    assert KEY not in repr(error)


@pytest.mark.parametrize(
    "body", ["", "hello", "[]", '{"txt": 1}', '{"text": 3}', "[" * 20_000, json.dumps("x" * 2**20)]
)
async def test_an_answer_that_is_no_transcript_is_a_fault(
    body: str, service: Service, speech_to_text: TranscriptionService
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    service.answer = answer
    assert (await failure(speech_to_text)).code is FaultCode.STT_PROTOCOL


async def test_an_answer_that_breaks_off_is_a_fault(service: Service, speech_to_text: TranscriptionService) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"text": "he')
        assert request.transport is not None
        request.transport.close()
        return response

    service.answer = answer
    assert (await failure(speech_to_text)).code is FaultCode.STT_PROTOCOL


async def test_an_answer_that_does_not_come_in_time_is_a_fault(service: Service) -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    service.answer = answer
    speech_to_text = TranscriptionService(service.url, model="m", deadline=0.05)
    assert (await failure(speech_to_text)).code is FaultCode.STT_TIMEOUT
    await speech_to_text.close()


async def test_a_server_that_is_not_there_is_a_fault_without_the_key(unused_tcp_port: int) -> None:
    speech_to_text = TranscriptionService(f"http://127.0.0.1:{unused_tcp_port}/v1/", model="m", key=KEY)
    error = await failure(speech_to_text)
    await speech_to_text.close()
    assert error.code is FaultCode.STT_UNREACHABLE
    assert error.__cause__ is None


async def test_more_requests_than_are_allowed_at_once_are_refused(
    service: Service, speech_to_text: TranscriptionService
) -> None:
    gate = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await gate.wait()
        return web.json_response({"text": "hello"})

    service.answer = answer
    waiting = [asyncio.create_task(speech_to_text.transcribe(PCM, "en")) for _ in range(MAX_QUEUED)]
    await asyncio.sleep(0)
    assert (await failure(speech_to_text)).code is FaultCode.STT_BUSY
    gate.set()
    assert len(await asyncio.gather(*waiting)) == MAX_QUEUED
