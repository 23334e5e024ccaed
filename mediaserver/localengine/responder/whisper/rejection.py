"""Rejects words that nobody said: Whisper was trained on subtitles, and finds words in noise and silence too."""

import zlib
from enum import StrEnum
from itertools import pairwise
from math import exp

from mediaserver.localengine.responder.whisper.decoder import Decoding

# Measured with tiny.en at 15 s: recorded and synthetic sentences, clean and down to 5 dB, have at most 0.32; silence,
# white and brown noise, tones, music, keys, coughs and the babble of eight voices at least 0.60.
MAX_NO_SPEECH = 0.5

# openai/whisper, transcribe.py: logprob_threshold and compression_ratio_threshold.
MIN_MEAN_LOG_PROBABILITY = -1.0
MAX_COMPRESSION = 2.4

_MAX_REPEATS = 4  # of one word in a row; people stop at "no no no no"


class Rejection(StrEnum):
    """The reason why a decoding is not what somebody said."""

    NO_SPEECH = "no speech"
    UNLIKELY = "unlikely"
    LOOP = "loop"


def rejection_of(decoding: Decoding) -> Rejection | None:
    """Return why the text must not be believed, or None if it may be."""
    if decoding.no_speech > MAX_NO_SPEECH or not any(sign.isalnum() for sign in decoding.text):
        return Rejection.NO_SPEECH
    if _is_loop(decoding.text):
        return Rejection.LOOP
    if decoding.mean_log_probability < MIN_MEAN_LOG_PROBABILITY:
        return Rejection.UNLIKELY
    return None


def confidence_of(decoding: Decoding) -> float:
    """Return the probability (0 to 1) that there is speech, times the mean probability of a token."""
    probability = (1 - decoding.no_speech) * exp(decoding.mean_log_probability)
    return round(min(1.0, max(0.0, probability)), 3)


def _is_loop(text: str) -> bool:
    words = [word.strip(".,!?") for word in text.lower().split()]
    repeats = 1
    for word, following in pairwise(words):
        repeats = repeats + 1 if word == following else 1
        if repeats > _MAX_REPEATS:
            return True
    data = text.encode()
    return len(data) / len(zlib.compress(data)) > MAX_COMPRESSION
