"""Strips Markdown from a sentence, so that it can be spoken."""

import re
import unicodedata
from urllib.parse import urlsplit

_IMAGE_OR_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_ADDRESS = re.compile(r"<?(https?://[^\s<>)\]]*[^\s<>)\].,;:!?])>?")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_HEADING = re.compile(r"^\s*#{1,6}\s+")
_QUOTE = re.compile(r"^\s*(?:>\s*)+")
_BULLET = re.compile(r"^\s*[-*+•]\s+(?:\[[ xX]\]\s+)?")
_NUMBER = re.compile(r"^\s*(\d{1,3})[.)]\s+")
_RULE = re.compile(r"\s*(?:[-*_=]\s*){3,}")
_TABLE_RULE = re.compile(r"\s*\|?[\s:|-]*-[\s:|-]*\|[\s:|-]*")
_TABLE_ROW = re.compile(r"\s*\|(.+)\|\s*")
# Asterisks that stand at a word; underscores inside a word belong to its name (file_name).
_EMPHASIS = re.compile(r"(\*{1,3}|~~)(?=\S)(.+?)(?<=\S)\1|(?<!\w)(_{1,3})(?=\S)(.+?)(?<=\S)\3(?!\w)")
_CODE = re.compile(r"`+([^`]*)`+")
_LATEX = re.compile(r"\\[()\[\]]|\${1,2}(?=\S)([^$]+?)(?<=\S)\${1,2}")
_ENDED = ".!?…:;,。！？"


def spoken_text(sentence: str) -> str:
    """Return the words to speak, on one line and with an end mark; empty if there are none.

    A fenced code block becomes the number of its lines, an address its host.
    """
    if sentence.lstrip().startswith(("```", "~~~")):
        return _code_block(sentence)
    if _RULE.fullmatch(sentence) or _TABLE_RULE.fullmatch(sentence):
        return ""
    text = _QUOTE.sub("", sentence)
    text = _HEADING.sub("", text)
    text = _BULLET.sub("", text)
    text = _NUMBER.sub(r"\1: ", text)
    if row := _TABLE_ROW.fullmatch(text):
        text = ", ".join(cell.strip() for cell in row[1].split("|") if cell.strip())
    text = _IMAGE_OR_LINK.sub(r"\1", text)
    text = _ADDRESS.sub(lambda address: urlsplit(address[1]).hostname or "", text)
    text = _TAG.sub("", text)
    text = _LATEX.sub(lambda found: found[1] or "", text)
    codes: list[str] = []
    text = _CODE.sub(lambda code: _kept(codes, code[1]), text)
    for _ in range(2):  # bold inside of italics
        text = _EMPHASIS.sub(lambda found: found[2] or found[4], text)
    # What is left of emphasis that another sentence began or ends; 3 * 4 keeps its asterisk.
    text = re.sub(r"\*{2,}|(?<!\s)\*(?!\s)|(?<!\S)\*(?=\S)|(?<=\S)\*(?!\S)", "", text)
    text = re.sub(r"\0(\d+)\0", lambda place: codes[int(place[1])], text)
    text = "".join(" " if _is_unspeakable(sign) else sign for sign in text)
    text = " ".join(text.split())
    if not re.search(r"\w", text):
        return ""
    return text if text.rstrip("\"'”’»)]")[-1:] in _ENDED else f"{text}."


def _code_block(block: str) -> str:
    lines = [line for line in block.splitlines()[1:-1] if line.strip()]
    if not lines:
        return ""
    return "Here I leave out a line of code." if len(lines) == 1 else f"Here I leave out {len(lines)} lines of code."


def _kept(codes: list[str], code: str) -> str:
    codes.append(code)
    return f"\0{len(codes) - 1}\0"


def _is_unspeakable(sign: str) -> bool:
    # Emoji and other pictures, variation selectors, joiners and control characters.
    return unicodedata.category(sign) in ("So", "Sk", "Cc", "Cf", "Cs", "Co", "Cn") or "\ufe00" <= sign <= "\ufe0f"
