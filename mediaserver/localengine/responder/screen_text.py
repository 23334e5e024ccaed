"""Searches the text lines read on a screen."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from pipeline.events import Box
from pipeline.screen.read_text import ReadText

SURE = 0.6
"""Least confidence at which a match counts as found."""

LONGEST_QUOTE = 60  # characters; more is not listened to

_EXACT, _WHOLE_WORDS, _PART, _SIMILAR = 1.0, 0.95, 0.85, 0.8  # quality of a match; the last two are also thresholds
_LONGEST_COMPARED = 60  # characters
_NEAR = 0.6  # similarity from which on a label is offered instead


@dataclass(frozen=True, slots=True)
class Match:
    """A place that may match the question; `confidence` is the reader's times the match's quality."""

    label: str
    box: Box
    quality: float
    confidence: float

    @property
    def tier(self) -> float:
        """The kind of match; all inexact ones share one kind."""
        return max(self.quality, _SIMILAR)

    @property
    def is_literal(self) -> bool:
        """Whether the text is exactly the searched name."""
        return self.quality > _SIMILAR


def find(lines: Sequence[ReadText], names: Sequence[str]) -> tuple[Match, ...]:
    """Return the best matches of `names`, equally good, the likeliest first; empty if there is none."""
    by_name = [[(match, len(line.text)) for line in lines if (match := _match(line, name))] for name in names]
    best = max((match.tier for found in by_name for match, _ in found), default=0.0)
    equals = next(filter(None, ([pair for pair in found if pair[0].tier == best] for found in by_name)), [])
    # The fewer words stand around it, the more it looks like a label or a button.
    ranked = sorted(equals, key=lambda pair: (pair[1] - len(pair[0].label), -pair[0].confidence, pair[0].box))
    return tuple(match for match, _ in ranked)


def near(lines: Sequence[ReadText], names: Sequence[str], *, limit: int = 3) -> tuple[str, ...]:
    """Return labels similar to one of `names`, the most similar first."""
    similar = {
        quoted(line.text): max(_similarity(_squash(line.text), _squash(name)) for name in names)
        for line in lines
        if names and line.confidence >= SURE and _squash(line.text)
    }
    ranked = sorted(similar, key=lambda text: -similar[text])
    return tuple(text for text in ranked if similar[text] >= _NEAR)[:limit]


def place(box: Box) -> str:
    """Return the place of a box in words, such as "at the top left"."""
    ymin, xmin, ymax, xmax = box
    row, column = (min(2, (low + high) * 3 // 2_000) for low, high in ((ymin, ymax), (xmin, xmax)))
    return _PLACES[row][column]


def quoted(text: str) -> str:
    """Return text fit for use inside a sentence: one short line without quotes."""
    text = "".join(" " if unicodedata.category(sign)[0] == "C" else sign for sign in text)
    text = " ".join(re.sub(r'["“”„«»]', " ", text).split())
    if len(text) <= LONGEST_QUOTE:
        return text
    return text[:LONGEST_QUOTE].rsplit(" ", 1)[0] + "…"


_PLACES = (
    ("at the top left", "at the top in the middle", "at the top right"),
    ("in the middle on the left", "in the middle of the screen", "in the middle on the right"),
    ("at the bottom left", "at the bottom in the middle", "at the bottom right"),
)


def _match(line: ReadText, name: str) -> Match | None:
    wanted, said = _words(name), _words(line.text)
    if not wanted or not said:
        return None
    if _squash(name) == _squash(line.text):
        return _at(line, _EXACT, 0, len(line.text))
    for first in range(len(said) - len(wanted) + 1):
        if [word for word, _, _ in said[first : first + len(wanted)]] == [word for word, _, _ in wanted]:
            return _at(line, _WHOLE_WORDS, said[first][1], said[first + len(wanted) - 1][2])
    lowered = line.text.casefold()
    # The reader sometimes loses the space between two words.
    start = lowered.find(name.casefold()) if len(_squash(name)) >= 3 else -1
    if start >= 0 and len(lowered) == len(line.text):
        return _at(line, _PART, start, start + len(name))
    similarity = _similarity(_squash(name), _squash(line.text))
    # Short words resemble each other by chance.
    if similarity >= _SIMILAR and len(_squash(name)) >= 4:
        return _at(line, _SIMILAR * similarity, 0, len(line.text))
    return None


def _at(line: ReadText, quality: float, first: int, last: int) -> Match:
    """Match a part of a line; its box is the line's share, as if all letters were equally wide."""
    ymin, xmin, ymax, xmax = line.box
    width, length = xmax - xmin, len(line.text)
    box = (ymin, xmin + width * first // length, ymax, xmax - width * (length - last) // length)
    return Match(quoted(line.text[first:last]), box, quality, line.confidence * quality)


def _words(text: str) -> list[tuple[str, int, int]]:
    return [(_same(word[0].casefold()), word.start(), word.end()) for word in re.finditer(r"\w+", text)]


def _squash(text: str) -> str:
    return "".join(word for word, _, _ in _words(text))


def _same(word: str) -> str:
    return "ok" if word == "okay" else word


def _similarity(one: str, other: str) -> float:
    matcher = SequenceMatcher(None, one[:_LONGEST_COMPARED], other[:_LONGEST_COMPARED], autojunk=False)
    # The cheap upper bounds first: a full comparison with each of 400 lines would hold up the loop.
    if matcher.real_quick_ratio() < _NEAR or matcher.quick_ratio() < _NEAR:
        return 0.0
    return matcher.ratio()
