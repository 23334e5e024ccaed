"""The guides that one user can follow: found by id, by number or by a request in words."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.guidance.guide import GUIDE_ID, ID_RULE, Guide, GuideError, parse_guide

MIN_MATCH = 0.5
"""Share of a request's words that a guide must have, one of them in its title; else it must have all of them."""

_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_FILLERS = frozenset(
    re.findall(
        r"\w+",
        "a an and at can could do for from get give guide help how i in is it let me my of on or please show start "
        "step steps the this through to us use user want wants we when with would you your",
    )
)


class GuideLibrary:
    """Guides in order; of two with one id the last counts, so that a user's own replaces one of the server's."""

    def __init__(self, guides: Iterable[Guide] = ()):
        self._by_id = {guide.id: guide for guide in guides}

    @property
    def guides(self) -> tuple[Guide, ...]:
        """All guides, in order."""
        return tuple(self._by_id.values())

    def get(self, guide_id: str) -> Guide | None:
        """Return the guide with this id."""
        return self._by_id.get(guide_id)

    def match(self, request: str) -> Guide | None:
        """Return the guide that a request such as "help me file an expense" or "guide two" names, or None."""
        if (guide := self.get(request.strip())) is not None:
            return guide
        if (number := _number(request)) is not None:
            return self.guides[number - 1] if number <= len(self._by_id) else None
        wanted = _content_words(request)
        if not wanted:
            return None
        scored = [(_score(guide, wanted), guide) for guide in self.guides]
        best, guide = max(scored, key=lambda pair: pair[0], default=((0.0, 0.0), None))
        has_title_word = best[1] > 0
        return guide if best[0] >= (MIN_MATCH if has_title_word else 1) else None


@dataclass(frozen=True, slots=True)
class LoadedGuides:
    """The guides of a folder, and one line for each file that is none."""

    guides: tuple[Guide, ...]
    faults: tuple[str, ...]


def load_guides(folder: Path) -> LoadedGuides:
    """Read every `.md` file of a folder, in the order of their names; raises `OSError` if there is no such folder."""
    guides: list[Guide] = []
    faults: list[str] = []
    for path in sorted(folder.iterdir()):
        if path.suffix != ".md":
            continue
        try:
            guides.append(read_guide(path))
        except GuideError as error:
            faults.append(str(error))
    return LoadedGuides(tuple(guides), tuple(faults))


def read_guide(path: Path) -> Guide:
    """Read one file; raises `GuideError` with its name and the line."""
    if not GUIDE_ID.fullmatch(path.stem):
        raise GuideError(f"the name of the file, without `.md`, takes {ID_RULE}", line=1, file=str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the file is not UTF-8"
        raise GuideError(f"cannot be read: {reason}", line=1, file=str(path)) from None
    return parse_guide(text, guide_id=path.stem, file=str(path))


def _score(guide: Guide, wanted: Sequence[str]) -> tuple[float, float]:
    """Return the shares of the wanted words that the guide has at all, and in its title."""
    title = set(_content_words(guide.title))
    known = title | set(_content_words(guide.when))
    return sum(word in known for word in wanted) / len(wanted), sum(word in title for word in wanted) / len(wanted)


def _number(request: str) -> int | None:
    """Read "guide two" or "2"."""
    match = re.fullmatch(r"(?:(?:start |the )*guide )?(?:number )?(\w+)", " ".join(request.casefold().split()))
    if match is None:
        return None
    if match[1] in _NUMBERS:
        return _NUMBERS.index(match[1]) + 1
    return int(match[1]) if re.fullmatch(r"[1-9][0-9]?", match[1]) else None


def _content_words(text: str) -> list[str]:
    words = re.findall(r"\w+", text.casefold())
    return list(dict.fromkeys(_stem(word) for word in words if word not in _FILLERS))


def _stem(word: str) -> str:
    # "filing expenses" asks for "File an expense".
    for ending in ("ing", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word
