"""Log-mel features as Whisper takes them, in numpy: the input of models that were trained beside or after it."""

from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.media import INPUT_SAMPLE_RATE

Floats = NDArray[np.float32]

# OpenAI's whisper/audio.py: 25 ms windows, one every 10 ms.
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160

_FLOOR = 1e-10  # of a mel band's power, before the logarithm
_RANGE = 8.0  # decades below the loudest band that are kept

# Slaney's Auditory Toolbox: linear up to 1 kHz, then logarithmic.
_HZ_PER_MEL = 200 / 3
_BREAK_HZ = 1_000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


def samples_of(pcm: bytes, length: int) -> Floats:
    """Return the last `length` samples of 16-bit PCM as float32 in -1 to 1; shorter audio ends an array of zeros."""
    kept = np.frombuffer(pcm, "<i2")[-length:]
    samples = np.zeros(length, np.float32)
    samples[length - len(kept) :] = kept * np.float32(1 / 32768)
    return samples


def standardized(samples: Floats) -> Floats:
    """Return the samples with a mean of 0 and a variance of 1, as Hugging Face's extractor does on request."""
    scaled: Floats = (samples - samples.mean()) / np.sqrt(samples.var() + np.float32(1e-7))
    return scaled


def log_mel(samples: Floats, *, bands: int = 80) -> Floats:
    """Return (bands, len(samples) // 160) float32 features of 16 kHz samples, about -1 to 1.

    Takes at least 201 samples; what does not fill a hop of 160 is left out.
    """
    padded = np.pad(samples, WINDOW_SAMPLES // 2, mode="reflect")
    windows = sliding_window_view(padded, WINDOW_SAMPLES)[::HOP_SAMPLES][: len(samples) // HOP_SAMPLES]
    spectrum = np.fft.rfft(windows * _hann_window(), axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    levels = np.log10(np.maximum(power @ _mel_filters(bands), _FLOOR)).T
    levels = np.maximum(levels, levels.max() - _RANGE)
    features: Floats = ((levels + 4.0) / 4.0).astype(np.float32)
    return features


@lru_cache(maxsize=1)
def _hann_window() -> NDArray[np.float64]:
    return np.hanning(WINDOW_SAMPLES + 1)[:-1]  # periodic


@lru_cache(maxsize=4)
def _mel_filters(bands: int) -> NDArray[np.float64]:
    """Return (201, bands) triangles of equal area, from 0 Hz to half the sample rate."""
    nyquist = INPUT_SAMPLE_RATE / 2
    edges = _hertz(np.linspace(0.0, _mel(nyquist), bands + 2))
    bins = np.linspace(0.0, nyquist, WINDOW_SAMPLES // 2 + 1)[:, np.newaxis]
    widths = np.diff(edges)
    rising = (bins - edges[:-2]) / widths[:-1]
    falling = (edges[2:] - bins) / widths[1:]
    triangles: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    return triangles


def _mel(hertz: float) -> float:
    """Convert a frequency of 1 kHz or more."""
    return float(_BREAK_MEL + np.log(hertz / _BREAK_HZ) / _LOG_STEP)


def _hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(
        mels < _BREAK_MEL,
        mels * _HZ_PER_MEL,
        _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mels, _BREAK_MEL) - _BREAK_MEL)),
    )
