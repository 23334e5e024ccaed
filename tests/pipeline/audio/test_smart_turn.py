"""Smart Turn: its verdicts, its worker process, and what happens without it."""

import asyncio
import sys
import wave
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from pipeline.audio import smart_turn
from pipeline.audio.pause_rule import LIKELY
from pipeline.audio.smart_turn import (
    MAX_AGE,
    MAX_QUEUED,
    MODEL,
    REST,
    WINDOW_BYTES,
    SmartTurn,
    finished_probability,
)
from pipeline.errors import FaultCode
from pipeline.workers.process import Worker, WorkerError

VOICE = Path(__file__).parents[2] / "data" / "go-forward-ten-meters.wav"
PAUSE = bytes(6_400)


def sentence() -> bytes:
    """A person: "go forward ten meters", without the silence around it."""
    with wave.open(str(VOICE)) as recording:
        pcm: bytes = recording.readframes(recording.getnframes())
        return pcm[16_000:73_000]


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart_turn, "_session", None)
    smart_turn.load()


@pytest.mark.usefixtures("loaded")
def test_a_whole_sentence_is_finished_and_a_torn_word_is_not() -> None:
    assert finished_probability(sentence() + PAUSE) > 0.9
    assert finished_probability(sentence()[:36_000] + PAUSE) < LIKELY


def test_no_probability_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def run(self, *_: object) -> list[Any]:
            import numpy as np

            return [np.array([[np.nan]])]

    monkeypatch.setattr(smart_turn, "_session", Broken())
    with pytest.raises(ValueError, match="no probability"):
        finished_probability(bytes(32_000))


def test_the_model_is_that_of_the_locked_package_which_is_not_imported() -> None:
    package = distribution("pipecat-ai")
    published = Path(str(package.locate_file("pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx")))
    assert sha256(MODEL.read_bytes()).hexdigest() == sha256(published.read_bytes()).hexdigest()
    (license_file,) = [file for file in package.files or () if file.match("*.dist-info/licenses/LICENSE")]
    assert MODEL.with_name("LICENSE").read_text() == license_file.read_text()
    assert "pipecat" not in sys.modules


async def test_the_worker_judges_a_pause() -> None:
    verdicts = asyncio.Queue[float]()
    async with SmartTurn(clock=lambda: 0.0) as model:  # a verdict is never too late, however busy the machine is
        model.warm()
        model.judge(sentence() + PAUSE, verdicts.put_nowait)
        async with asyncio.timeout(30):
            assert await verdicts.get() > LIKELY


class FakeWorker(Worker):
    """A worker in this process, that answers when the test lets it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_broken = False
        self.is_free = asyncio.Event()
        self.is_free.set()
        self.heard: list[bytes] = []
        self.closed = 0

        async def start(_: Worker) -> None:
            pass

        async def run(_: Worker, function: Callable[..., float], pcm: bytes, *, deadline: float) -> float:
            assert function is finished_probability
            self.heard.append(pcm)
            await self.is_free.wait()
            if self.is_broken:
                raise WorkerError(FaultCode.AUDIO_PROCESSING_ERROR, "The end of turn worker failed.")
            return 0.9

        async def close(_: Worker) -> None:
            self.closed += 1

        monkeypatch.setattr(Worker, "start", start)
        monkeypatch.setattr(Worker, "run", run)
        monkeypatch.setattr(Worker, "close", close)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_broken_worker_gives_no_verdicts_and_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker, now, verdicts = FakeWorker(monkeypatch), [0.0], list[float]()
    worker.is_broken = True
    async with SmartTurn(clock=lambda: now[0]) as model:
        model.judge(b"one", verdicts.append)
        await settle()
        worker.is_broken = False
        model.judge(b"two", verdicts.append)
        await settle()
        assert worker.heard == [b"one"]
        now[0] = REST + 1
        model.judge(b"three", verdicts.append)
        await settle()
    assert worker.heard == [b"one", b"three"]
    assert verdicts == [0.9]
    assert worker.closed == 1


async def test_a_pause_that_waited_too_long_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, now, verdicts = FakeWorker(monkeypatch), [0.0], list[float]()
    worker.is_free.clear()
    async with SmartTurn(clock=lambda: now[0]) as model:
        model.judge(b"one", verdicts.append)
        await settle()
        model.judge(b"late", verdicts.append)
        now[0] = MAX_AGE + 0.01
        model.judge(b"new", verdicts.append)
        worker.is_free.set()
        await settle()
    assert worker.heard == [b"one", b"new"]
    assert len(verdicts) == 2


async def test_the_queue_is_bounded_and_the_newest_pauses_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = FakeWorker(monkeypatch)
    worker.is_free.clear()
    async with SmartTurn(clock=lambda: 0.0) as model:
        model.judge(b"first", lambda _: None)
        await settle()
        for number in range(MAX_QUEUED + 5):
            model.judge(bytes([number]), lambda _: None)
        worker.is_free.set()
        for _ in range(5):
            await settle()
    assert worker.heard == [b"first", *(bytes([number]) for number in range(5, MAX_QUEUED + 5))]


async def test_the_last_8_seconds_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = FakeWorker(monkeypatch)
    async with SmartTurn(clock=lambda: 0.0) as model:
        model.judge(b"ab" + bytes(WINDOW_BYTES), lambda _: None)
        await settle()
    assert worker.heard == [bytes(WINDOW_BYTES)]


async def test_an_unused_model_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(_: Worker) -> None:
        raise AssertionError("nobody spoke")

    monkeypatch.setattr(Worker, "start", start)
    async with SmartTurn():
        await settle()
