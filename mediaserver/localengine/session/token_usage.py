"""Token counts of one turn, estimated: this engine has no tokenizer."""

import json
import math

from mediaserver.localengine.responder.interface import Call, Question
from pipeline.media import INPUT_SAMPLE_RATE, SAMPLE_BYTES

_AUDIO_PER_SECOND = 25  # ai.google.dev, Live API: in and out
_CHARACTERS_PER_TOKEN = 4  # ai.google.dev, "Understand and count tokens"
_IMAGE = 256
_IMAGE_BY_RESOLUTION = {"MEDIA_RESOLUTION_LOW": 64}  # google-genai types.MediaResolution


def prompt_tokens(question: Question, media_resolution: str | None) -> dict[str, int]:
    """Count the tokens of one question; earlier turns are not processed again."""
    counts = {
        "TEXT": _text_tokens(question.text or ""),
        "AUDIO": audio_tokens(len(question.audio) / (SAMPLE_BYTES * INPUT_SAMPLE_RATE)),
        "IMAGE": _IMAGE_BY_RESOLUTION.get(media_resolution or "", _IMAGE) if question.screen is not None else 0,
    }
    return {kind: count for kind, count in counts.items() if count}


def audio_tokens(seconds: float) -> int:
    """Count the tokens of audio, in either direction."""
    return math.ceil(round(seconds * _AUDIO_PER_SECOND, 6))


def call_tokens(call: Call) -> int:
    """Count the tokens of a function call, as text."""
    return _text_tokens(call.name + json.dumps(dict(call.args)))


def _text_tokens(text: str) -> int:
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)
