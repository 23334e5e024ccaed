"""Silero VAD over ONNX: the speech probability of each 32 ms window."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi import onnxruntime_pybind11_state as onnx

from pipeline.errors import AudioError
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES, AudioChunk

# Silero v5 and v6 take exactly 512 samples at 16 kHz, preceded by the last 64 of the window before, and hand
# a (2, 1, 128) state from window to window: silero_vad 6.2.3, utils_vad.py, class OnnxWrapper.
WINDOW_SAMPLES = 512
WINDOW_SECONDS = WINDOW_SAMPLES / INPUT_SAMPLE_RATE
WINDOW_BYTES = WINDOW_SAMPLES * SAMPLE_BYTES
CONTEXT_SAMPLES = 64
STATE_SHAPE = (2, 1, 128)

Floats = NDArray[np.float32]

MODEL = Path(str(files("pipeline")), "silero_vad", "silero_vad.onnx")
"""The file of the package silero-vad, which itself would bring torch."""

# onnxruntime's errors share no parent but Exception.
_FAILURES = (
    onnx.EPFail,
    onnx.EngineError,
    onnx.Fail,
    onnx.InvalidArgument,
    onnx.InvalidGraph,
    onnx.InvalidProtobuf,
    onnx.NoModel,
    onnx.NoSuchFile,
    onnx.NotImplemented,
    onnx.RuntimeException,
    ValueError,
)


class ModelMissingError(Exception):
    """The VAD's model file is absent or unreadable."""


@dataclass(frozen=True, slots=True)
class Window:
    """32 ms of 16 kHz audio (1024 bytes) from session time `pts` (s), and its speech probability (0 to 1)."""

    pcm: bytes
    pts: float
    probability: float

    @property
    def end(self) -> float:
        """Session time (s) after the last sample."""
        return self.pts + WINDOW_SECONDS


class VadModel:
    """Silero's weights, read-only: one object per process serves all conversations."""

    def __init__(self, path: Path = MODEL):
        """Load the model of this package, or the one at `path`; raise `ModelMissingError` if it cannot be read."""
        options = SessionOptions()
        # A window is too little work to share; more threads only wait (and spin) between windows.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        try:
            self._session = InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _FAILURES as error:
            raise ModelMissingError(f"The Silero VAD model at {path} cannot be read; install it again.") from error
        self._rate = np.array(INPUT_SAMPLE_RATE, np.int64)
        self.is_failing = False
        """Whether the last window, of any conversation, could not be judged."""

    def infer(self, samples: Floats, state: Floats) -> tuple[float, Floats]:
        """Return the probability of speech and the next state, or raise `AudioError`.

        `samples` is (1, 576) float32 in -1 to 1: 64 of context, then the window. `state` is (2, 1, 128) float32.
        """
        self.is_failing = True
        try:
            output, state = self._session.run(None, {"input": samples, "state": state, "sr": self._rate})
        except _FAILURES as error:
            raise AudioError("Voice detection failed.", where="vad") from error
        probability = float(output[0, 0])
        if not 0.0 <= probability <= 1.0:  # also true of NaN
            raise AudioError("Voice detection gave no probability.", where="vad")
        self.is_failing = False
        return probability, state


class SileroVad:
    """Splits 16 kHz audio of one stream into windows with their speech probability.

    Samples short of a window are kept for the next chunk. After a gap they are joined to the audio that follows, in its
    time.
    """

    def __init__(self, model: VadModel):
        self._model = model
        self._partial: bytes
        self._input: Floats = np.zeros((1, CONTEXT_SAMPLES + WINDOW_SAMPLES), np.float32)
        self._context = self._input[0, :CONTEXT_SAMPLES]
        self._samples = self._input[0, CONTEXT_SAMPLES:]
        self.reset()

    def push(self, chunk: AudioChunk) -> Iterator[Window]:
        """Yield the windows this chunk completes, or raise `AudioError`."""
        if chunk.rate != INPUT_SAMPLE_RATE:
            raise AudioError(f"Voice detection takes {INPUT_SAMPLE_RATE} Hz, not {chunk.rate}.", where="vad")
        pcm = self._partial + chunk.pcm
        pts = chunk.pts - len(self._partial) / (SAMPLE_BYTES * INPUT_SAMPLE_RATE)
        whole = len(pcm) - len(pcm) % WINDOW_BYTES
        self._partial = pcm[whole:]
        for start in range(0, whole, WINDOW_BYTES):
            window = pcm[start : start + WINDOW_BYTES]
            yield Window(window, pts + start / (SAMPLE_BYTES * INPUT_SAMPLE_RATE), self._infer(window))

    def reset(self) -> None:
        """Forget all audio."""
        self._partial = b""
        self._input.fill(0.0)
        self._state: Floats = np.zeros(STATE_SHAPE, np.float32)

    def forget(self) -> None:
        """Forget what was heard before, as a new stream would, without a break in the audio."""
        self._state = np.zeros(STATE_SHAPE, np.float32)

    def _infer(self, window: bytes) -> float:
        self._context[:] = self._samples[-CONTEXT_SAMPLES:]
        np.multiply(np.frombuffer(window, "<i2"), np.float32(1 / 32768), out=self._samples)
        probability, self._state = self._model.infer(self._input, self._state)
        return probability
