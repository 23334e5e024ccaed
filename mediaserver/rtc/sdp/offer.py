"""Parsing and validation of SDP offers, before a connection is created."""

import re
from dataclasses import dataclass

from aiortc.rtcdtlstransport import X509_DIGEST_ALGORITHMS
from aiortc.sdp import MediaDescription, SessionDescription

from mediaserver.rtc.aiortc_patches.receivers import has_common_codec
from mediaserver.rtc.sdp.candidates import parse_candidate
from pipeline.errors import ProtocolError

MAX_BYTES = 64_000
MAX_CODECS = 128
MAX_SSRCS = 64

_KINDS = ("audio", "video", "application")
CODECS = {"audio": {"opus"}, "video": {"vp8", "h264"}}
"""Supported codecs by kind of media."""

_DIRECTIONS = ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive")
_DATA_PROFILES = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP")
# RFC 8839 section 5.4: ice-char.
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Upper bounds on an offer."""

    bytes: int
    lines: int
    sections: int


SINGLE_OFFER_LIMITS = Bounds(MAX_BYTES, lines=2_000, sections=16)
"""Bounds for a client that offers once."""

RENEGOTIATION_LIMITS = Bounds(500_000, lines=16_000, sections=64)
"""Bounds for a client that renegotiates, and adds a section for each track it publishes."""


class OfferError(ProtocolError):
    """An offer that cannot be answered, with the reason and what is accepted."""


@dataclass(frozen=True, slots=True)
class Section:
    """One media section; the directions are the client's."""

    mid: str
    kind: str
    sends: bool
    receives: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that can be answered. `sdp` holds no candidates: `candidates` does."""

    sdp: str
    sections: tuple[Section, ...]
    candidates: tuple[str, ...]
    ufrag: str
    pwd: str

    @property
    def has_data(self) -> bool:
        """Whether a data channel is offered."""
        return any(section.kind == "application" for section in self.sections)


def parse_offer(text: str, bounds: Bounds = SINGLE_OFFER_LIMITS) -> Offer:
    """Parse an offer, or raise `OfferError` and nothing else."""
    sdp, candidates = _split(sdp_lines(text, bounds))
    description = parse_sdp(sdp)
    for candidate in candidates:
        parse_candidate(candidate)
    _check_session(description)
    for media in description.media:
        _check_section(media)
    ufrag, pwd = _credentials(description.media[0])
    sections = tuple(_section(media) for media in description.media)
    return Offer(sdp, sections, tuple(candidates), ufrag, pwd)


def sdp_lines(text: str, bounds: Bounds) -> list[str]:
    """Split an offer into lines. Raises `OfferError` unless it is SDP and within the bounds."""
    if len(text) > bounds.bytes:
        raise OfferError(f"The offer is longer than {bounds.bytes} bytes.")
    lines = [line for line in text.splitlines() if line]
    if len(lines) > bounds.lines:
        raise OfferError(f"The offer has more than {bounds.lines} lines.")
    if not lines or lines[0] != "v=0":
        raise OfferError("The body is not SDP: its first line must be `v=0`.")
    _check_counts(lines, bounds.sections)
    return lines


def parse_sdp(sdp: str) -> SessionDescription:
    """Parse a description with aiortc's parser. Raises `OfferError`."""
    try:
        description = SessionDescription.parse(sdp)
        codecs = [codec for media in description.media for codec in media.rtp.codecs]
        if any(codec.parameters.get("packetization-mode", "") is None for codec in codecs):
            raise ValueError("aiortc takes this for a number, unguarded (rtcpeerconnection.py:132)")
        return description
    # It asserts, indexes, unpacks and looks up as it goes (sdp.py:340).
    except (ValueError, AssertionError, LookupError, StopIteration, AttributeError, TypeError):
        raise OfferError("The offer is not well-formed SDP.") from None


def is_answerable(media: MediaDescription) -> bool:
    """Return whether an audio or video section offers a supported codec."""
    return has_common_codec(media, CODECS[media.kind])


