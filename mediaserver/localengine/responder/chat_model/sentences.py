"""Splits streamed text into sentences, each as early as its end is certain."""

import re
from collections.abc import Iterator

MAX_SENTENCE = 240
"""Characters after which a sentence without an end is split at a comma or a space."""

_TERMINATORS = ".!?…"
_WIDE_TERMINATORS = "。！？"  # written without a space after them
_CLOSERS = "\"'”’»)]*_"
_END = re.compile(rf"(?:[{_TERMINATORS}]+[{re.escape(_CLOSERS)}]*(?=\s)|[{_WIDE_TERMINATORS}]+[」』”’）]*)")
_SOFT_END = re.compile(r"[,;:–—]\s|\s")
# Abbreviations, in lower case and without the last dot.
_NEVER_LAST = {"mr", "mrs", "ms", "dr", "prof", "st", "vs", "e.g", "i.e", "cf", "approx", "incl"}
_BEFORE_NUMBERS = {"no", "nos", "fig", "p", "pp", "vol", "ch", "sec", "art"}
_LAST_WORD = re.compile(r"(\S+)$")
_LIST_NUMBER = re.compile(r"\s*(?:[#>*-]\s*)*\d{1,3}[.)]$")
_FENCE = re.compile(r"\s*(?:```|~~~)")


class SentenceSplitter:
    """Splits text that arrives in pieces of any size.

    A line end always ends a sentence, so that list items and headings stand alone. The lines of a fenced code block
    are one sentence, with their fences. Dots of abbreviations, initials, numbers, addresses and `inline code` end none.
    """

    def __init__(self) -> None:
        self._text = ""
        self._code: list[str] | None = None  # the lines of the open block

    def push(self, text: str) -> Iterator[str]:
        """Add text and yield the sentences that are certainly complete."""
        self._text += text
        while (line_end := self._text.find("\n")) >= 0:
            line, self._text = self._text[:line_end], self._text[line_end + 1 :]
            yield from self._on_line(line)
        if self._code is None and not _FENCE.match(self._text):
            yield from self._take_complete()

    def flush(self) -> Iterator[str]:
        """Yield the rest, as the text is complete."""
        line, self._text = self._text, ""
        yield from self._on_line(line)
        if self._code:
            code, self._code = self._code, None
            yield "\n".join([*code, code[0].strip()[:3]])

    def _on_line(self, line: str) -> Iterator[str]:
        if self._code is not None:
            self._code.append(line)
            if _FENCE.match(line):
                code, self._code = self._code, None
                yield "\n".join(code)
        elif _FENCE.match(line):
            self._code = [line]
        else:
            rest, self._text = self._text, line
            yield from self._take_complete()
            line, self._text = self._text.strip(), rest
            if line:
                yield line

    def _take_complete(self) -> Iterator[str]:
        while (end := _sentence_end(self._text) or _forced_end(self._text)) is not None:
            sentence, self._text = self._text[:end].strip(), self._text[end:].lstrip()
            if sentence:
                yield sentence


def _sentence_end(text: str) -> int | None:
    for match in _END.finditer(text):
        if match[0][0] in _WIDE_TERMINATORS:
            return match.end()
        following = text[match.end() :].lstrip()
        if not following:
            return None  # the next word decides
        if _ends_sentence(text[: match.end()], following):
            return match.end()
    return None


def _ends_sentence(sentence: str, following: str) -> bool:
    if following[0].islower() or sentence.count("`") % 2 == 1 or _LIST_NUMBER.fullmatch(sentence):
        return False
    found = _LAST_WORD.search(sentence.rstrip(_CLOSERS))
    word = found[1].lstrip("([\"'“‘*_") if found else ""
    if not word.endswith(".") or word.endswith(".."):
        return True
    bare = word[:-1].lower()
    if bare in _NEVER_LAST or (len(bare) == 1 and bare.isalpha()):
        return False
    return not (bare in _BEFORE_NUMBERS and following[0].isdigit())


def _forced_end(text: str) -> int | None:
    if len(text) <= MAX_SENTENCE:
        return None
    ends = [match.end() for match in _SOFT_END.finditer(text, 0, MAX_SENTENCE)]
    after_comma = [end for end in ends if end > MAX_SENTENCE // 3 and text[end - 2] in ",;:–—"]
    return (after_comma or ends or [MAX_SENTENCE])[-1]
