"""Reads addresses, paths, file names, key names and code as English words. Each reader returns None for other text."""

import re

from mediaserver.localengine.responder.voice.numbers import decimal, digits, pairs
from mediaserver.localengine.responder.voice.vocabulary import (
    DOMAINS,
    DOMAINS_SAID,
    EXTENSIONS_SAID,
    EXTENSIONS_SPELLED,
    KEYS,
    LONE_KEYS,
    MODIFIERS,
    PARTS_SAID,
    SAID,
    SIGNS,
    SPELLED,
)

MAX_SEGMENTS = 4
"""Parts of an address or a path that are read; nobody keeps more in mind."""
_MAX_CODE = 60  # characters of a code without spaces that are read
_SHOWN_OF_HASH = 4

_MODIFIER = "|".join(sorted(map(re.escape, MODIFIERS), key=len, reverse=True))
_KEY = "|".join([r"[Ff][0-9]{1,2}", *sorted(map(re.escape, KEYS), key=len, reverse=True), r"[^\s+\-]", r"[+\-]"])
_EXTENSION = "|".join(sorted({*EXTENSIONS_SAID, *EXTENSIONS_SPELLED}, key=len, reverse=True))

URL = (
    r"(?:(?P<scheme>https?|wss?|ftp|file)://(?:[^\s/@]*@)?(?:www\.)?|www\.)(?P<host>[^\s/?#:]*)(?::(?P<port>[0-9]+))?"
    r"(?P<path>/[^\s?#]*?)?(?P<query>[?#]\S*?)?"
)
HOST = (
    r"(?P<host>(?:[A-Za-z0-9-]+\.)+(?:" + "|".join(sorted(DOMAINS)) + r")|localhost|(?:[0-9]{1,3}\.){3}[0-9]{1,3})"
    r"(?::(?P<port>[0-9]{2,5}))?(?P<path>/[^\s?#]*?)?(?P<query>[?#]\S*?)?"
)
EMAIL = r"(?P<user>[\w.+-]+)@(?P<domain>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)"
WINDOWS_PATH = r"(?P<drive>[A-Za-z]):\\(?P<rest>\S*?)|\\\\(?P<share>\S+?)"
PATH = r"(?P<root>~|\.{1,2})?/(?P<rest>[^\s/]\S*?)?|(?P<relative>[\w.@-]+(?:/[\w.@-]+?)+/?)"
SHORTCUT = rf"(?:(?:{_MODIFIER})[+-])+(?:{_KEY})(?![A-Za-z0-9])|[⌘⇧⌥⌃]+(?:{_KEY})(?![A-Za-z0-9])"
LONE_KEY = rf"(?:{'|'.join(map(re.escape, LONE_KEYS))}|F(?:1[0-9]|2[0-4]|[1-9]))(?![\w])"
FILE = rf"(?P<name>[\w@()+-]*(?:\.[\w@()+-]+)*)\.(?P<extension>{_EXTENSION})"
DOTTED = r"(?P<user>\.)[A-Za-z][\w-]*"
OPTION = r"(?P<dashes>--?)(?P<option>[A-Za-z][\w-]*)(?:=(?P<value>\S+))?"
HASH = (
    r"(?=[0-9a-fA-F-]*[0-9])(?=[0-9a-fA-F-]*[a-fA-F])"
    r"(?:[0-9a-fA-F]{12,}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})"
)
HEX = r"0x(?P<hex>[0-9A-Fa-f]+)|#(?P<color>[0-9A-Fa-f]{6}|[0-9A-Fa-f]{3})"
TAG = r"<(?P<close>/?)(?P<tag>[A-Za-z][\w-]*)[^<>\s]*/?>"
CODE = r"\S*(?:[a-z][A-Z]|[A-Z]{2}[a-z]|[_(){}\[\]=<>\\|^#$&@*+~/]|[A-Za-z0-9][.:][A-Za-z0-9])\S*"

_DIGITS = "0123456789"  # the only ones that have number words: "²".isdigit() is true, too
_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_]+|[^\w\s]|_")


def address(match: re.Match[str]) -> str | None:
    """Read a web address without its scheme: the host, the port and the first parts of the path."""
    words = [_domain(match["host"])] if match["host"] else []
    if match["port"]:
        words.append(f"port {pairs(match['port'])}")
    names = [name for name in (match["path"] or "").split("/") if name]
    if names:
        words.append(f"slash {_segments(names, ' slash ')}")
    return " ".join(words) or None


def email(match: re.Match[str]) -> str | None:
    """Read an e-mail address."""
    return f"{code_words(match['user'])} at {_domain(match['domain'])}"


def windows_path(match: re.Match[str]) -> str | None:
    r"""Read C:\folder\file."""
    rest = _segments(re.split(r"\\+", match["rest"] or match["share"] or ""), ", ")
    return f"{match['drive'].upper()} drive, {rest}".rstrip(", ") if match["drive"] else f"share {rest}"


def path(match: re.Match[str]) -> str | None:
    """Read /folder/file, ~/file and folder/file; "he/she" is two words."""
    relative = match["relative"]
    if relative is not None:
        names = relative.rstrip("/").split("/")
        if len(names) == 2 and all(name.isalpha() for name in names) and not relative.endswith("/"):
            return f"{_said(names[0])} slash {_said(names[1])}"
        return _segments(names, " slash ")
    if match["rest"] is None and match["root"] is None:
        return None
    root = {"~": "home", ".": "dot", "..": "dot dot", None: ""}[match["root"]]
    return f"{root} slash {_segments((match['rest'] or '').split('/'), ' slash ')}".strip()


