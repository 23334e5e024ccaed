"""The values that flow through the pipeline: audio chunks and frames."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]

SAMPLE_BYTES = 2

INPUT_SAMPLE_RATE = 16_000
"""Sample rate (Hz) of microphone audio for the VAD and the engine."""

SPEECH_SAMPLE_RATE = 24_000
"""Sample rate (Hz) of the assistant's speech, from the engine to playout."""


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Mono 16-bit little-endian PCM at `rate` Hz, stamped with the session time (s) of its first sample."""

    pcm: bytes
    rate: int
    pts: float

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / (SAMPLE_BYTES * self.rate)


@dataclass(frozen=True, slots=True, eq=False)
class ScreenFrame:
    """One decoded picture as planar YUV 4:2:0.

    `y` is (height, width) uint8; `u` and `v` are (ceil(height / 2), ceil(width / 2)) uint8. Rows may be strided.
    `full_range` distinguishes 0-255 (JPEG) from 16-235 (video) levels. `arrived` is the monotonic clock (s) at arrival.
    `is_live`: of a video, which repeats a still screen; a single picture holds until the next one.
    """

    y: Plane
    u: Plane
    v: Plane
    full_range: bool
    arrived: float
    is_live: bool = False

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.y.shape[1])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.y.shape[0])


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """A screen frame for the engine: a full-range JPEG. `number` counts the frames of one conversation."""

    jpeg: bytes
    width: int
    height: int
    number: int
    arrived: float


@dataclass(frozen=True, slots=True)
class SpeechFrame:
    """20 ms of the assistant's speech, due now: 24 kHz mono PCM (960 bytes) and the same as one Opus packet."""

    turn: int
    pcm: bytes
    opus: bytes
