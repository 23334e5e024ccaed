"""Reads an English text as words that can be said: numbers, dates, addresses, file names, keys and code."""

import re
from collections.abc import Callable

from mediaserver.localengine.responder.voice import identifiers, quantities
from mediaserver.localengine.responder.voice.identifiers import spell
from mediaserver.localengine.responder.voice.vocabulary import ABBREVIATIONS, OPERATORS, SAID, SPELLED, TITLES
from mediaserver.localengine.responder.voice.words import Word, spoken_text, without_controls

_OPENING = re.compile(r"(?:[(\[{\"'“‘«‹„`]|\*+(?=\S))*")
_CLOSING = r"[)\]}\"'”’»›*`.,;:!?…—]*"
_CLOSING_AHEAD = rf"(?={_CLOSING}(?:[\s—]|$))"
_SPACE = re.compile(r"\s+")
_CODE = re.compile(identifiers.CODE)
_AUDIBLE = re.compile(r"[^\W_]")
_TOKEN = re.compile(r"\S+?(?=" + _CLOSING + r"(?:\s|$))|\S+?(?=—)")
_LINK = r"!?\[(?P<label>[^\]\n]*)\]\([^)\s]*\)"
_PAUSES = ".,;:!?…—"
_DASHES = ("-", "–", "—")
_PLURAL = re.compile(r"(?P<letters>[A-Z]+)(?P<ending>['’]?s)?")
_UNSPEAKABLE = re.compile(r"[_*`\[\]{}()<>|\\^~#\"“”„«»]+")


def read(text: str) -> tuple[Word, ...]:
    """Split a text into words with the way each is spoken; what is written together is the text, without controls."""
    text = without_controls(text)
    words: list[Word] = []
    position = 0
    while position < len(text):
        word, position = _next_word(text, position)
        words.append(word)
    return tuple(words)


def _next_word(text: str, start: int) -> tuple[Word, int]:
    space = _SPACE.match(text, start)
    begin = space.end() if space else start
    opening = None if _LINK_RULE.match(text, begin) else _OPENING.match(text, begin)
    end, spoken = _core(text, opening.end() if opening else begin)
    closing = _CLOSED.match(text, end)
    assert closing is not None
    following = _SPACE.match(text, closing.end())
    stop = following.end() if following else closing.end()
    pause = next((sign for sign in closing.group() if sign in _PAUSES), "")
    if spoken:
        # A point after "P.D.F." would be taken for part of it.
        spoken = f"{spoken}{' ' if pause == '.' and spoken.endswith('.') else ''}{pause}"
    elif "—" in closing.group():
        spoken = ","
    return Word(text[start:stop], " ".join(_UNSPEAKABLE.sub(" ", spoken.replace("—", ", ")).split())), stop


def _core(text: str, start: int) -> tuple[int, str]:
    for rule, reader in _RULES:
        match = rule.match(text, start)
        if match and (spoken := reader(match)) is not None:
            return match.end(), spoken
    token = _TOKEN.match(text, start)
    if token is None:
        return start, ""
    is_bullet = text[:start].rstrip(" \t")[-1:] in ("", "\n")
    return token.end(), "" if is_bullet and not _AUDIBLE.search(token.group()) else _plain(token.group())


def _plain(token: str) -> str:
    if token in _DASHES:
        return ","
    if token in OPERATORS:
        return OPERATORS[token]
    if token in SAID:
        return SAID[token]
    if not _AUDIBLE.search(token):
        return ""
    spelled = _PLURAL.fullmatch(token)
    if spelled and spelled["letters"] in SPELLED:
        return spell(spelled["letters"]) + ("'s" if spelled["ending"] else "")
    if _CODE.fullmatch(token):
        return identifiers.code(token)
    return token.replace("’", "'")


def _abbreviation(match: re.Match[str]) -> str | None:
    return ABBREVIATIONS[match.group().lower()]


def _initials(match: re.Match[str]) -> str | None:
    return match.group().upper()


def _title(match: re.Match[str]) -> str | None:
    return TITLES[match["title"]]


def _link(match: re.Match[str]) -> str | None:
    return spoken_text(read(match["label"]))


def _rule(pattern: str, *, ends: str = _CLOSING_AHEAD, flags: int = 0) -> re.Pattern[str]:
    return re.compile(f"(?:{pattern}){ends}", flags)


_CLOSED = re.compile(_CLOSING)
_LINK_RULE = _rule(_LINK)
_SHORT = "|".join(sorted(map(re.escape, ABBREVIATIONS), key=len, reverse=True))
_TITLE = rf"(?P<title>{'|'.join(TITLES)})\.?"

_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str | None]], ...] = (
    (_LINK_RULE, _link),
    (_rule(identifiers.URL), identifiers.address),
    (_rule(identifiers.EMAIL), identifiers.email),
    (_rule(_SHORT, flags=re.IGNORECASE | re.ASCII), _abbreviation),
    (_rule(r"(?:[A-Za-z]\.){2,}"), _initials),
    (_rule(_TITLE, ends=r"(?= [A-Z])"), _title),
    (_rule(r"(?P<title>No)\.", ends=r"(?= [0-9])"), _title),
    (_rule(identifiers.SHORTCUT, flags=re.IGNORECASE), identifiers.shortcut),
    (_rule(identifiers.LONE_KEY, flags=re.IGNORECASE), identifiers.lone_key),
    (_rule(quantities.ISO_DATE), quantities.iso_date),
    (_rule(quantities.SLASHED_DATE), quantities.slashed_date),
    (_rule(quantities.MONTH_DAY), quantities.named_date),
    (_rule(quantities.DAY_MONTH), quantities.named_date),
    (_rule(quantities.TIME), quantities.time),
    (_rule(quantities.HOUR), quantities.hour),
    (_rule(quantities.MONEY), quantities.money),
    (_rule(quantities.SIZE), quantities.size),
    (_rule(quantities.DECADE), quantities.decade),
    (_rule(quantities.AMOUNT), quantities.amount),
    (_rule(quantities.FRACTION), quantities.fraction),
    (_rule(quantities.PHONE), quantities.phone),
    (_rule(quantities.RANGE), quantities.number_range),
    (_rule(quantities.ORDINAL), quantities.ordinal_number),
    (_rule(identifiers.HASH), identifiers.hash_code),
    (_rule(identifiers.HEX), identifiers.hexadecimal),
    (_rule(quantities.PLAIN), quantities.number),
    (_rule(identifiers.HOST), identifiers.address),
    (_rule(quantities.VERSION), quantities.version),
    (_rule(identifiers.FILE, flags=re.IGNORECASE), identifiers.file_name),
    (_rule(identifiers.WINDOWS_PATH), identifiers.windows_path),
    (_rule(identifiers.PATH), identifiers.path),
    (_rule(identifiers.DOTTED), identifiers.dotted),
    (_rule(identifiers.OPTION), identifiers.option),
    (_rule(identifiers.TAG), identifiers.tag),
)