def shortcut(match: re.Match[str]) -> str | None:
    """Read Ctrl+Shift+P as "control shift P"."""
    keys = re.findall(rf"[⌘⇧⌥⌃]|(?:{_MODIFIER})(?=[+-])|(?<=[+\-⌘⇧⌥⌃])(?:{_KEY})$", match.group(), re.IGNORECASE)
    return " ".join(_key(name) for name in keys)


def lone_key(match: re.Match[str]) -> str | None:
    """Read Esc, PgUp and F5 as keys."""
    return _key(match.group())


def file_name(match: re.Match[str]) -> str | None:
    """Read report_final.pdf as "report final dot P.D.F."; None for an ending in capitals, which begins a sentence."""
    name, extension = match["name"], match["extension"]
    if not name or name[-1] == "." or (extension[0].isupper() and not name.isupper()):
        return None
    return f"{_file(name)} dot {_extension(extension)}"


def dotted(match: re.Match[str]) -> str | None:
    """Read .gitignore as "dot gitignore"."""
    return f"dot {code_words(match.group()[1:])}"


def option(match: re.Match[str]) -> str | None:
    """Read --dry-run as "dash dash dry run"."""
    words = " ".join(["dash"] * len(match["dashes"]) + [code_words(match["option"])])
    return f"{words} {code_words(match['value'])}" if match["value"] else words


def hash_code(match: re.Match[str]) -> str | None:
    """Read the beginning of a long code, such as a commit's."""
    shown = match.group()[:_SHOWN_OF_HASH]
    return f"the code that begins with {_signs(shown)}"


def hexadecimal(match: re.Match[str]) -> str | None:
    """Read 0x1F and #ff8800 sign by sign."""
    if match["color"]:
        return None if match["color"].isdigit() and len(match["color"]) == 3 else f"hash {_signs(match['color'])}"
    return f"hex {_signs(match['hex'])}"


def tag(match: re.Match[str]) -> str | None:
    """Read <div> as "div tag"."""
    return f"{'closing ' if match['close'] else ''}{code_words(match['tag'])} tag"


def code(text: str) -> str:
    """Read an identifier or a piece of code; brackets are left out, and so is the end of a very long one."""
    without_tags = re.sub(r"</?[A-Za-z][^<>]*>", " ", text)
    return code_words(re.sub(r"[\"'`;,{}()\[\]]+", " ", without_tags)[:_MAX_CODE])


def code_words(text: str) -> str:
    """Split camelCase, snake_case and signs into words."""
    if text in SAID:
        return SAID[text]
    words = []
    for piece in _PIECES.findall(text):
        if piece[0] in _DIGITS:
            words.append(decimal(piece) if len(piece) < 5 and not re.match("0.", piece) else digits(piece))
        elif piece in SIGNS:
            words.append(SIGNS[piece])
        elif piece[0].isalpha():
            words.append(_said(piece))
    return " ".join(words)


def spell(letters: str) -> str:
    """Return letters as an abbreviation that every voice spells: "P.D.F."; one letter stays bare, but for A."""
    letters = letters.upper()
    return letters if len(letters) == 1 and letters != "A" else "".join(f"{letter}." for letter in letters)


def _domain(name: str) -> str:
    *labels, last = name.split(".")
    if re.fullmatch(r"[0-9.]*[0-9]", name) and all(labels):
        return " dot ".join(decimal(label) for label in (*labels, last))
    ending = _said(last) if last in DOMAINS_SAID or len(last) > 3 else spell(last)
    return " dot ".join([*(code_words(label) for label in labels), ending])


def _segments(names: list[str], separator: str) -> str:
    names = [name for name in names if name]
    said = separator.join(_file(name) for name in names[:MAX_SEGMENTS])
    return said if len(names) <= MAX_SEGMENTS else f"{said}, and so on"


def _file(name: str) -> str:
    stem, _, extension = name.rpartition(".")
    if stem and extension.lower() in EXTENSIONS_SAID.keys() | EXTENSIONS_SPELLED:
        return f"{_file(stem)} dot {_extension(extension)}"
    return code_words(name)


def _extension(extension: str) -> str:
    return EXTENSIONS_SAID.get(extension.lower()) or " ".join(
        decimal(part) if part.isdigit() else spell(part) for part in re.findall(r"[A-Za-z]+|[0-9]+", extension)
    )


def _key(name: str) -> str:
    lower = name.lower()
    if lower in MODIFIERS or lower in KEYS:
        return MODIFIERS.get(lower) or KEYS[lower]
    if re.fullmatch(r"f[0-9]{1,2}", lower):
        return f"F {decimal(lower[1:])}"
    if name in _DIGITS:
        return decimal(name)
    return spell(name) if name.isalpha() else {"-": "minus", ",": "comma"}.get(name) or SIGNS.get(name, "")


def _said(word: str) -> str:
    if word in SAID or word.upper() in SAID:
        return SAID.get(word) or SAID[word.upper()]
    if word.lower() in PARTS_SAID:
        return PARTS_SAID[word.lower()]
    if word.upper() in SPELLED or len(word) == 1 or not re.search(r"[aeiouy]", word.lower()):
        return spell(word) if word.isascii() and len(word) < 6 else word
    return word.lower() if word.isupper() else word


def _signs(text: str) -> str:
    return " ".join(decimal(sign) if sign.isdigit() else spell(sign) for sign in text if sign.isalnum())
