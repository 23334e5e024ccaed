"""Trickled candidates: `application/trickle-ice-sdpfrag` (RFC 8840 section 9)."""

from dataclasses import dataclass

from mediaserver.rtc.sdp.candidates import parse_candidate
from pipeline.errors import ProtocolError

MAX_BYTES = 16_000


@dataclass(frozen=True, slots=True)
class Fragment:
    """Candidates, and the credentials they belong to if it names any."""

    candidates: tuple[str, ...]
    ufrag: str | None
    pwd: str | None


def parse_fragment(text: str) -> Fragment:
    """Read a fragment, or raise `ProtocolError` and nothing else.

    Clients write candidates with or without `a=`, with several spaces, and an empty one at the end. A malformed one is
    passed over, as the others may connect; so are other attributes.
    """
    candidates: dict[str, None] = {}
    ufrag = pwd = None
    for line in text.splitlines():
        words = " ".join(line.split())
        name, _, value = words.removeprefix("a=").partition(":")
        match name.lower():
            case "candidate":
                if _is_candidate(value):
                    candidates[value.strip()] = None
            case "ice-ufrag":
                ufrag = value.strip()
            case "ice-pwd":
                pwd = value.strip()
            case _ if words and words[1:2] != "=" and name.lower() != "end-of-candidates":
                raise ProtocolError(
                    f"`{words[:100]}` is no line of a fragment, which has `a=ice-ufrag`, `a=ice-pwd`, `a=mid` and "
                    "`a=candidate` lines."
                )
    return Fragment(tuple(candidates), ufrag, pwd)


def _is_candidate(text: str) -> bool:
    try:
        parse_candidate(text)
    except ProtocolError:
        return False
    return True
