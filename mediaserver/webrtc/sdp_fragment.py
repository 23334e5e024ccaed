"""Trickled candidates: `application/trickle-ice-sdpfrag` (RFC 8840 section 9)."""

from dataclasses import dataclass

from mediaserver.rtc.sdp.candidates import parse_candidate
from pipeline.errors import ProtocolError

MAX_BYTES = 16_000

_ATTRIBUTES = ("a=", "m=", "c=", "v=", "o=", "s=", "t=")


@dataclass(frozen=True, slots=True)
class Fragment:
    """Candidate lines, and the credentials they belong to if it names any."""

    candidates: tuple[str, ...]
    ufrag: str | None
    pwd: str | None


def parse_fragment(text: str) -> Fragment:
    """Read a fragment, or raise `ProtocolError` and nothing else. Other attributes are ignored."""
    candidates: dict[str, None] = {}
    ufrag = pwd = None
    for line in text.splitlines():
        name, _, value = line.strip().partition(":")
        match name:
            case "a=candidate":
                parse_candidate(value)
                candidates[value] = None
            case "a=ice-ufrag":
                ufrag = value
            case "a=ice-pwd":
                pwd = value
            case _ if name and not name.startswith(_ATTRIBUTES):
                raise ProtocolError("A fragment has `a=ice-ufrag`, `a=ice-pwd`, `a=mid` and `a=candidate` lines.")
    return Fragment(tuple(candidates), ufrag, pwd)
