"""A responder that answers every question with a tone, for benchmarks and simulations."""

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.scripted import Rule, ScriptedResponder, tone
from pipeline.media import SPEECH_SAMPLE_RATE

WORD_SECONDS = 0.4
"""Seconds from word to word: a multiple of the 40 ms audio grid, so every word keeps its exact place."""
HEARD = "tone"
"""The transcript of every utterance."""

_FREQUENCY = 440.0


def tone_responder(seconds: float) -> ScriptedResponder:
    """Create a responder whose every answer is `seconds` of tone that count: 1 at 0 s, 2 at 0.4 s and so on."""
    pcm = tone(_FREQUENCY, seconds)
    step = round(WORD_SECONDS * SPEECH_SAMPLE_RATE)
    words = tuple((start, f"{number} ") for number, start in enumerate(range(0, len(pcm) // 2, step), start=1))
    return ScriptedResponder([Rule((Speech(pcm, words),), HEARD)])
