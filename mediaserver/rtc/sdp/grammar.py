"""The lines of SDP (RFC 8866): counted, and reduced to the attributes that are understood, in one spelling."""

import re
from dataclasses import dataclass

from pipeline.errors import ProtocolError

MAX_CODECS = 128
MAX_SSRCS = 64

Lines = list[str]

_ENDINGS = re.compile(r"\r\n|\n|\r")
_MEDIA = re.compile(
    r"m=(?P<kind>[A-Za-z0-9.-]+) (?P<port>[0-9]{1,5})(?:/[0-9]+)? (?P<profile>[A-Za-z0-9/.-]+) (?P<formats>.+)"
)
# RFC 5761 section 4: 72 to 76 would be taken for RTCP.
_TYPE = r"(?:[0-9]|[1-6][0-9]|7[01]|7[7-9]|[89][0-9]|1[01][0-9]|12[0-7])"
_SSRC = r"[0-9]{1,10}"
_MAX_SSRC = 0xFFFF_FFFF

# RFC 3551 section 6: payload types that need no `a=rtpmap`.
_STATIC = {"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000"}

# Each attribute that is understood, and how its value is written. aiortc's parser asserts, indexes and unpacks as it
# goes (sdp.py:340), so it is given no other line: an unknown attribute, or a value of another form, is passed over.
_ATTRIBUTES = {
    "bundle-only": (r"", r""),
    "candidate": (r"(.+)", r"\1"),
    "extmap": (r"([1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])(?:/[a-z]+)? (\S+)(?: .*)?", r"\1 \2"),
    "fingerprint": (r"([A-Za-z0-9-]+ [0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})+)", r"\1"),
    "fmtp": (rf"({_TYPE}) (.+)", r"\1 \2"),
    "group": (r"BUNDLE((?: \S+)*)", r"BUNDLE\1"),
    "ice-lite": (r"", r""),
    # RFC 8839 section 5.4.
    "ice-pwd": (r"([A-Za-z0-9+/]{22,256})", r"\1"),
    "ice-ufrag": (r"([A-Za-z0-9+/]{4,256})", r"\1"),
    "inactive": (r"", r""),
    "max-message-size": (r"([0-9]{1,18})", r"\1"),
    "mid": (r"(\S+)", r"\1"),
    "msid": (r"(\S+(?: \S+)?)(?: .*)?", r"\1"),
    "msid-semantic": (r"WMS((?: \S+)*)", r"WMS\1"),
    "recvonly": (r"", r""),
    "rid": (r"([A-Za-z0-9_-]+ (?:send|recv))(?: .*)?", r"\1"),
    "rtcp-fb": (rf"(\*|{_TYPE}) (\S+(?: \S+)*)", r"\1 \2"),
    "rtcp-mux": (r"", r""),
    "rtpmap": (rf"({_TYPE}) ([^\s/]+)/([0-9]{{1,7}})((?:/[0-9]{{1,2}})?)(?:/.*)?", r"\1 \2/\3\4"),
    "sctp-port": (r"([0-9]{1,5})", r"\1"),
    "sctpmap": (r"([0-9]{1,5} .+)", r"\1"),
    "sendonly": (r"", r""),
    "sendrecv": (r"", r""),
    "setup": (r"(actpass|active|passive)", r"\1"),
    "simulcast": (r"(.+)", r"\1"),
    "ssrc": (rf"({_SSRC})(?: ([^\s:]+)(?::(.*))?)?", r"\1 \2:\3"),
    "ssrc-group": (rf"([A-Za-z-]+(?: {_SSRC})+)", r"\1"),
}
_PATTERNS = {name: (re.compile(pattern), template) for name, (pattern, template) in _ATTRIBUTES.items()}
_LOWER_CASE = ("setup",)
_ONCE = ("a=mid:", "a=setup:", "a=ice-ufrag:", "a=ice-pwd:", "a=msid:", "a=sctp-port:", "a=max-message-size:")


class OfferError(ProtocolError):
    """An offer that cannot be answered, with the reason and what is accepted."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Upper bounds on an offer."""

    bytes: int
    lines: int
    sections: int


@dataclass(frozen=True, slots=True)
class MediaLine:
    """An `m=` line."""

    kind: str
    port: int
    profile: str
    formats: tuple[str, ...]

    def render(self) -> str:
        """Write the line."""
        return f"m={self.kind} {self.port} {self.profile} {' '.join(self.formats)}"


def read_lines(text: str, bounds: Bounds) -> Lines:
    """Split SDP into lines that are understood. Raises `OfferError` unless it is SDP and within the bounds."""
    if len(text) > bounds.bytes:
        raise OfferError(f"The offer is longer than {bounds.bytes} bytes.")
    lines = [" ".join(line.split()) for line in _ENDINGS.split(text.removeprefix("\ufeff"))]
    lines = [line for line in lines if line]
    if len(lines) > bounds.lines:
        raise OfferError(f"The offer has more than {bounds.lines} lines.")
    if not lines or lines[0] != "v=0":
        raise OfferError("The body is not SDP: its first line must be `v=0`.")
    _check_counts(lines, bounds.sections)
    head, groups = split([reduced for line in lines if (reduced := _reduce(line)) is not None])
    return [line for group in (_unique(head), *map(_reduce_section, groups)) for line in group]


