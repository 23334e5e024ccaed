"""Cuts synthesized audio to what is audible, and puts its words in their places."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.voice.words import Word, align
from pipeline.media import SPEECH_SAMPLE_RATE

PAUSE = 0.2  # s of silence after a piece, which is a sentence more often than not
LEAD = 0.02  # s kept before the first sound
AUDIBLE = 150  # of 32,768


def as_speech(words: Sequence[Word], pcm: NDArray[np.int16], marks: Sequence[tuple[int, int]]) -> Speech:
    """Make speech of samples at 24 kHz and marks of (character of the spoken text, sample); blank text is silence."""
    if not words or not "".join(word.written for word in words).strip():
        return Speech(b"", ())
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > AUDIBLE)
    begin = max(0, int(loud[0]) - int(LEAD * SPEECH_SAMPLE_RATE)) if loud.size else 0
    end = int(loud[-1]) + 1 if loud.size else 0
    last = max(0, end - begin - 1)
    placed = [(min(max(0, sample - begin), last), text) for sample, text in align(words, marks)]
    placed[0] = (0, placed[0][1])
    padding = np.zeros(int(PAUSE * SPEECH_SAMPLE_RATE), np.int16)
    return Speech(np.concatenate([pcm[begin:end], padding]).tobytes(), tuple(placed))
