"""The voices of this machine: neural, espeak-ng and silence."""

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from typing import Protocol

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.voice import espeak, neural
from mediaserver.localengine.responder.voice.words import as_written
from pipeline.errors import FaultCode, MediaError
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE
from pipeline.workers.child import no_initializer
from pipeline.workers.process import Worker

DEADLINE = 10.0

READING_PACE = 30
"""Characters of a text without a voice that appear in a second: about twice as fast as speech."""


class VoiceUnavailableError(MediaError):
    """A voice does not work now, whatever it is given; `reason` says why, for the log and the operator."""

    def __init__(self, reason: str, *, where: str):
        super().__init__(FaultCode.ENGINE_VOICE_UNAVAILABLE, f"The voice does not work: {reason}.", where=where)
        self.reason = reason


class Voice(Protocol):
    """Speaks parts of a text, each as one piece or more."""

    @property
    def name(self) -> str:
        """The name for the log."""
        ...

    def speaks(self, language: str, /) -> bool:
        """Whether this voice speaks a language, given as a tag such as "en-US"."""
        ...

    async def start(self) -> None:
        """Load the voice in advance; raises `MediaError` if it cannot work."""
        ...

    def speak(self, text: str, /, *, language: str, speed: float) -> AsyncGenerator[Speech, None]:
        """Synthesize one part of a text; `speed` is 1.0 for the voice's own. Raises `MediaError`."""
        ...

    async def close(self) -> None:
        """Release what the voice holds."""
        ...


class NeuralVoice:
    """Speaks English; all sessions share one worker process. Raises `VoiceError` if there is no model."""

    def __init__(self, folder: Path | None = None):
        model = neural.find_model(folder)
        self.name = f"hibari ({model.path.stem})"
        self._worker = Worker("voice", code=FaultCode.ENGINE_INTERNAL, initializer=partial(neural.load, model))

    def speaks(self, language: str) -> bool:
        """Whether the language is English."""
        return _primary(language) == "en"

    async def start(self) -> None:
        """Load the model; raises `MediaError` if it is damaged or of another kind."""
        await self._worker.run(no_initializer, deadline=DEADLINE)

    async def speak(self, text: str, *, language: str, speed: float) -> AsyncGenerator[Speech, None]:  # noqa: ARG002
        """Synthesize one part of a text."""
        yield await self._worker.run(neural.speak, text, speed, deadline=DEADLINE)

    async def close(self) -> None:
        """Stop the worker."""
        await self._worker.close()


class EspeakVoice:
    """Speaks over a hundred languages; all sessions share one worker process."""

    name = "espeak-ng"

    def __init__(self) -> None:
        self._worker = Worker("espeak", code=FaultCode.ENGINE_INTERNAL, initializer=espeak.load)

    def speaks(self, language: str) -> bool:
        """Whether espeak-ng has this language."""
        return not espeak.languages().isdisjoint((language.lower().replace("_", "-"), _primary(language)))

    async def start(self) -> None:
        """Load espeak-ng."""
        await self._worker.run(no_initializer, deadline=DEADLINE)

    async def speak(self, text: str, *, language: str, speed: float) -> AsyncGenerator[Speech, None]:
        """Synthesize one part of a text."""
        yield await self._worker.run(espeak.speak, text, language, speed, deadline=DEADLINE)

    async def close(self) -> None:
        """Stop the worker."""
        await self._worker.close()


class SilentVoice:
    """Says nothing: the text appears beside silence, at the pace of a fast reader, and can be interrupted."""

    name = "none"

    def speaks(self, language: str) -> bool:  # noqa: ARG002
        """Return True: any language can be read."""
        return True

    async def start(self) -> None:
        """Do nothing."""

    async def speak(self, text: str, *, language: str, speed: float) -> AsyncGenerator[Speech, None]:  # noqa: ARG002
        """Return silence with the words of the text."""
        samples = SPEECH_SAMPLE_RATE // READING_PACE
        placed, written = [], 0
        for word in as_written(text):
            placed.append((written * samples, word.written))
            written += len(word.written)
        yield Speech(bytes(written * samples * SAMPLE_BYTES), tuple(placed))

    async def close(self) -> None:
        """Do nothing."""


def _primary(language: str) -> str:
    return language.lower().replace("_", "-").partition("-")[0]
