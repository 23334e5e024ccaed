"""Words as they are written and as they are spoken, and their places in the audio."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Word:
    """Part of a text as written, with the white space around it, and the words that it is spoken as ("" for none)."""

    written: str
    spoken: str


def as_written(text: str) -> tuple[Word, ...]:
    """Split a text into words that are spoken as they are written; together they are the text."""
    tokens = [match.group() for match in re.finditer(r"\S+\s*", text)]
    if tokens:
        tokens[0] = text[: len(text) - len(text.lstrip())] + tokens[0]
    return tuple(Word(token, token.strip()) for token in tokens)


def spoken_text(words: Sequence[Word]) -> str:
    """Return what is spoken, with one space between words."""
    return " ".join(word.spoken for word in words if word.spoken)


def align(words: Sequence[Word], marks: Iterable[tuple[int, int]]) -> tuple[tuple[int, str], ...]:
    """Return (first sample, written text) of every word, from marks of (character of `spoken_text`, sample).

    A word that is spoken as several ("12:45") begins with the first of them. One that has no mark ("-") goes with the
    word before it. The texts together are the written text, and the samples never decrease.
    """
    if not words:
        return ()
    starts, owners, position = [], [], 0
    for index, word in enumerate(words):
        if word.spoken:
            starts.append(position)
            owners.append(index)
            position += len(word.spoken) + 1
    first: dict[int, int] = {}
    for character, sample in marks:
        if starts:
            first.setdefault(owners[max(0, bisect_right(starts, character) - 1)], sample)
    heard = sorted({0, *first})
    aligned = []
    latest = 0
    for index, following in zip(heard, [*heard[1:], len(words)], strict=True):
        latest = max(latest, first.get(index, 0))
        aligned.append((latest, "".join(word.written for word in words[index:following])))
    return tuple(aligned)


def without_controls(text: str) -> str:
    """Replace control characters but line ends, lone surrogates and unassigned signs by spaces; the length stays."""
    # espeak-ng obeys commands that begin with control-A, and a lone surrogate cannot be encoded.
    return "".join(
        sign if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cs", "Cn", "Co") else " " for sign in text
    )
