"""Speech-to-text by a server with OpenAI's interface (`POST /v1/audio/transcriptions`), such as vLLM or speaches.

aiohttp, which the server is built on, sends the one form that this takes; no client library is needed for it.
"""

import io
import json
import wave
from collections.abc import Callable
from http import HTTPStatus
from math import exp
from typing import Any

import aiohttp

from mediaserver.localengine.responder.speech_to_text import do_nothing, language_code
from mediaserver.localengine.responder.transcript import SpeechToTextError, Transcript
from pipeline.errors import FaultCode
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES

DEADLINE = 15.0
"""Seconds for one utterance."""
MAX_QUEUED = 16
"""Requests at once."""

_WITH_SCORES = "verbose_json"
_WITHOUT_SCORES = "json"  # all that some models offer, OpenAI's newer ones among them
_MAX_BODY_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_CODES: dict[int, FaultCode] = {
    HTTPStatus.UNAUTHORIZED: FaultCode.STT_AUTH_INVALID,
    HTTPStatus.FORBIDDEN: FaultCode.STT_AUTH_INVALID,
    HTTPStatus.NOT_FOUND: FaultCode.STT_MODEL_UNAVAILABLE,
    HTTPStatus.TOO_MANY_REQUESTS: FaultCode.STT_RATE_LIMITED,
}


class TranscriptionService:
    """Transcribes over HTTP. `url` is the interface's root, such as http://localhost:8001/v1."""

    def __init__(self, url: str, *, model: str, key: str | None = None, deadline: float = DEADLINE):
        self._url = f"{url.rstrip('/')}/audio/transcriptions"
        self._model = model
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._deadline = deadline
        self._session: aiohttp.ClientSession | None = None
        self._queued = 0
        self._formats: tuple[str, ...] = (_WITH_SCORES, _WITHOUT_SCORES)

    async def start(self) -> None:
        """Do nothing: the first utterance opens the connection."""

    def understands(self, language: str) -> bool:  # noqa: ARG002 # the protocol's
        """Trust the model that was chosen with every language."""
        return True

    async def transcribe(self, pcm: bytes, language: str) -> Transcript:
        """Transcribe one utterance; its confidence is None unless the server sends log-probabilities."""
        if self._queued >= MAX_QUEUED:
            raise SpeechToTextError(FaultCode.STT_BUSY)
        self._queued += 1
        try:
            return _transcript(await self._post(pcm, language_code(language)))
        finally:
            self._queued -= 1

    def anticipate(self, pcm: bytes, language: str) -> Callable[[], None]:  # noqa: ARG002 # the protocol's
        """Do nothing: another machine's work, which may be billed, is not asked for on a guess."""
        return do_nothing

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _post(self, pcm: bytes, language: str) -> Any:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._deadline))
        try:
            for format_ in self._formats:
                async with self._session.post(
                    self._url, data=self._form(pcm, language, format_), headers=self._headers, allow_redirects=False
                ) as response:
                    if response.status == HTTPStatus.BAD_REQUEST and format_ != _WITHOUT_SCORES:
                        continue
                    if response.status != HTTPStatus.OK:
                        raise _refusal(response.status)
                    self._formats = (format_,)
                    return json.loads(await _body(response))
        except TimeoutError:
            raise SpeechToTextError(FaultCode.STT_TIMEOUT) from None
        except (aiohttp.ClientPayloadError, ValueError, RecursionError):
            raise SpeechToTextError(FaultCode.STT_PROTOCOL) from None
        except (aiohttp.ClientError, OSError):
            # Without its cause, which may hold the request's headers.
            raise SpeechToTextError(FaultCode.STT_UNREACHABLE) from None
        raise SpeechToTextError(FaultCode.STT_REFUSED)

    def _form(self, pcm: bytes, language: str, format_: str) -> aiohttp.FormData:
        form = aiohttp.FormData()
        form.add_field("file", _wav(pcm), filename="speech.wav", content_type="audio/wav")
        for name, value in (
            ("model", self._model),
            ("language", language),
            ("response_format", format_),
            ("temperature", "0"),
        ):
            form.add_field(name, value)
        return form


def _refusal(status: int) -> SpeechToTextError:
    if status in _CODES:
        return SpeechToTextError(_CODES[status])
    internal = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return SpeechToTextError(FaultCode.STT_INTERNAL if internal else FaultCode.STT_REFUSED)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_chunked(_READ_BYTES):
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise SpeechToTextError(FaultCode.STT_PROTOCOL)
    return bytes(body)


def _transcript(answer: Any) -> Transcript:
    if not isinstance(answer, dict) or not isinstance(text := answer.get("text"), str):
        raise SpeechToTextError(FaultCode.STT_PROTOCOL)
    return Transcript(text.strip(), _confidence(answer.get("segments")))


def _confidence(segments: Any) -> float | None:
    """Return the mean token probability times that of speech over `verbose_json`'s segments, None without them."""
    try:
        scores = [
            exp(float(segment["avg_logprob"])) * (1 - float(segment.get("no_speech_prob") or 0.0))
            for segment in segments
        ]
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
        return None
    return round(min(1.0, max(0.0, sum(scores) / len(scores))), 3) if scores else None


def _wav(pcm: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, SAMPLE_BYTES, INPUT_SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(pcm)
    return buffer.getvalue()
