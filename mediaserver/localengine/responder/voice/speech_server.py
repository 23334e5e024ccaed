"""A voice behind HTTP: any server with OpenAI's `/v1/audio/speech`."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

import aiohttp

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.voice.pcm_stream import PcmStream, UnsupportedAudioError
from mediaserver.localengine.responder.voice.reading import read
from mediaserver.localengine.responder.voice.voices import VoiceUnavailableError
from mediaserver.localengine.responder.voice.word_estimate import WordEstimate
from mediaserver.localengine.responder.voice.words import as_written, spoken_text, without_controls
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE

CONNECT_DEADLINE = 5.0
READ_DEADLINE = 10.0
"""Seconds without a byte after which the server counts as stalled."""
LONGEST = 120.0
"""Seconds of audio for one part of a text."""

_PIECE = SPEECH_SAMPLE_RATE // 10 * SAMPLE_BYTES  # least bytes of a piece: 0.1 s
_REFUSED = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY}
_REASONS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "the speech server did not accept the key (LOCAL_TTS_KEY)",
    HTTPStatus.FORBIDDEN: "the speech server did not accept the key (LOCAL_TTS_KEY)",
    HTTPStatus.NOT_FOUND: "the speech server has no such address, model or voice",
    HTTPStatus.TOO_MANY_REQUESTS: "the speech server's limit is reached",
}


@dataclass(frozen=True, slots=True)
class SpeechServerConfig:
    """The address up to `/v1`, and what it is asked for."""

    url: str
    model: str
    voice: str
    key: str = field(default="", repr=False)


class SpeechServer:
    """Streams speech of any language. The protocol has no word positions, so words are placed by their length."""

    def __init__(self, config: SpeechServerConfig):
        self.name = f"{config.model} ({config.voice}) at {urlsplit(config.url).netloc}"
        self._config = config
        self._session: aiohttp.ClientSession | None = None
        self._format = "pcm"
        self._estimate = WordEstimate()

    def speaks(self, language: str) -> bool:  # noqa: ARG002
        """Return True: the server decides by the text."""
        return True

    async def start(self) -> None:
        """Do nothing: a request in advance could cost money."""

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def speak(self, text: str, *, language: str, speed: float) -> AsyncGenerator[Speech, None]:
        """Yield the audio as it arrives; raises `VoiceUnavailableError`. Closing the iterator ends the request."""
        cleaned = without_controls(text)
        words = read(cleaned) if language.lower().startswith("en") else as_written(cleaned)
        said = spoken_text(words)
        if not any(sign.isalnum() for sign in said):
            yield Speech(bytes(_PIECE), ((0, cleaned),))
            return
        places = self._estimate.places(words, speed)
        try:
            async with aclosing(self._audio(said, speed)) as audio:
                async for pcm, is_last in audio:
                    yield Speech(pcm, places.take(len(pcm) // SAMPLE_BYTES, is_last=is_last))
        except TimeoutError:
            raise self._error("the speech server does not answer in time") from None
        except UnsupportedAudioError as error:
            raise self._error(f"the speech server sent {error}") from None
        except aiohttp.ClientConnectorError:
            raise self._error("the speech server cannot be reached") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._error(f"the connection to the speech server broke ({type(error).__name__})") from None
        self._estimate.learn(said, places.samples, speed)

    async def _audio(self, said: str, speed: float) -> AsyncGenerator[tuple[bytes, bool], None]:
        """Yield pieces of 0.1 s or more, and whether it is the last one, which takes the words that are left."""
        async with await self._request(said, speed) as response:
            if response.status != HTTPStatus.OK:
                status = response.status
                raise self._error(_REASONS.get(status, f"the speech server answered with status {status}"))
            stream = PcmStream(response.content_type)
            received = 0
            pending = b""
            async for chunk in response.content.iter_any():
                pcm = stream.push(chunk)
                received += len(pcm)
                if received > LONGEST * SPEECH_SAMPLE_RATE * SAMPLE_BYTES:
                    raise UnsupportedAudioError("audio without end")
                if len(pending) >= _PIECE and pcm:
                    yield pending, False
                    pending = b""
                pending += pcm
            pending += stream.flush()
            if not pending:
                raise UnsupportedAudioError("no audio")
            yield pending, True

    async def _request(self, said: str, speed: float) -> aiohttp.ClientResponse:
        response = await self._post(said, speed)
        if response.status in _REFUSED and self._format == "pcm":
            # Not every server knows raw PCM; all know WAV.
            response.release()
            self._format = "wav"
            response = await self._post(said, speed)
        return response

    async def _post(self, said: str, speed: float) -> aiohttp.ClientResponse:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_DEADLINE, sock_read=READ_DEADLINE)
            self._session = aiohttp.ClientSession(timeout=timeout)
        body: dict[str, object] = {
            "model": self._config.model,
            "voice": self._config.voice,
            "input": said,
            "response_format": self._format,
        }
        if speed != 1.0:
            body["speed"] = speed
        headers = {"Authorization": f"Bearer {self._config.key}"} if self._config.key else {}
        # Redirects are not followed: the key would go to another host.
        return await self._session.post(
            f"{self._config.url.rstrip('/')}/audio/speech", json=body, headers=headers, allow_redirects=False
        )

    def _error(self, reason: str) -> VoiceUnavailableError:
        return VoiceUnavailableError(reason, where="speech server")
