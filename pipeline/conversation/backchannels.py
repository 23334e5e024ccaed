"""Backchannels: what people say to show that they listen, and not to take the floor."""

import re

# Sounds however they are spelled (mm-hmm, uhhuh, hmmm), and words. Never one that stops the assistant or answers it.
_WORD = re.compile(r"m+(?:h+m+)?|h+m+|u+h+(?:u+h+)?|u+m+|a+h+|o+h+|huh|wow|yeah|yep|yup|ok|okay|right|sure")
_PHRASE = re.compile(r"\b(?:uh huh|mm h?mm|i see|go on|got it)\b")
# Speech recognition writes other sounds like this: [coughs], (sighs), *click*.
_SOUND = re.compile(r"\[[^\]]*\]|\([^)]*\)|\*[^*]*\*")


def is_backchannel(text: str) -> bool:
    """Whether nothing in this transcript takes the floor; true of one without words."""
    text = _PHRASE.sub(" ", _SOUND.sub(" ", text.lower()).replace("-", ""))
    return all(_WORD.fullmatch(word) for word in re.findall(r"[^\W_]+", text))
