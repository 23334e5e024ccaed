"""Splits a text into parts to synthesize one by one, so that the first is heard while the rest is made."""

import re
from collections.abc import Iterator

from mediaserver.localengine.responder.voice.vocabulary import ABBREVIATIONS, TITLES

LONGEST_PART = 240
"""Characters of a part; a longer sentence is split at a clause, or between words. About 15 s of speech."""

_END = re.compile(r"(?<=[.!?…])[\"'”’)\]*_`]*\s+(?=\S)|\n\s*|(?<=[。！？])")
_CLAUSE = re.compile(r"(?<=[,;:—–)])\s+")
_SPACE = re.compile(r"\s+")


def parts(text: str) -> Iterator[str]:
    """Yield the sentences of a text, long ones in pieces; together they are the text."""
    start = 0
    for match in _END.finditer(text):
        if match.end() > start and _is_end(text, start, match.start()) and text[start : match.end()].strip():
            yield from _pieces(text[start : match.end()])
            start = match.end()
    if start < len(text):
        yield from _pieces(text[start:])


def _is_end(text: str, start: int, end: int) -> bool:
    if text[end - 1] != "." or "\n" in text[end : end + 1]:
        return True
    word = text[start:end].rsplit(maxsplit=1)[-1].lstrip("(\"“'‘[")
    is_initial = len(word) == 2 and word[0].isupper()  # J. Smith
    is_number = word[:-1].isdigit() and len(text[start:end].split()) == 1  # "1. Open the menu"
    is_short = word.lower() in ABBREVIATIONS and not text[end:].lstrip(" \"'”’)")[:1].isupper()
    return not (is_initial or is_number or is_short or word[:-1] in TITLES)


def _pieces(sentence: str) -> Iterator[str]:
    while len(sentence) > LONGEST_PART:
        cut = _last(_CLAUSE, sentence) or _last(_SPACE, sentence) or LONGEST_PART
        yield sentence[:cut]
        sentence = sentence[cut:]
    yield sentence


def _last(pattern: re.Pattern[str], sentence: str) -> int:
    # Not in the first third: a part of one word would sound chopped.
    ends = [match.end() for match in pattern.finditer(sentence, LONGEST_PART // 3, LONGEST_PART)]
    return ends[-1] if ends else 0
