"""Checks what OCR has read on a frame against the current step: done, another way, or a wrong turn."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from pipeline.events import Evidence, EvidenceSource
from pipeline.guidance.guide import Branch, GuideStep
from pipeline.screen.layout import Heading, ScreenLayout
from pipeline.screen.read_text import ReadText

SURE = 0.6
"""Least confidence at which a line counts as read."""

SIMILAR = 0.9
"""Least similarity of a line to the wanted words, for a letter that OCR has misread."""

MAX_QUOTE = 120
"""Characters that are kept and spoken of a line on the screen."""

_MIN_SIMILAR_LENGTH = 6  # shorter words resemble each other by chance

_ERROR = re.compile(
    r"\b(?:errors?|fail(?:ed|ure|s)?|denied|invalid|not (?:found|allowed|available|permitted|saved)|cannot|can't|"
    r"could ?n[o']t|unable|incorrect|wrong|expired|refused|forbidden|crashed|oops|went wrong|not responding)\b",
    re.IGNORECASE,
)


def find_text(lines: Iterable[ReadText], wanted: str) -> ReadText | None:
    """Return the line that says `wanted` as whole words, or nearly so; None if there is none."""
    words = _words(wanted)
    sure = [line for line in lines if line.confidence >= SURE]
    for line in sure:
        if _contains(_words(line.text), words):
            return line
    squashed = "".join(words)
    if len(squashed) < _MIN_SIMILAR_LENGTH:
        return None
    for line in sure:
        text = "".join(_words(line.text))
        # OCR sometimes loses the space between two words.
        if abs(len(text) - len(squashed)) <= 2 and _similarity(text, squashed) >= SIMILAR:
            return line
    return None


@dataclass(slots=True)
class StepCheck:
    """Checks one step from frame to frame.

    The words of `gone` must have been seen before. With `must_appear` those of `look_for` must have been missing
    before: the user has returned to the step, and what is on the screen is from the first time.
    """

    step: GuideStep
    must_appear: bool = False
    _was_seen: bool = False

    def look(self, lines: Sequence[ReadText], *, frame: int) -> Evidence | None:
        """Return the evidence on a frame that the step is done, or None."""
        step = self.step
        if step.gone is not None:
            line = find_text(lines, step.gone)
            if line is not None:
                self._was_seen = True
                return None
            if not self._was_seen:
                return None
        if step.look_for is not None and find_text(lines, step.look_for) is None:
            self.must_appear = False
            return None
        if step.look_for is not None and self.must_appear:
            return None
        return self.confirm(lines, frame=frame)

    def confirm(self, lines: Sequence[ReadText], *, frame: int) -> Evidence | None:
        """Return the evidence that the user is right that the step is done, whatever was seen before; or None."""
        step = self.step
        if not step.is_checkable or (step.gone is not None and find_text(lines, step.gone) is not None):
            return None
        if step.look_for is None:
            return Evidence(EvidenceSource.SCREEN, "", frame)
        found = find_text(lines, step.look_for)
        return None if found is None else Evidence(EvidenceSource.SCREEN, found.text[:MAX_QUOTE], frame)

    def branch(self, lines: Sequence[ReadText]) -> Branch | None:
        """Return the first branch whose words are on the screen."""
        return next((branch for branch in self.step.branches if find_text(lines, branch.text) is not None), None)


class WrongTurns:
    """Notices an error or a dialog that was not on the screen before, each of them once."""

    def __init__(self) -> None:
        self._before: set[str] | None = None
        self._had_dialog = False
        self._reported: set[str] = set()

    def look(self, lines: Sequence[ReadText], layout: ScreenLayout, expected: Sequence[GuideStep]) -> str | None:
        """Return the text of something unexpected on a frame, or None; `expected` are the current and the next step."""
        now = {_squash(line.text) for line in lines}
        before, self._before = self._before, now
        had_dialog, self._had_dialog = self._had_dialog, bool(layout.dialog)
        if before is None:
            return None
        known = before | self._reported
        errors = (line.text for line in lines if _is_error(line, expected) and not self._is_known(line.text, known))
        text = next(errors, None)
        if text is None and layout.dialog and not had_dialog:
            title = _title(layout)
            text = title if title and _squash(title) not in known and not _is_expected(title, expected) else None
        if text is not None:
            # The lines around it belong to the same message.
            self._reported |= {_squash(line.text) for line in lines if _squash(line.text) not in before} - {""}
        return None if text is None else text[:MAX_QUOTE]

    def _is_known(self, text: str, known: set[str]) -> bool:
        squashed = _squash(text)
        # A share of our own page shows the remark, too, which quotes the line.
        return squashed in known or any(
            len(reported) >= _MIN_SIMILAR_LENGTH and reported in squashed for reported in self._reported
        )


def _title(layout: ScreenLayout) -> str:
    headings = [block.text for block in layout.dialog if isinstance(block, Heading)]
    return next(iter(headings), "")


def _is_error(line: ReadText, steps: Iterable[GuideStep]) -> bool:
    match = _ERROR.search(line.text)
    if match is None or line.confidence < SURE:
        return False
    # A step about an error, such as "Press Retry until the error is gone", expects one.
    return not any(match[0].casefold() in mention.casefold() for step in steps for mention in _mentions(step))


def _is_expected(text: str, steps: Iterable[GuideStep]) -> bool:
    words = {word for word in _words(text) if len(word) > 3}
    return any(words & set(_words(mention)) for step in steps for mention in _mentions(step))


def _mentions(step: GuideStep) -> Iterator[str]:
    yield step.text
    yield step.say
    yield step.look_for or ""
    yield step.gone or ""
    yield step.point_at or ""
    yield from step.hints
    yield from (branch.text for branch in step.branches)


def _contains(said: Sequence[str], wanted: Sequence[str]) -> bool:
    return bool(wanted) and any(
        list(said[first : first + len(wanted)]) == list(wanted) for first in range(len(said) - len(wanted) + 1)
    )


def _similarity(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _squash(text: str) -> str:
    return "".join(_words(text))
