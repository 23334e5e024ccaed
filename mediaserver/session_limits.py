"""Limits of the session options that clients set, shared by every transport and the user settings."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from pipeline.guidance.guide import GUIDE_ID, ID_RULE

MAX_INSTRUCTIONS = 8_000
"""Characters that a client may add to the assistant's instructions."""

MIN_SILENCE_MS = 96
"""Shortest silence that may end an utterance: three VAD windows."""

MAX_SILENCE_MS = 5_000
"""Longest silence that may end an utterance."""


@dataclass(frozen=True, slots=True)
class TextRule:
    """A regular expression that the whole of a text must match, and its description for people."""

    regex: re.Pattern[str]
    """Anchored at both ends, and the same in Python, in Rust and in JSON Schema."""
    description: str

    def matches(self, text: str) -> bool:
        """Whether the rule accepts `text`; a lone surrogate is never accepted, as no UTF-8 holds it."""
        return self.regex.fullmatch(text) is not None and _SURROGATE.search(text) is None


_SURROGATE = re.compile("[\ud800-\udfff]")

LABEL = TextRule(re.compile(r"^[^\x00-\x1f\x7f]{1,128}$"), "1 to 128 printable characters")
MODEL = TextRule(re.compile(r"^[A-Za-z0-9._/:-]{1,128}$"), "a model's name, such as gemini-3.8-live")
LANGUAGE = TextRule(re.compile(r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}$"), "a BCP 47 tag, such as en or pt-BR")
VOICE = TextRule(re.compile(r"^[A-Za-z0-9 ._-]{1,64}$"), "a voice's name, such as Kore")
GUIDE = TextRule(GUIDE_ID, f"a guide's id: {ID_RULE}")
INSTRUCTIONS = f"a string of at most {MAX_INSTRUCTIONS} characters"


def normalize_language(tag: str) -> str:
    """Write a language tag with hyphens: clients send the POSIX form too, such as pt_BR."""
    return tag.replace("_", "-")


Label = Annotated[str, Field(pattern=LABEL.regex.pattern, description=LABEL.description)]
"""The client's own name of a session."""

Model = Annotated[str, Field(pattern=MODEL.regex.pattern, description=MODEL.description)]
Language = Annotated[
    str, Field(pattern=LANGUAGE.regex.pattern, description=LANGUAGE.description), AfterValidator(normalize_language)
]
"""A language tag; `_` becomes `-`."""

GuideId = Annotated[str, Field(pattern=GUIDE.regex.pattern, description=GUIDE.description)]
Voice = Annotated[str, Field(pattern=VOICE.regex.pattern, description=VOICE.description)]
Instructions = Annotated[str, Field(max_length=MAX_INSTRUCTIONS, description=INSTRUCTIONS)]
