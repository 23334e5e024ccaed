"""Noises to mix with speech, and to be heard alone: made from seeds, so that every run has the same."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]
"""16 kHz mono, in units of a 16-bit sample."""

RATE = 16_000
_LEVEL = 3_000.0
_AUDIBLE = 300.0


def with_noise(voice: Samples, decibel: float, seed: int = 0) -> Samples:
    """Add white noise at this ratio of the power of the voice, without its pauses, to that of the noise."""
    power = np.mean(voice[np.abs(voice) > _AUDIBLE] ** 2)
    sigma = np.sqrt(power / 10 ** (decibel / 10))
    return voice + np.random.default_rng(seed).normal(0, sigma, len(voice))


def white(seconds: float) -> Samples:
    """Return white noise."""
    return np.random.default_rng(1).normal(0, _LEVEL / 3, round(seconds * RATE))


def music(seconds: float) -> Samples:
    """Return plucked chords of three notes with overtones, four in a second."""
    random = np.random.default_rng(2)
    samples = np.zeros(round(seconds * RATE))
    for start in range(0, len(samples), RATE // 4):
        time = np.arange(len(samples) - start)[:RATE] / RATE
        for note in random.integers(0, 24, 3):
            hertz = 220.0 * 2 ** (note / 12)
            chord = sum(np.sin(2 * np.pi * hertz * tone * time) * np.exp(-3 * tone * time) / tone for tone in (1, 2, 3))
            samples[start : start + len(time)] += _LEVEL / 2 * chord
    return samples


def keys(seconds: float) -> Samples:
    """Return the clicks of a keyboard, six in a second."""
    return _bursts(seconds, per_second=6, length=0.025, decay=0.004, seed=3)


def coughs(seconds: float) -> Samples:
    """Return bursts of noise around 900 Hz, one in 1.5 s."""
    bursts = _bursts(seconds, per_second=0.7, length=0.375, decay=0.1, seed=4)
    spectrum = np.fft.rfft(bursts)
    hertz = np.fft.rfftfreq(len(bursts), 1 / RATE)
    return np.fft.irfft(spectrum * 3 / (1 + ((hertz - 900) / 700) ** 2), len(bursts))


def babble(voices: list[Samples], seconds: float, speakers: int = 8) -> Samples:
    """Return many people who speak at once, each the same recordings in an order and at a time of their own."""
    random = np.random.default_rng(5)
    length = round(seconds * RATE)
    mixed = np.zeros(length)
    for _ in range(speakers):
        said = np.concatenate([voices[each] for each in random.permutation(len(voices))])
        mixed += np.roll(np.resize(said, length), random.integers(length)) / np.sqrt(speakers)
    return mixed


def _bursts(seconds: float, *, per_second: float, length: float, decay: float, seed: int) -> Samples:
    random = np.random.default_rng(seed)
    samples = np.zeros(round(seconds * RATE))
    size = round(length * RATE)
    envelope = np.exp(-np.arange(size) / (decay * RATE))
    for start in random.integers(0, len(samples) - size, round(seconds * per_second)):
        samples[start : start + size] += random.normal(0, _LEVEL, size) * envelope
    return samples
