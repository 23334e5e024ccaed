"""Log-mel features: the same numbers as the reference, and the framing of samples."""

import importlib.util
import wave
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.audio.log_mel import Floats, log_mel, samples_of, standardized

VOICE = Path(__file__).parents[2] / "data" / "go-forward-ten-meters.wav"
LENGTH = 8 * 16_000


@pytest.fixture(scope="module")
def reference() -> Callable[[Floats], Floats]:
    """Load the features of pipecat-ai, itself derived from Hugging Face's, by path, as it is never imported."""
    path = distribution("pipecat-ai").locate_file("pipecat/audio/turn/smart_turn/_whisper_features.py")
    spec = importlib.util.spec_from_file_location("reference_features", str(path))
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    compute: Callable[[Floats], Floats] = module.compute_whisper_log_mel_features
    return compute


def voice() -> bytes:
    with wave.open(str(VOICE)) as recording:
        pcm: bytes = recording.readframes(recording.getnframes())
        return pcm


@pytest.mark.parametrize(
    "pcm",
    [
        pytest.param(voice(), id="a person"),
        pytest.param(voice() * 4, id="more than 8 s"),
        pytest.param(bytes(32_000), id="silence"),
        pytest.param(np.random.default_rng(1).bytes(100_000), id="noise"),
    ],
)
def test_the_features_are_those_of_the_reference(reference: Callable[[Floats], Floats], pcm: bytes) -> None:
    samples = samples_of(pcm, LENGTH)
    features = log_mel(standardized(samples))
    assert features.shape == (80, 800)
    assert features.dtype == np.float32
    assert np.abs(features - reference(samples)).max() < 1e-5


def test_a_tone_is_in_the_band_of_its_frequency() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
    loudest = log_mel(tone)[:, 10:-10].argmax(axis=0)
    assert set(loudest.tolist()) == {26}  # 15 of 45.2 mel is step 27 of 81, where the 27th triangle peaks


def test_other_numbers_of_bands_and_lengths_are_served() -> None:
    features = log_mel(samples_of(voice(), 30 * 16_000), bands=128)
    assert features.shape == (128, 3_000)


def test_short_audio_ends_the_samples_and_of_long_audio_the_end_is_kept() -> None:
    pcm = np.array([1, 2, 3], "<i2").tobytes()
    assert (samples_of(pcm, 5) * 32_768).tolist() == [0, 0, 1, 2, 3]
    assert (samples_of(pcm, 2) * 32_768).tolist() == [2, 3]


def test_standardized_samples_have_a_mean_of_0_and_a_variance_of_1() -> None:
    samples = standardized(samples_of(voice(), LENGTH))
    assert samples.mean() == pytest.approx(0.0, abs=1e-4)
    assert samples.var() == pytest.approx(1.0, abs=1e-3)
