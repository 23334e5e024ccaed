from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.text_to_speech import TextToSpeech, speak, speakable, words_at
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
    "...",
    "-",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def voice() -> AsyncIterator[TextToSpeech]:
    voice = TextToSpeech()
    await voice.start()
    yield voice
    await voice.close()


def samples(speech: Speech) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return np.frombuffer(speech.pcm, np.int16)


@pytest.mark.parametrize("text", SENTENCES)
def test_the_words_together_are_what_was_said(text: str) -> None:
    speech = speak(text, "en")
    assert "".join(word for _, word in speech.words) == speakable(text)


@pytest.mark.parametrize("text", SENTENCES)
def test_words_begin_in_order_and_inside_the_audio(text: str) -> None:
    speech = speak(text, "en")
    starts = [start for start, _ in speech.words]
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert starts[-1] < len(samples(speech))


def test_a_word_is_heard_where_it_is_said_to_begin() -> None:
    speech = speak("Hello, hello. Stop.", "en")
    start, word = speech.words[-1]
    assert word == "Stop."
    loud = np.abs(samples(speech).astype(int)) > 1_000
    pause = int(0.1 * SPEECH_SAMPLE_RATE)
    assert not loud[start - pause : start].any()
    assert loud[start : start + 2 * pause].any()


def test_speech_is_audible_unclipped_and_ends_in_a_short_pause() -> None:
    pcm = np.abs(samples(speak("The Save button is at the top left of your screen.", "en")).astype(int))
    loud = np.flatnonzero(pcm > 1_000)
    assert 8_000 < pcm.max() < 32_000
    assert loud[0] < 0.05 * SPEECH_SAMPLE_RATE
    assert 0.1 * SPEECH_SAMPLE_RATE < len(pcm) - loud[-1] < 0.35 * SPEECH_SAMPLE_RATE


def test_a_sentence_takes_the_time_a_person_takes() -> None:
    assert 1.5 < len(samples(speak("The Save button is at the top left.", "en"))) / SPEECH_SAMPLE_RATE < 3.0


def test_blank_text_is_silence() -> None:
    assert speak(" \n", "en") == Speech(b"", ())


@pytest.mark.parametrize("language", ["en-US", "en_GB", "de-DE", "fr", "es-MX"])
def test_a_region_that_is_not_known_falls_back_to_its_language(language: str) -> None:
    assert speak("Hello 12", language).pcm


def test_marks_outside_the_words_lose_no_text() -> None:
    assert words_at("one two", [(0, 5), (4, 3), (90, 9)]) == [(5, "one "), (5, "two")]
    assert words_at("one two", []) == [(0, "one two")]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_worker_speaks(voice: TextToSpeech) -> None:
    speech = await voice.synthesize("Where is save?", language="en-US")
    assert [word for _, word in speech.words] == ["Where ", "is ", "save?"]
    assert np.abs(samples(speech).astype(int)).max() > 8_000


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("text", "language"), [("hello", "tlh-none"), ("123456789 " * 3_000, "en")])
async def test_what_cannot_be_said_is_an_engine_fault_and_the_next_is_said(
    voice: TextToSpeech, text: str, language: str
) -> None:
    with pytest.raises(MediaError) as caught:
        await voice.synthesize(text, language=language)
    assert caught.value.code is FaultCode.ENGINE_INTERNAL
    assert (await voice.synthesize("Hello.")).pcm
