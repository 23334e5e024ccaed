"""Smart Turn over ONNX: the probability that a speaker who has paused is finished, asked in one worker process."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from loguru import logger

from pipeline.audio.log_mel import log_mel, samples_of, standardized
from pipeline.errors import FaultCode, MediaError
from pipeline.mailbox import Mailbox
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES
from pipeline.workers.process import Worker

MODEL = Path(str(files("pipeline")), "smart_turn", "smart_turn.onnx")
"""The file smart-turn-v3.2-cpu.onnx of the package pipecat-ai, which itself would bring numba and more."""

# pipecat-ai 1.14.0, local_smart_turn_v3.py: the end of the audio, preceded by zeros if it is shorter.
WINDOW_SECONDS = 8
WINDOW_SAMPLES = WINDOW_SECONDS * INPUT_SAMPLE_RATE
WINDOW_BYTES = WINDOW_SAMPLES * SAMPLE_BYTES

MAX_QUEUED = 16
"""Pauses that may wait for the worker; the oldest is dropped for a new one."""

MAX_AGE = 0.3
"""Seconds in the queue after which a pause is not judged any more: its turn has ended by silence."""

DEADLINE = 2.0
REST = 30.0
"""Seconds without questions after the worker has failed, as starting it costs half a second of CPU."""

OnVerdict = Callable[[float], None]
"""Takes the probability that the speaker is finished; called on the event loop, or never."""


class EndOfTurnModel(Protocol):
    """Judges pauses. No method waits or raises."""

    def warm(self) -> None:
        """Load the model in the background, as a pause will be judged soon."""
        ...

    def judge(self, pcm: bytes, on_verdict: OnVerdict) -> None:
        """Judge 16 kHz PCM that ends in a pause; without a verdict in time, silence decides."""
        ...


class NoEndOfTurnModel:
    """Gives no verdicts, so that silence alone ends turns."""

    def warm(self) -> None:
        """Do nothing."""

    def judge(self, pcm: bytes, on_verdict: OnVerdict) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class _Pause:
    pcm: bytes = field(repr=False)
    on_verdict: OnVerdict
    asked_at: float


class SmartTurn:
    """Judges the pauses of all conversations, one after the other.

    An async context manager. A verdict may be late or never come: when the worker is busy or broken, silence decides as
    if there were no model.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._worker = Worker("end of turn", code=FaultCode.AUDIO_PROCESSING_ERROR, initializer=load)
        self._pauses = Mailbox[_Pause](MAX_QUEUED)
        self._is_wanted = asyncio.Event()
        self._clock = clock
        self._rests_until = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "SmartTurn":
        self._task = asyncio.create_task(self._run(), name="end of turn")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def warm(self) -> None:
        """Start the worker in the background."""
        self._is_wanted.set()

    def judge(self, pcm: bytes, on_verdict: OnVerdict) -> None:
        """Queue a pause, as 16 kHz PCM of which the last 8 s count."""
        self._is_wanted.set()
        self._pauses.put(_Pause(pcm[-WINDOW_BYTES:], on_verdict, self._clock()))

    async def _run(self) -> None:
        try:
            await self._is_wanted.wait()
            await self._start()
            async for pause in self._pauses:
                if self._clock() - pause.asked_at <= MAX_AGE and self._clock() >= self._rests_until:
                    await self._judge(pause)
        finally:
            await self._worker.close()

    async def _start(self) -> None:
        try:
            await self._worker.start()
        except MediaError as error:
            self._rest(error)

    async def _judge(self, pause: _Pause) -> None:
        try:
            probability = await self._worker.run(finished_probability, pause.pcm, deadline=DEADLINE)
        except MediaError as error:
            self._rest(error)
        else:
            pause.on_verdict(probability)

    def _rest(self, error: MediaError) -> None:
        logger.opt(exception=error).warning("silence alone ends turns for a while", reason=error.message, seconds=REST)
        self._rests_until = self._clock() + REST


# The functions below run in the worker.

_session: Any = None  # one onnxruntime.InferenceSession per process


def load(path: Path = MODEL) -> None:
    """Load the model; raises an error of onnxruntime if the file is missing or damaged."""
    global _session
    from onnxruntime import InferenceSession, SessionOptions  # only here: the server's process needs no second model

    options = SessionOptions()
    options.intra_op_num_threads = 1  # two gain a third and take a core from media
    options.inter_op_num_threads = 1
    _session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def finished_probability(pcm: bytes) -> float:
    """Return the probability (0 to 1) that the speaker is finished at the end of this 16 kHz PCM."""
    features = log_mel(standardized(samples_of(pcm, WINDOW_SAMPLES)))
    (output,) = _session.run(None, {"input_features": features[None]})
    probability = float(output[0, 0])
    if not 0.0 <= probability <= 1.0:  # also true of NaN
        raise ValueError("Smart Turn gave no probability.")
    return probability
