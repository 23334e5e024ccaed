"""Chooses a voice for each text, and another one while a voice does not work."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.voice import espeak
from mediaserver.localengine.responder.voice.neural import VoiceError
from mediaserver.localengine.responder.voice.sentences import parts
from mediaserver.localengine.responder.voice.speech_server import SpeechServer, SpeechServerConfig
from mediaserver.localengine.responder.voice.voices import (
    EspeakVoice,
    NeuralVoice,
    SilentVoice,
    Voice,
    VoiceUnavailableError,
)
from pipeline.errors import FaultCode, MediaError
from pipeline.media import SAMPLE_BYTES

RETRY_AFTER = 30.0
"""Seconds without a voice that failed; meanwhile the next one speaks."""

LONGEST_TEXT = 8_000
"""Characters of one text for `synthesize`: some nine minutes."""


@dataclass(frozen=True, slots=True)
class VoiceConfig:
    """The configured voices; the defaults are the installed ones."""

    folder: Path | None = None
    """The folder of another model for the neural voice."""
    server: SpeechServerConfig | None = None
    """A speech server, which comes before the voices of this machine."""


class TextToSpeech:
    """Synthesizes speech by the first voice that speaks the language and works.

    The order is: the speech server, if there is one; the neural voice, for English; espeak-ng, if it is installed; and
    silence, with the text alone. A voice that fails raises once, so that the fault is reported, and rests then.
    """

    def __init__(self, config: VoiceConfig | None = None, *, voices: Sequence[Voice] | None = None):
        self._missing = ""
        self._voices = list(self._configured(config or VoiceConfig()) if voices is None else voices)
        self._resting: dict[str, float] = {}  # by the name of a voice: the monotonic time until when

    async def start(self) -> None:
        """Load the voice that speaks English; a voice that cannot be loaded is reported and replaced by the next."""
        if self._missing:
            logger.warning("the neural voice is missing", reason=self._missing)
        while True:
            voice = self._voice_for("en")
            try:
                await voice.start()
            except VoiceUnavailableError as error:
                self._rest(voice, error)
            except MediaError as error:
                logger.error("a voice cannot be used", voice=voice.name, reason=_reason(error))
                self._voices.remove(voice)
                await voice.close()
            else:
                break
        if isinstance(voice, SilentVoice):
            logger.warning("no voice can be used, so answers are text only: pip install 'mediaserver[local]'")
        else:
            logger.info("the voice is ready", voice=voice.name)

    async def close(self) -> None:
        """Stop all voices."""
        await asyncio.gather(*(voice.close() for voice in self._voices))

    async def stream(self, text: str, *, language: str = "en", speed: float = 1.0) -> AsyncGenerator[Speech, None]:
        """Synthesize a text of any length sentence by sentence, as the pieces are taken. Raises `MediaError`.

        `speed` is 1.0 for the voice's own. The words of all pieces together are the text, without control characters.
        """
        voice = self._voice_for(language)
        try:
            for part in parts(text):
                async with aclosing(voice.speak(part, language=language, speed=speed)) as pieces:
                    async for speech in pieces:
                        yield speech
        except VoiceUnavailableError as error:
            self._rest(voice, error)
            raise

    async def synthesize(self, text: str, *, language: str = "en", speed: float = 1.0) -> Speech:
        """Synthesize a short text at once; raises `MediaError`."""
        if len(text) > LONGEST_TEXT:
            raise MediaError(FaultCode.ENGINE_INTERNAL, "The text is too long to say at once.", where="voice")
        pcm, words = bytearray(), []
        async for speech in self.stream(text, language=language, speed=speed):
            words += [(len(pcm) // SAMPLE_BYTES + start, word) for start, word in speech.words]
            pcm += speech.pcm
        return Speech(bytes(pcm), tuple(words))

    def _configured(self, config: VoiceConfig) -> Iterator[Voice]:
        if config.server is not None:
            yield SpeechServer(config.server)
        try:
            yield NeuralVoice(config.folder)
        except VoiceError as error:
            self._missing = str(error)
        if espeak.is_installed():
            yield EspeakVoice()
        yield SilentVoice()

    def _voice_for(self, language: str) -> Voice:
        now = _now()
        return next(
            voice for voice in self._voices if voice.speaks(language) and self._resting.get(voice.name, now) <= now
        )

    def _rest(self, voice: Voice, error: VoiceUnavailableError) -> None:
        self._resting[voice.name] = _now() + RETRY_AFTER
        logger.error("a voice does not work", voice=voice.name, reason=error.reason, retry_after=RETRY_AFTER)


def _reason(error: MediaError) -> str:
    # The cause of a failed worker is the whole traceback; its last line says what was wrong.
    return str(error.__cause__ or error).strip().rpartition("\n")[2]


def _now() -> float:
    return time.monotonic()