def split(lines: Lines) -> tuple[Lines, list[Lines]]:
    """Split lines into those of the session and those of each media section."""
    head: Lines = []
    groups: list[Lines] = []
    for line in lines:
        if line.startswith("m="):
            groups.append([])
        (groups[-1] if groups else head).append(line)
    return head, groups


def media_line(group: Lines) -> MediaLine:
    """Return the `m=` line of a section."""
    kind, port, profile, *formats = group[0][2:].split()
    return MediaLine(kind, int(port), profile, tuple(formats))


def value(group: Lines, attribute: str) -> str | None:
    """Return the value of the first line of an attribute, such as "mid", or None."""
    return next(iter(values(group, attribute)), None)


def values(group: Lines, attribute: str) -> list[str]:
    """Return the values of all lines of an attribute."""
    start = f"a={attribute}:"
    return [line[len(start) :] for line in group if line.startswith(start)]


def by_type(group: Lines, attribute: str) -> dict[str, str]:
    """Return the values of `a=rtpmap` or `a=fmtp` by payload type."""
    found: dict[str, str] = {}
    for line in values(group, attribute):
        payload_type, _, rest = line.partition(" ")
        found.setdefault(payload_type, rest)
    return found


def _check_counts(lines: Lines, limit: int) -> None:
    # aiortc's parser compares every codec with every rtcp-fb line and every ssrc line with every SSRC.
    if sum(line.startswith("m=") for line in lines) > limit:
        raise OfferError(f"The offer has more than {limit} media sections.")
    codecs = ssrcs = 0
    for line in [*lines, "m="]:
        if line.startswith("m="):
            if codecs > MAX_CODECS or ssrcs > MAX_SSRCS * 4:
                raise OfferError(f"A section has more than {MAX_CODECS} codecs or {MAX_SSRCS} SSRCs.")
            codecs = ssrcs = 0
        codecs += line.startswith("a=rtpmap:")
        ssrcs += line.startswith("a=ssrc:")


def _reduce(line: str) -> str | None:
    if line.startswith("m="):
        found = _MEDIA.fullmatch(line)
        if found is None:
            raise OfferError(f"`{line[:100]}` is not well-formed: it reads `m=<kind> <port> <profile> <formats>`.")
        return f"m={found['kind'].lower()} {found['port']} {found['profile']} {found['formats']}"
    if not line.startswith("a="):
        return line if line.startswith(("v=", "o=", "s=", "t=")) else None
    name, _, text = line[2:].partition(":")
    name, text = name.lower(), text.strip()
    if name not in _PATTERNS or not text.isprintable():
        return None
    if name in _LOWER_CASE:
        text = text.lower()
    pattern, template = _PATTERNS[name]
    found = pattern.fullmatch(text)
    if found is None:
        return None
    written = found.expand(template)
    return f"a={name}:{written}" if written else f"a={name}"


def _unique(lines: Lines) -> Lines:
    """Drop repetitions of lines that stand once."""
    seen: set[str] = set()
    kept: Lines = []
    for line in lines:
        start = next((start for start in _ONCE if line.startswith(start)), None)
        if start is None or start not in seen:
            kept.append(line)
        if start is not None:
            seen.add(start)
    return kept


def _reduce_section(group: Lines) -> Lines:
    """Reduce a section to codecs that it lists, and to SSRCs of 32 bits."""
    media = media_line(group)
    if media.kind not in ("audio", "video"):
        return _unique(group)
    formats = [name for name in dict.fromkeys(media.formats) if re.fullmatch(_TYPE, name)]
    maps = {name: codec for name, codec in by_type(group, "rtpmap").items() if name in formats}
    maps |= {name: codec for name, codec in _STATIC.items() if name in formats and name not in maps}
    parameters = {name: text for name, text in by_type(group, "fmtp").items() if name in maps}
    kept = [MediaLine(media.kind, media.port, media.profile, tuple(formats)).render()]
    kept += [line for line in _unique(group[1:]) if not line.startswith(("a=rtpmap:", "a=fmtp:")) and _has_ssrcs(line)]
    # RFC 8866 section 5.14: the formats stand in the order of the client's preference.
    kept += [f"a=rtpmap:{name} {maps[name]}" for name in formats if name in maps]
    kept += [f"a=fmtp:{name} {text}" for name, text in parameters.items()]
    return kept


def _has_ssrcs(line: str) -> bool:
    if line.startswith("a=ssrc:"):
        return int(line[7:].split(" ")[0]) <= _MAX_SSRC
    if line.startswith("a=ssrc-group:"):
        return all(int(ssrc) <= _MAX_SSRC for ssrc in line.split(" ")[1:])
    return True
