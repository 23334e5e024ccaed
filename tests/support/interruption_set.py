"""Sounds that interrupt an answer: noises, backchannels, and people who mean it; all made from a fixed seed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mediaserver.localengine.responder.voice.espeak import speak
from pipeline.media import SPEECH_SAMPLE_RATE

RATE = SPEECH_SAMPLE_RATE
VOICES = ("en", "en-gb")

BACKCHANNELS = ("mhm", "uh-huh", "okay", "yeah", "right", "I see", "hmm", "oh", "sure", "got it")
REAL = (
    *("stop", "wait", "no", "stop it", "no, not that", "wait a moment", "hold on", "what", "go back", "say that again"),
    *("where is the save button", "that is wrong", "I meant the other one", "can you repeat that", "open settings"),
    *("please be quiet", "next step", "which menu", "never mind", "okay, stop"),
)


@dataclass(frozen=True, slots=True)
class Sound:
    """24 kHz mono PCM, what a transcript of it says, and whether it takes the floor."""

    name: str
    pcm: bytes
    words: str
    is_real: bool


def sounds() -> Iterator[Sound]:
    """Yield 20 noises, 20 backchannels and 40 real interruptions."""
    for number in range(20):
        make = (_cough, _click, _keys, _thump, _throat)[number % 5]
        yield Sound(f"{make.__name__[1:]} {number}", _pcm(make(np.random.default_rng(number))), "", False)
    for texts, is_real in ((BACKCHANNELS, False), (REAL, True)):
        for voice in VOICES:
            yield from (Sound(f"{text} ({voice})", speak(text, voice).pcm, text, is_real) for text in texts)


def _pcm(samples: NDArray[np.float64]) -> bytes:
    pcm: bytes = (samples / np.abs(samples).max() * 16_000).astype("<i2").tobytes()
    return pcm


def _noise(chance: np.random.Generator, seconds: float, decay: float) -> NDArray[np.float64]:
    length = int(seconds * RATE)
    return chance.standard_normal(length) * np.exp(-np.arange(length) / (decay * RATE))


def _formants(samples: NDArray[np.float64], *formants: float) -> NDArray[np.float64]:
    """Let noise sound as through a mouth: peaks of 150 Hz at the formants."""
    spectrum = np.fft.rfft(samples)
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    gain = sum(1 / (1 + ((hertz - formant) / 150) ** 2) for formant in formants) + 0.02
    return np.fft.irfft(spectrum * gain, len(samples))


def _cough(chance: np.random.Generator) -> NDArray[np.float64]:
    burst = _noise(chance, 0.35, 0.06)
    return np.concatenate([_formants(burst, 500, 1_200, 2_500) for _ in range(int(chance.integers(1, 3)))])


def _click(chance: np.random.Generator) -> NDArray[np.float64]:
    return np.concatenate([_noise(chance, 0.05, 0.002), np.zeros(RATE // 10), _noise(chance, 0.05, 0.002)])


def _keys(chance: np.random.Generator) -> NDArray[np.float64]:
    return np.concatenate([_noise(chance, float(chance.uniform(0.08, 0.2)), 0.01) for _ in range(8)])


def _thump(chance: np.random.Generator) -> NDArray[np.float64]:
    time = np.arange(RATE // 2) / RATE
    return np.sin(2 * np.pi * chance.uniform(60, 120) * time) * np.exp(-time / 0.08)


def _throat(chance: np.random.Generator) -> NDArray[np.float64]:
    length = int(0.5 * RATE)
    pulses = np.zeros(length)
    pulses[:: int(RATE / chance.uniform(70, 110))] = 1.0
    return _formants(pulses + 0.05 * chance.standard_normal(length), 600, 1_000, 2_400)
