"""Guides: tasks in steps, written in Markdown."""

import re
import unicodedata
from dataclasses import dataclass, field

MAX_GUIDE = 32_000
"""Characters of one guide."""
MAX_STEPS = 30
MAX_TITLE = 200
MAX_TEXT = 500
"""Characters of a step, a sentence, a hint or a text to look for."""

GUIDE_ID = re.compile(r"^[a-z0-9][a-z0-9-]{0,63}$")
"""A guide's id: the name of its file without `.md`."""
ID_RULE = "1 to 64 of a-z, 0-9 and `-`, the first a letter or digit"

KEYS = 'look for: "text", gone: "text", point at: "label", hint: ..., say: ..., or if "text": go to step 4'


class GuideError(Exception):
    """A guide that cannot be read: the file, the line (1 for the first) and the reason."""

    def __init__(self, reason: str, *, line: int, file: str = ""):
        super().__init__(f"{file}:{line}: {reason}" if file else f"line {line}: {reason}")
        self.reason = reason
        self.line = line
        self.file = file


@dataclass(frozen=True, slots=True)
class Branch:
    """Another way: while `text` is on the screen, the plan goes to step `step` (1 for the first)."""

    text: str
    step: int


@dataclass(frozen=True, slots=True)
class GuideStep:
    """One step: `look_for` on the screen, or `gone` from it, shows that it is done."""

    text: str
    say: str = ""
    """The sentence to speak; empty: the text."""
    look_for: str | None = None
    gone: str | None = None
    point_at: str | None = None
    """The label on the screen that the step is about."""
    hints: tuple[str, ...] = ()
    branches: tuple[Branch, ...] = ()

    @property
    def is_checkable(self) -> bool:
        """Whether the screen alone can show that the step is done."""
        return self.look_for is not None or self.gone is not None

    @property
    def sentence(self) -> str:
        """The sentence to speak."""
        return self.say or self.text


@dataclass(frozen=True, slots=True)
class Guide:
    """A guide: its title, when to use it, and its steps in order."""

    id: str
    title: str
    when: str
    steps: tuple[GuideStep, ...]
    text: str = field(default="", repr=False)
    """The Markdown that it was read from."""


def parse_guide(text: str, *, guide_id: str, file: str = "") -> Guide:
    """Read a guide in Markdown, or raise `GuideError` and nothing else; docs/guides.md has the format."""
    if len(text) > MAX_GUIDE:
        raise GuideError(f"a guide has at most {MAX_GUIDE} characters", line=1, file=file)
    return _Parser(guide_id, file, text).parse()


_TITLE = re.compile(r"#\s+(.*)")
_WHEN = re.compile(r"when(?: to use it)?:\s*(.*)", re.IGNORECASE)
_STEP = re.compile(r"(\d{1,4})[.)]\s+(.*)")
_KEY = re.compile(r"(?:[-*]\s+)?(look for|gone|point at|hint|say)\s*:\s*(.*)", re.IGNORECASE)
_BRANCH = re.compile(r"(?:[-*]\s+)?if\s+(.*?)\s*:\s*go to step\s+(\d{1,4})\.?", re.IGNORECASE)
_UNKNOWN_KEY = re.compile(r"[-*]\s+.*|if\s+[\"“”].*|[A-Za-z]+(?: [A-Za-z]+)?:(?:\s.*)?")
_QUOTED = re.compile(r"[\"“”](.*)[\"“”]")
_COMMENT = re.compile(r"<!--.*?-->")


@dataclass(slots=True)
class _StepLines:
    """A step while its lines are read."""

    line: int
    text: str
    fields: dict[str, str] = field(default_factory=dict)
    hints: list[str] = field(default_factory=list)
    branches: list[tuple[int, Branch]] = field(default_factory=list)