def _check_counts(lines: list[str], limit: int) -> None:
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


def _split(lines: list[str]) -> tuple[str, list[str]]:
    """Extract the candidates, each once, and write default directions out."""
    kept: list[str] = []
    candidates: dict[str, None] = {}
    is_open = False  # in a media section that has named no direction yet
    for line in lines:
        if line.startswith("a=candidate:"):
            candidates[line] = None
            continue
        if line.startswith("a=end-of-candidates"):
            continue
        if line.startswith("m="):
            kept += ["a=sendrecv"] * is_open
            is_open = True
        elif line.strip() in _DIRECTIONS:
            is_open = False
        kept.append(line)
    kept += ["a=sendrecv"] * is_open
    return "\r\n".join(kept) + "\r\n", list(candidates)


def _check_session(description: SessionDescription) -> None:
    if not description.media:
        raise OfferError("The offer has no media section; offer audio, video or a data channel.")
    mids = [media.rtp.muxId for media in description.media]
    if not all(mids) or len(set(mids)) < len(mids):
        raise OfferError("Every media section needs an `a=mid` of its own.")
    bundles = [sorted(map(str, group.items)) for group in description.group if group.semantic == "BUNDLE"]
    # RFC 9725 section 4.4.1: clients bundle all media. A stranger in the group would leave aiortc without a transport.
    if bundles != [sorted(mids)] and (bundles or len(mids) > 1):
        raise OfferError("All media sections, and nothing else, must be in one `a=group:BUNDLE`.")
    if sum(media.kind == "application" for media in description.media) > 1:
        raise OfferError("More than one data channel section is offered.")
    if len({_credentials(media) for media in description.media}) > 1:
        raise OfferError("Bundled sections must share one `a=ice-ufrag` and `a=ice-pwd`.")


def _check_section(media: MediaDescription) -> None:
    where = f"The {media.kind} section {media.rtp.muxId}"
    if media.kind not in _KINDS:
        raise OfferError(f"{where} is of no kind known here: {', '.join(_KINDS)}.")
    ufrag, pwd = _credentials(media)
    if not _UFRAG.fullmatch(ufrag) or not _PWD.fullmatch(pwd):
        raise OfferError(f"{where} has no valid `a=ice-ufrag` and `a=ice-pwd`.")
    if media.dtls is None or not any(f.algorithm.lower() in X509_DIGEST_ALGORITHMS for f in media.dtls.fingerprints):
        raise OfferError(f"{where} has no `a=setup` with an `a=fingerprint` of {', '.join(X509_DIGEST_ALGORITHMS)}.")
    if media.kind == "application":
        _check_data(media, where)
        return
    if not media.rtcp_mux:
        raise OfferError(f"{where} has no `a=rtcp-mux`.")
    if not all(0 < extension.id < 256 for extension in media.rtp.headerExtensions):
        raise OfferError(f"{where} has an `a=extmap` that is not from 1 to 255.")
    if not is_answerable(media):
        raise OfferError(f"{where} offers no codec known here: {', '.join(sorted(CODECS[media.kind]))}.")


def _check_data(media: MediaDescription, where: str) -> None:
    if media.profile not in _DATA_PROFILES:
        raise OfferError(f"{where} is of no profile known here: {', '.join(_DATA_PROFILES)}.")
    legacy = str(media.fmt[0])
    port = (int(legacy) if legacy.isdecimal() else 0) if media.profile == "DTLS/SCTP" else media.sctp_port or 0
    if not 0 < port < 0x10000:
        raise OfferError(f"{where} has no `a=sctp-port` from 1 to 65535.")


def _credentials(media: MediaDescription) -> tuple[str, str]:
    return ("", "") if media.ice is None else (media.ice.usernameFragment or "", media.ice.password or "")


def _section(media: MediaDescription) -> Section:
    return Section(
        mid=media.rtp.muxId,
        kind=media.kind,
        sends=media.direction in ("sendrecv", "sendonly"),
        receives=media.direction in ("sendrecv", "recvonly"),
    )
