"""Judges the sections of an offer: those that can be answered, over one transport, and why the others cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiortc.rtcdtlstransport import X509_DIGEST_ALGORITHMS

from mediaserver.rtc.sdp.codecs import describe_codecs, offered_names, taken_types
from mediaserver.rtc.sdp.grammar import Lines, MediaLine, OfferError, media_line, value, values

TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")

_KINDS = ("audio", "video", "application")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_DATA_PROFILES = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP")


@dataclass(slots=True)
class JudgedSection:
    """One section of an offer. `refusal` says why it cannot be answered; None if it can."""

    group: Lines
    media: MediaLine
    mid: str
    direction: str
    refusal: str | None = None

    @property
    def where(self) -> str:
        """The section in words."""
        return f"The {self.media.kind} section {self.mid}"


def judge_sections(
    head: Lines, groups: Sequence[Lines], codecs: Mapping[str, Sequence[str]], *, takes_inactive: bool
) -> list[JudgedSection]:
    """Judge each section by itself. Raises `OfferError` for two sections with one `a=mid`."""
    sections = [
        JudgedSection(group, media_line(group), mid, _direction(group, head))
        for group, mid in zip(groups, _mids(groups), strict=True)
    ]
    has_data = False
    for section in sections:
        reason = _refusal(section, codecs, takes_inactive=takes_inactive)
        if reason is None and section.media.kind == "application":
            reason = "is a second data channel section; there is one" if has_data else None
            has_data = True
        if reason is not None:
            section.refusal = f"{section.where} {reason}."
    return sections


def choose_transport(head: Lines, sections: Sequence[JudgedSection]) -> Lines | None:
    """Choose the transport that all share, and refuse the sections outside of it; None if none can be answered.

    RFC 8843 section 7.3.1: that of the first section that is answered, and all that are bundled with it.
    """
    bundles = [line.split(" ")[1:] for line in values(head, "group")]
    for anchor in sections:
        if anchor.refusal is not None:
            continue
        members = next((set(mids) for mids in bundles if anchor.mid in mids), {anchor.mid})
        bundled = [section for section in sections if section.mid in members]
        # A section that is only bundled names no transport, as the first one may do for all.
        found = [
            _transport(head, section.group) for section in sorted(bundled, key=lambda one: one.refusal is not None)
        ]
        complete = next((lines for lines in found if _missing(lines) is None), None)
        if complete is None:
            anchor.refusal = f"{anchor.where} has no {_missing(_transport(head, anchor.group))}."
            continue
        for section in sections:
            if section.refusal is None and section.mid not in members:
                section.refusal = f"{section.where} is not in the `a=group:BUNDLE` of the section {anchor.mid}."
        return complete
    return None


def _mids(groups: Sequence[Lines]) -> list[str]:
    """Return the `a=mid` of each section, or a name of our own where it has none: without BUNDLE none is needed."""
    mids = [value(group, "mid") for group in groups]
    named = [mid for mid in mids if mid is not None]
    for mid in named:
        if named.count(mid) > 1:
            raise OfferError(f"`a=mid:{mid}` stands in two media sections; each needs an `a=mid` of its own.")
    return [f"unnamed-{index}" if mid is None else mid for index, mid in enumerate(mids)]


def _direction(group: Lines, head: Lines) -> str:
    # RFC 8866 section 6.7: the session may state one for all sections; sendrecv where nobody does.
    return next((line[2:] for line in [*group, *head] if line[2:] in _DIRECTIONS), "sendrecv")


def _refusal(section: JudgedSection, codecs: Mapping[str, Sequence[str]], *, takes_inactive: bool) -> str | None:
    media, group = section.media, section.group
    if media.kind not in _KINDS:
        return f"is of no kind known here: {', '.join(_KINDS)}"
    # RFC 8843 section 6: port 0 refuses a section, or says that it is there only because it is bundled.
    if media.port == 0 and "a=bundle-only" not in group:
        return "has port 0, which offers nothing"
    if media.kind == "application":
        return _data_refusal(media, group)
    if section.direction == "inactive" and not takes_inactive:
        return "is inactive"
    if "RTP/" not in media.profile:
        return f"is of the profile {media.profile}; UDP/TLS/RTP/SAVPF is accepted"
    if "a=rtcp-mux" not in group:
        return "has no `a=rtcp-mux`"
    names = codecs[media.kind]
    if not taken_types(group, names):
        return f"offers no codec known here: it offers {offered_names(group) or 'none'}; {describe_codecs(names)}"
    return None


def _data_refusal(media: MediaLine, group: Lines) -> str | None:
    if media.profile not in _DATA_PROFILES:
        return f"is of no profile known here: {', '.join(_DATA_PROFILES)}"
    stated = media.formats[0] if media.profile == "DTLS/SCTP" else value(group, "sctp-port") or ""
    if not (stated.isdecimal() and 0 < int(stated) < 0x10000):
        return "has no `a=sctp-port` from 1 to 65535"
    return None


def _transport(head: Lines, group: Lines) -> Lines:
    """Return the lines that describe a section's transport, which the session may state for all."""
    lines: Lines = []
    for start in TRANSPORT:
        own = [line for line in group if line.startswith(start)]
        lines += own or [line for line in head if line.startswith(start)]
    return lines


def _missing(transport: Lines) -> str | None:
    if value(transport, "ice-ufrag") is None or value(transport, "ice-pwd") is None:
        return "valid `a=ice-ufrag` and `a=ice-pwd`"
    algorithms = {line.split(" ")[0].lower() for line in values(transport, "fingerprint")}
    if value(transport, "setup") is None or not algorithms & X509_DIGEST_ALGORITHMS.keys():
        return f"`a=setup` with an `a=fingerprint` of {', '.join(X509_DIGEST_ALGORITHMS)}"
    return None