class _Parser:
    def __init__(self, guide_id: str, file: str, text: str):
        self._id = guide_id
        self._file = file
        self._text = text
        self._line = 0
        self._title = ""
        self._when: list[str] = []
        self._is_when_open = False
        self._steps: list[_StepLines] = []

    def parse(self) -> Guide:
        for number, line in enumerate(self._text.split("\n"), start=1):
            self._line = number
            self._check_characters(line)
            self._read(_COMMENT.sub("", line.rstrip()))
        if not self._title:
            raise self._error("the guide has no title: its first line is `# Title`", line=1)
        if not self._steps:
            raise self._error("the guide has no steps: a step is a line such as `1. Open the menu`")
        return Guide(
            self._id, self._title, " ".join(self._when), tuple(self._step(step) for step in self._steps), self._text
        )

    def _read(self, line: str) -> None:
        content = line.strip()
        if not content:
            self._is_when_open = False
        elif self._steps and line[0] in " \t":
            self._read_detail(content)
        elif step := _STEP.fullmatch(content):
            self._begin_step(int(step[1]), step[2].strip())
        elif self._steps:
            raise self._error("a line after the first step begins a step, or is indented and belongs to one")
        else:
            self._read_head(content)

    def _read_head(self, content: str) -> None:
        title, when = _TITLE.fullmatch(content), _WHEN.fullmatch(content)
        if title is not None:
            if self._title:
                raise self._error("the guide has a second title")
            self._title = self._bounded(title[1], "the title", MAX_TITLE)
        elif when is not None or self._is_when_open:
            self._when.append(when[1] if when else content)
            self._is_when_open = True
            self._bounded(" ".join(self._when), "`When:`", MAX_TEXT)
        # Other text before the first step is for people who read the file.

    def _begin_step(self, number: int, text: str) -> None:
        if not self._title:
            raise self._error("the title comes before the steps: `# Title`")
        if number != len(self._steps) + 1:
            raise self._error(f"this is step {len(self._steps) + 1}, not {number}: steps count from 1")
        if number > MAX_STEPS:
            raise self._error(f"a guide has at most {MAX_STEPS} steps")
        self._is_when_open = False
        self._steps.append(_StepLines(self._line, self._bounded(text, "a step")))

    def _read_detail(self, content: str) -> None:
        step = self._steps[-1]
        if branch := _BRANCH.fullmatch(content):
            step.branches.append((self._line, Branch(self._quoted(branch[1], "if"), int(branch[2]))))
        elif key := _KEY.fullmatch(content):
            self._read_key(step, key[1].lower(), key[2].strip())
        elif _UNKNOWN_KEY.fullmatch(content) or _STEP.fullmatch(content):
            raise self._error(f"a step takes {KEYS}")
        else:
            step.text = self._bounded(f"{step.text} {content}", "a step")

    def _read_key(self, step: _StepLines, key: str, value: str) -> None:
        if key == "hint":
            step.hints.append(self._bounded(value, "`hint:`"))
        elif key in step.fields:
            raise self._error(f"this step has `{key}:` twice")
        elif key == "say":
            step.fields[key] = self._bounded(value, "`say:`")
        else:
            step.fields[key] = self._quoted(value, key)

    def _step(self, step: _StepLines) -> GuideStep:
        for line, branch in step.branches:
            if not 1 <= branch.step <= len(self._steps) or self._steps[branch.step - 1] is step:
                raise self._error(f"`go to step` takes another step, 1 to {len(self._steps)}", line=line)
        return GuideStep(
            step.text,
            say=step.fields.get("say", ""),
            look_for=step.fields.get("look for"),
            gone=step.fields.get("gone"),
            point_at=step.fields.get("point at"),
            hints=tuple(step.hints),
            branches=tuple(branch for _, branch in step.branches),
        )

    def _quoted(self, value: str, key: str) -> str:
        quoted = _QUOTED.fullmatch(value)
        # Text without a letter or digit is never found by OCR.
        if quoted is None or not re.search(r"\w", quoted[1]):
            raise self._error(f'`{key}` takes words in quotation marks: "Save"')
        return self._bounded(quoted[1], f"`{key}`")

    def _bounded(self, text: str, name: str, limit: int = MAX_TEXT) -> str:
        text = " ".join(text.split())
        if not text or len(text) > limit:
            raise self._error(f"{name} has 1 to {limit} characters")
        return text

    def _check_characters(self, line: str) -> None:
        if any(unicodedata.category(sign) in ("Cc", "Cs") and sign not in "\t\r" for sign in line):
            raise self._error("a character here is no text: the file must be UTF-8 without control characters")

    def _error(self, reason: str, *, line: int | None = None) -> GuideError:
        return GuideError(reason, line=self._line if line is None else line, file=self._file)
