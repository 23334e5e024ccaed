from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.word_errors import word_errors
from mediaserver.localengine.responder import speech_to_text as hearing
from mediaserver.localengine.responder.transcript import REJECTED, Transcript
from mediaserver.localengine.responder.whisper.decoder import LONG, SHORT, Decoder, Decoding, text_of
from mediaserver.localengine.responder.whisper.rejection import Rejection, confidence_of, rejection_of
from mediaserver.localengine.responder.whisper.transcription import parts_of, transcript_of
from pipeline.media import INPUT_SAMPLE_RATE
from tests.support.recordings import speech

RATE = INPUT_SAMPLE_RATE
CLEAR = Decoding("where is the save button", 0.05, -0.2, 6)
Samples = NDArray[np.float64]


@cache
def decoder() -> Decoder:
    model = hearing._packaged_model()
    assert model is not None
    return Decoder(model.folder, sha256=model.sha256)


def heard(samples: Samples) -> Transcript:
    return transcript_of(decoder(), samples.astype("<i2").tobytes(), "en")


def tone(hertz: float) -> Samples:
    return 8_000 * np.sin(2 * np.pi * hertz * np.arange(2 * RATE) / RATE)


def noise(level: float) -> Samples:
    return np.random.default_rng(3).normal(0, level, 2 * RATE)


def keys() -> Samples:
    random = np.random.default_rng(4)
    samples = np.zeros(2 * RATE)
    for start in random.integers(0, len(samples) - 400, 12):
        samples[start : start + 400] += random.normal(0, 9_000, 400) * np.exp(-np.arange(400) / 60)
    return samples


NO_SPEECH = {
    "silence": np.zeros(2 * RATE),
    "faint noise": noise(30),
    "loud noise": noise(5_000),
    "a tone": tone(440),
    "beeps": tone(440) * (np.arange(2 * RATE) // 4_000 % 2),
    "keys": keys(),
    "a constant": np.full(2 * RATE, 5_000.0),
}


@pytest.mark.parametrize("kind", NO_SPEECH)
def test_what_is_no_speech_is_not_put_into_words(kind: str) -> None:
    assert heard(NO_SPEECH[kind]).text == ""


@pytest.mark.parametrize("decibel", [20, 10, 5])
def test_a_person_is_understood_in_noise(decibel: float) -> None:
    voice = speech().astype(float)
    power = np.mean(voice[np.abs(voice) > 300] ** 2)
    noisy = voice + np.random.default_rng(0).normal(0, np.sqrt(power / 10 ** (decibel / 10)), len(voice))
    assert word_errors("go forward ten meters", heard(noisy).text) <= 1


def test_the_same_audio_is_the_same_text_whatever_was_said_before() -> None:
    voice = speech().astype(float)
    alone = heard(voice)
    for before in (NO_SPEECH["beeps"], voice[::-1], voice * 0.1):
        heard(before)
        assert heard(voice) == alone


@pytest.mark.parametrize("length", [0, 1, 2, 2_001])
def test_a_moment_of_audio_is_nothing(length: int) -> None:
    assert transcript_of(decoder(), bytes(length), "en") == REJECTED


class ScriptedDecoder(Decoder):
    """Decodes what a test says, and records what it was asked for."""

    def __init__(self, *decodings: Decoding) -> None:
        self.decodings = list(decodings)
        self.asked: list[tuple[float, int]] = []

    def decode(self, samples: NDArray[np.float32], *, seconds: int, language: str) -> Decoding:
        self.asked.append((len(samples) / RATE, seconds))
        return self.decodings.pop(0)


def transcribed(model: ScriptedDecoder, seconds: float) -> Transcript:
    return transcript_of(model, bytes(2 * int(seconds * RATE)), "en")


@pytest.mark.parametrize(
    "doubtful",
    [Decoding("be " * 40, 0.1, -0.1, 40), Decoding("Fine settings.", 0.1, -1.2, 3)],
    ids=["loop", "unlikely"],
)
def test_what_is_doubtful_is_decoded_once_more_in_a_full_window(doubtful: Decoding) -> None:
    model = ScriptedDecoder(doubtful, CLEAR)
    assert transcribed(model, 2).text == CLEAR.text
    assert model.asked == [(2, SHORT), (2, LONG)]


def test_what_stays_doubtful_is_rejected_with_its_low_confidence() -> None:
    doubtful = Decoding("Fine settings.", 0.1, -1.2, 3)
    assert transcribed(ScriptedDecoder(doubtful, doubtful), 2) == Transcript("", confidence_of(doubtful))


def test_noise_is_not_decoded_twice() -> None:
    model = ScriptedDecoder(Decoding("you", 0.9, -1.5, 1))
    assert transcribed(model, 2).text == ""
    assert model.asked == [(2, SHORT)]


def test_a_long_utterance_is_cut_into_windows_and_its_rejected_parts_are_left_out() -> None:
    model = ScriptedDecoder(CLEAR, Decoding("you", 0.9, -1.5, 1), Decoding("please", 0.05, -0.2, 6))
    assert transcribed(model, 60) == Transcript("where is the save button please", confidence_of(CLEAR))
    assert [seconds for _, seconds in model.asked] == [LONG, LONG, SHORT]


def test_long_audio_is_cut_where_it_is_quietest() -> None:
    samples = np.ones(40 * RATE, np.float32)
    samples[27 * RATE : 27 * RATE + RATE // 2] = 0.0
    parts = list(parts_of(samples))
    assert sum(map(len, parts)) == len(samples)
    assert 27 * RATE <= len(parts[0]) <= 27.5 * RATE


@pytest.mark.parametrize(
    ("decoding", "reason"),
    [
        (CLEAR, None),
        (Decoding("no no no", 0.1, -0.3, 3), None),
        (Decoding("Thank you.", 0.6, -0.3, 3), Rejection.NO_SPEECH),
        (Decoding(". . .", 0.1, -0.3, 3), Rejection.NO_SPEECH),
        (Decoding("Be, be be be. be be", 0.1, -0.1, 6), Rejection.LOOP),
        (Decoding("I am here. " * 12, 0.1, -0.1, 40), Rejection.LOOP),
        (Decoding("Phil.", 0.1, -1.2, 2), Rejection.UNLIKELY),
    ],
)
def test_words_are_believed_only_with_evidence(decoding: Decoding, reason: Rejection | None) -> None:
    assert rejection_of(decoding) is reason


def test_confidence_falls_with_doubt_about_words_and_about_speech() -> None:
    assert confidence_of(CLEAR) == pytest.approx(0.95 * np.exp(-0.2), abs=1e-3)
    assert confidence_of(Decoding("a", 0.0, 0.1, 1)) == 1.0
    assert confidence_of(Decoding("a", 1.0, -5.0, 1)) == 0.0


def test_tokens_are_bytes_and_special_ones_are_left_out() -> None:
    assert text_of(["<|en|>", "ĠCaf", "Ã", "©", "Ġ-", "ĠæĹ", "¥"]) == "Café - 日"
    assert text_of(["Ġa", "Ã"]) == "a\N{REPLACEMENT CHARACTER}"
