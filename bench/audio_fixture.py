"""The speech of a simulated user: a recorded sentence and background noise, encoded once as Opus packets."""

import wave
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from av import AudioFrame
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import CodecContext
from numpy.typing import NDArray

RECORDING = Path(__file__).parents[1] / "tests" / "data" / "go-forward-ten-meters.wav"
RATE = 48_000
FRAME = RATE // 50

CUT_LEVEL = 0.2
"""The sentence is cut where its level falls under this share of its loudest 20 ms, which makes its end sharp."""

_QUIET_SECONDS = 4
_NOISE_LEVEL = 12.0  # standard deviation of the noise, in 16-bit steps: no microphone gives digital silence
_BIT_RATE = 32_000  # as browsers use for speech


@dataclass(frozen=True, slots=True)
class VoicePackets:
    """Opus packets of 20 ms: `speech` is loud from its first to its last packet, `quiet` can be repeated."""

    speech: tuple[bytes, ...]
    quiet: tuple[bytes, ...]


def load_voice(path: Path = RECORDING) -> VoicePackets:
    """Encode the recording as a browser would: 48 kHz, mono, 32 kb/s; raises OSError or wave.Error."""
    pcm = trimmed(_read(path))
    spoken = len(pcm) // FRAME
    noise = np.random.default_rng(1).normal(0, _NOISE_LEVEL, (1 + _QUIET_SECONDS) * RATE)
    lead = noise[:RATE]
    packets = _encode(np.concatenate([lead, pcm + noise[: len(pcm)], noise]).astype(np.int16))
    start = len(lead) // FRAME
    # The first second after the sentence stays out of the loop: the encoder still carries the sentence there.
    return VoicePackets(tuple(packets[start : start + spoken]), tuple(packets[start + spoken + 50 :]))


def trimmed(pcm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the part between the first and the last loud 20 ms of 48 kHz audio, in whole frames."""
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(level >= CUT_LEVEL * level.max())
    kept: NDArray[np.float64] = frames[loud[0] : loud[-1] + 1].ravel()
    return kept


def _read(path: Path) -> NDArray[np.float64]:
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
    times = np.arange(round(len(samples) * RATE / rate)) * rate / RATE
    resampled: NDArray[np.float64] = np.interp(times, np.arange(len(samples)), samples)
    return resampled


def _encode(pcm: NDArray[np.int16]) -> list[bytes]:
    codec = CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    codec.sample_rate = RATE
    codec.layout = "mono"
    codec.format = "s16"
    codec.time_base = Fraction(1, RATE)
    codec.bit_rate = _BIT_RATE
    codec.options = {"application": "voip", "frame_duration": "20"}
    packets: list[bytes] = []
    for start in range(0, len(pcm) - FRAME + 1, FRAME):
        frame = AudioFrame("s16", "mono", FRAME)
        frame.sample_rate = RATE
        frame.planes[0].update(pcm[start : start + FRAME].tobytes())
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets
