"""Silero VAD: exact windows, carried state, and reported failures."""

import sys
import wave
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.vad import (
    MODEL,
    WINDOW_BYTES,
    WINDOW_SECONDS,
    Floats,
    ModelMissingError,
    SileroVad,
    VadModel,
    Window,
)
from pipeline.errors import AudioError, FaultCode
from pipeline.media import AudioChunk

VOICE = Path(__file__).parents[2] / "data" / "go-forward-ten-meters.wav"


def voice() -> bytes:
    with wave.open(str(VOICE)) as recording:
        pcm: bytes = recording.readframes(recording.getnframes())
        return pcm


@pytest.fixture(scope="module")
def model() -> VadModel:
    return VadModel()


def judged(vad: SileroVad, pcm: bytes, pts: float = 0.0) -> list[Window]:
    return list(vad.push(AudioChunk(pcm, 16_000, pts)))


def test_a_person_speaking_is_speech_and_silence_is_not(model: VadModel) -> None:
    windows = judged(SileroVad(model), bytes(16_000) + voice() + bytes(16_000))
    spoken = [window for window in windows if window.probability >= 0.5]
    assert spoken[0].pts == pytest.approx(1.0, abs=0.1)  # speech begins half a second into the recording
    assert spoken[-1].end == pytest.approx(2.78, abs=0.1)
    assert len(spoken) == pytest.approx((spoken[-1].end - spoken[0].pts) / WINDOW_SECONDS, abs=2)
    assert max(window.probability for window in windows[:15]) < 0.1


def test_windows_are_32_ms_without_a_gap_and_hold_the_samples_that_were_pushed(model: VadModel) -> None:
    pcm = voice()
    windows = judged(SileroVad(model), pcm, pts=7.0)
    assert b"".join(window.pcm for window in windows) == pcm[: len(windows) * WINDOW_BYTES]
    assert [window.pts for window in windows] == pytest.approx([7.0 + i * 0.032 for i in range(len(windows))])
    assert len(pcm) - len(windows) * WINDOW_BYTES < WINDOW_BYTES


@settings(max_examples=25)
@given(sizes=st.lists(st.integers(min_value=0, max_value=1_500), max_size=12))
def test_any_chunking_gives_the_same_windows(model: VadModel, sizes: list[int]) -> None:
    pcm = voice()[16_000:32_000]
    whole = judged(SileroVad(model), pcm)
    vad, parts, taken = SileroVad(model), list[Window](), 0
    for size in [*sizes, len(pcm)]:
        part = pcm[taken : taken + 2 * size]
        parts += judged(vad, part, pts=taken / 32_000)
        taken += len(part)
    assert [(part.pcm, part.probability) for part in parts] == [(one.pcm, one.probability) for one in whole]
    assert [part.pts for part in parts] == pytest.approx([one.pts for one in whole])


def test_every_window_is_judged_after_the_last_64_samples_of_the_one_before(model: VadModel) -> None:
    samples = np.frombuffer(voice(), "<i2").astype(np.float32) / 32_768
    padded, state, expected = np.concatenate([np.zeros(64, np.float32), samples]), np.zeros((2, 1, 128), np.float32), []
    for start in range(0, len(samples) - 511, 512):
        probability, state = model.infer(padded[start : start + 576].reshape(1, 576), state)
        expected.append(probability)
    assert [window.probability for window in judged(SileroVad(model), voice())] == pytest.approx(expected, abs=1e-6)


def test_one_model_serves_streams_that_do_not_disturb_each_other(model: VadModel) -> None:
    pcm = voice()
    alone = judged(SileroVad(model), pcm)
    one, other, together = SileroVad(model), SileroVad(model), list[Window]()
    for start in range(0, len(pcm), 640):
        together += judged(one, pcm[start : start + 640], pts=start / 32_000)
        judged(other, np.random.default_rng(start).bytes(640))
    assert [window.probability for window in together] == [window.probability for window in alone]


def test_samples_before_a_gap_are_joined_to_what_follows_in_its_time(model: VadModel) -> None:
    vad = SileroVad(model)
    assert judged(vad, bytes(640), pts=0.0) == []
    (window,) = judged(vad, bytes(640), pts=1.0)
    assert window.pts == pytest.approx(0.98)


def test_reset_makes_the_stream_new(model: VadModel) -> None:
    vad, pcm = SileroVad(model), voice()
    first = judged(vad, pcm)
    vad.reset()
    assert judged(vad, pcm) == first


def test_another_rate_is_an_audio_error(model: VadModel) -> None:
    with pytest.raises(AudioError):
        list(SileroVad(model).push(AudioChunk(bytes(960), 48_000, 0.0)))


def test_no_probability_is_a_fault_and_not_silence(model: VadModel) -> None:
    state = np.full((2, 1, 128), np.nan, np.float32)
    with pytest.raises(AudioError) as raised:
        model.infer(np.zeros((1, 576), np.float32), state)
    assert raised.value.code is FaultCode.AUDIO_PROCESSING_ERROR


@pytest.mark.parametrize("shape", [(1, 576, 1), (576,)])
def test_a_model_that_fails_is_a_fault_and_not_silence(model: VadModel, shape: tuple[int, ...]) -> None:
    samples: Floats = np.zeros(shape, np.float32)
    with pytest.raises(AudioError):
        model.infer(samples, np.zeros((2, 1, 128), np.float32))


def test_a_fault_leaves_the_state_of_the_last_good_window() -> None:
    class Flaky(VadModel):
        fails = False

        def infer(self, samples: Floats, state: Floats) -> tuple[float, Floats]:
            if self.fails:
                raise AudioError("broken", where="test")
            return super().infer(samples, state)

    flaky = Flaky()
    vad = SileroVad(flaky)
    judged(vad, voice()[:20_480])
    flaky.fails = True
    with pytest.raises(AudioError):
        judged(vad, voice()[20_480:21_504])
    flaky.fails = False
    (window,) = judged(vad, voice()[21_504:22_528])
    assert 0.0 <= window.probability <= 1.0


def test_the_package_and_torch_are_not_imported(model: VadModel) -> None:
    assert "silero_vad" not in sys.modules
    assert "torch" not in sys.modules


def test_the_model_is_that_of_the_locked_package() -> None:
    package = distribution("silero-vad")
    published = Path(str(package.locate_file("silero_vad/data/silero_vad.onnx")))
    assert sha256(MODEL.read_bytes()).hexdigest() == sha256(published.read_bytes()).hexdigest()
    (license_file,) = [file for file in package.files or () if file.name == "LICENSE"]
    assert MODEL.with_name("LICENSE").read_text() == license_file.read_text()


def test_a_missing_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match=r"nowhere\.onnx cannot be read"):
        VadModel(tmp_path / "nowhere.onnx")


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    path = tmp_path / "silero_vad.onnx"
    path.write_bytes(b"this is not a model")
    with pytest.raises(ModelMissingError, match=r"silero_vad\.onnx cannot be read"):
        VadModel(path)
