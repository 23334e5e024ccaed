import os
import re
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from mediaserver.localengine.responder.speech_to_text import (
    _GRAMMAR,
    LONGEST,
    NAMES,
    SENTENCES,
    SpeechToText,
    recognize,
)
from mediaserver.localengine.responder.voice import espeak as speaking
from pipeline.media import INPUT_SAMPLE_RATE

ROOT = Path(__file__).parents[4]
SPEECH = Path(os.environ.get("MEDIASERVER_SPEECH", ROOT.parent / "shared" / "speech"))
PEOPLE = sorted([*SPEECH.glob("*.wav"), ROOT / "tests" / "data" / "go-forward-ten-meters.wav"])

# Synthetic voices: they prove that the chain works, not how well people are understood. espeak-ng never says the same
# thing twice in the same samples; these sentences are judged alike each time.
ACCEPTED = {
    "en-us": ["hello", "what is on my screen", "where is the search field", "say that again", "goodbye", "thank you"],
    "en-us+f3": ["what do you see", "where is the save button", "where is save", "where is cancel", "what time is it"],
    "en-us+f2": ["what is on my screen", "where is the search field", "find the menu"],
}
REFUSED = {
    "en-us": ["I would like a pizza with cheese", "the weather is nice today", "turn on the lights in the kitchen"],
    "en-us+f3": ["how old is the president", "yesterday I bought a new car", "can you tell me a story"],
    "en-us+f2": ["what is the capital of France", "my dog is in the garden", "one two three four five"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recognizer() -> AsyncIterator[SpeechToText]:
    recognizer = SpeechToText()
    await recognizer.start()
    yield recognizer
    await recognizer.close()


def synthetic(text: str, voice: str) -> bytes:
    espeak = speaking._espeak()
    pcm, _ = espeak.synthesize(text, voice)
    frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
    frame.rate = espeak.rate
    resampler = av.AudioResampler(format="s16", layout="mono", rate=INPUT_SAMPLE_RATE)
    return b"".join(part.to_ndarray().tobytes() for part in [*resampler.resample(frame), *resampler.resample(None)])


def recorded(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (INPUT_SAMPLE_RATE, 1, 2)
        return bytes(file.readframes(file.getnframes()))


def essence(sentence: str | None) -> str | None:
    return sentence and re.sub(r"\bthe | (?:button|field|link|icon)$", "", sentence)


def tone(seconds: float = 2.0) -> NDArray[np.float64]:
    return 8_000 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * INPUT_SAMPLE_RATE)) / INPUT_SAMPLE_RATE)


def noise(level: float) -> NDArray[np.float64]:
    return np.random.default_rng(3).normal(0, level, 2 * INPUT_SAMPLE_RATE)


NO_SPEECH = {
    "silence": np.zeros(2 * INPUT_SAMPLE_RATE),
    "quiet noise": noise(100),
    "loud noise": noise(5_000),
    "tone": tone(),
    "beeps": tone() * (np.arange(2 * INPUT_SAMPLE_RATE) // 4_000 % 2),
    "constant": np.full(2 * INPUT_SAMPLE_RATE, 5_000),
}


@pytest.mark.parametrize(("voice", "text"), [(voice, text) for voice, texts in ACCEPTED.items() for text in texts])
def test_a_synthetic_voice_is_understood(voice: str, text: str) -> None:
    assert essence(recognize(synthetic(text, voice))) == essence(text)


@pytest.mark.parametrize(("voice", "text"), [(voice, text) for voice, texts in REFUSED.items() for text in texts])
def test_a_synthetic_sentence_outside_the_grammar_is_not_made_a_command(voice: str, text: str) -> None:
    assert recognize(synthetic(text, voice)) is None


@pytest.mark.parametrize("path", PEOPLE, ids=lambda path: path.stem)
def test_a_person_who_says_something_else_is_not_understood(path: Path) -> None:
    assert recognize(recorded(path)) is None


@pytest.mark.parametrize("gain", [0.02, 0.4])
def test_a_quiet_voice_is_understood_too(gain: float) -> None:
    loud = np.frombuffer(synthetic("what is on my screen", "en-us+f3"), np.int16)
    assert recognize((loud * gain).astype(np.int16).tobytes()) == "what is on my screen"


@pytest.mark.parametrize(("voice", "text"), [("en-us", "thank you"), ("en-us+f2", "where is the save button")])
def test_a_command_cut_out_without_any_pause_is_understood(voice: str, text: str) -> None:
    pcm = np.frombuffer(synthetic(text, voice), np.int16)
    loud = np.flatnonzero(np.abs(pcm.astype(int)) > 300)
    assert essence(recognize(pcm[loud[0] : loud[-1]].tobytes())) == essence(text)


@pytest.mark.parametrize("kind", NO_SPEECH)
def test_what_is_no_speech_is_not_understood(kind: str) -> None:
    assert recognize(NO_SPEECH[kind].astype(np.int16).tobytes()) is None


def test_a_command_inside_other_speech_is_not_obeyed() -> None:
    person = recorded(ROOT / "tests" / "data" / "go-forward-ten-meters.wav")
    assert recognize(person + synthetic("stop", "en-us+f3") + person) is None


@pytest.mark.parametrize(("voice", "text"), [("en-us+f3", "what can you"), ("en-us+f2", "find the")])
def test_a_command_that_is_broken_off_is_not_understood(voice: str, text: str) -> None:
    assert recognize(synthetic(text, voice)) is None


def test_every_name_can_be_asked_for() -> None:
    assert all(f"where is the {name} button" in SENTENCES and name in _GRAMMAR for name in NAMES)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_worker_hears_what_would_be_heard_here(recognizer: SpeechToText) -> None:
    assert await recognizer.transcribe(synthetic("where is the save button", "en-us+f3")) == "where is the save button"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("pcm", [b"", b"\0", b"\0" * 2_001, b"\0" * int(2 * INPUT_SAMPLE_RATE * (LONGEST + 1))])
async def test_what_is_too_short_or_too_long_is_no_command(recognizer: SpeechToText, pcm: bytes) -> None:
    assert await recognizer.transcribe(pcm) is None
