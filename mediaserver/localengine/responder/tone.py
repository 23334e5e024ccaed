"""A brain that answers everything with a tone, for benchmarks and simulations: the same words at the same places."""

from mediaserver.localengine.responder.interface import Speech
from mediaserver.localengine.responder.scripted import Rule, ScriptedResponder, tone
from pipeline.media import SPEECH_SAMPLE_RATE

WORD_SECONDS = 0.4
"""From one word to the next: a multiple of the 40 ms in which audio leaves, so every word is exactly in its place."""
HEARD = "tone"
"""What every utterance is understood to be."""

_FREQUENCY = 440.0


def tone_responder(seconds: float) -> ScriptedResponder:
    """Make the brain whose every answer is `seconds` of tone that count: 1 at 0 s, 2 at 0.4 s and so on."""
    pcm = tone(_FREQUENCY, seconds)
    step = round(WORD_SECONDS * SPEECH_SAMPLE_RATE)
    words = tuple((start, f"{number} ") for number, start in enumerate(range(0, len(pcm) // 2, step), start=1))
    return ScriptedResponder([Rule((Speech(pcm, words),), HEARD)])
