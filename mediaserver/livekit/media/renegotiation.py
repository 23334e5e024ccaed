"""Renegotiation: removes from an offer what aiortc cannot answer, and completes aiortc's answer."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mediaserver.livekit.media.types import OfferedSection
from mediaserver.rtc.sdp.codecs import answer_h264
from mediaserver.rtc.sdp.grammar import Lines, media_line, read_lines, split, value
from mediaserver.rtc.sdp.offer import RENEGOTIATION_LIMITS, Offer, OfferError, has_supported_codec, parse_renegotiated

MAX_MESSAGE = 65_536
"""Bytes of a data channel message, announced in the answer; clients send at most 64,000."""

_TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")
_PLACEHOLDER_CODECS = {"audio": "opus/48000/2", "video": "VP8/90000"}
_PLACEHOLDER_TYPE = 96
_MEDIA_LINES = ("m=", "a=rtpmap:", "a=fmtp:", "a=rtcp-fb:", "a=ssrc", "a=msid:", "a=extmap:")
_VP8 = re.compile(r"^a=rtpmap:([0-9]+) VP8/", re.MULTILINE)
# libwebrtc (media/base/media_constants.h): kbit/s. It begins with 300 otherwise, and takes half a minute to reach what
# a shared screen needs.
_START = "x-google-start-bitrate=1500"
_LAYERS = ("f", "h", "q")  # livekit-client's names: full, half and quarter size


@dataclass(frozen=True, slots=True)
class RenegotiationOffer:
    """An offer prepared for aiortc, with some sections refused.

    `offer`: for aiortc, with inactive placeholders for refused sections. `layers`: the simulcast layer to receive, by
    mid. `refused`: the lines of the refused sections as offered, by mid.
    """

    offer: Offer
    sections: tuple[OfferedSection, ...]
    layers: Mapping[str, str]
    refused: Mapping[str, tuple[str, ...]]

    def finish(self, answer: str) -> str:
        """Turn aiortc's answer to `offer` into the answer to the client's offer."""
        head, groups = split(answer.splitlines())
        finished = [self._finish(section, group) for section, group in zip(self.sections, groups, strict=True)]
        mids = [section.mid for section, group in zip(self.sections, finished, strict=True) if not _is_zero(group)]
        head = [f"a=group:BUNDLE {' '.join(mids)}" if line.startswith("a=group:BUNDLE") else line for line in head]
        return "".join(f"{line}\r\n" for lines in (head, *finished) for line in lines)

    def _finish(self, section: OfferedSection, group: Lines) -> Lines:
        if section.mid in self.refused:
            return list(_refusal(self.refused[section.mid], group))
        if section.kind == "application":
            return [limit_message_size(line) for line in group]
        described = next(one for one in self.offer.sections if one.mid == section.mid)
        group = answer_h264(group, described.h264)
        if section.kind == "video" and section.sends:
            group = [*group, *(f"a=fmtp:{name} {_START}" for name in _VP8.findall("\n".join(group)))]
        if section.mid in self.layers:
            # RFC 8853: without this line, the client sends only the first layer, which is mostly the smallest.
            layer = self.layers[section.mid]
            group = [*group, f"a=rid:{layer} recv", f"a=simulcast:recv {layer}"]
        return group


def limit_message_size(line: str) -> str:
    """Set our limit in an `a=max-message-size` line; return other lines unchanged."""
    return f"a=max-message-size:{MAX_MESSAGE}" if line.startswith("a=max-message-size:") else line


def parse_renegotiable(text: str) -> RenegotiationOffer:
    """Parse an offer. Raises only `OfferError`."""
    head, groups = split(read_lines(text, RENEGOTIATION_LIMITS))
    sections: list[OfferedSection] = []
    layers: dict[str, str] = {}
    refused: dict[str, tuple[str, ...]] = {}
    for group in groups:
        section = _section(group)
        sections.append(section)
        layer = _top_layer(group)
        if section.is_refused:
            refused[section.mid] = tuple(group)
        elif layer is not None and section.kind == "video" and section.sends:
            layers[section.mid] = layer
    answerable = next((group for section, group in zip(sections, groups, strict=True) if not section.is_refused), None)
    if refused and answerable is None:
        raise OfferError("The offer has no media section that can be answered.")
    transport = [line for line in answerable or () if line.startswith(_TRANSPORT)]
    mended = [
        _placeholder_section(section, transport) if section.is_refused else group
        for section, group in zip(sections, groups, strict=True)
    ]
    lines = [*_bundle_all(head, sections, groups), *(line for group in mended for line in group)]
    return RenegotiationOffer(parse_renegotiated("\r\n".join(lines)), tuple(sections), layers, refused)


def _section(group: Lines) -> OfferedSection:
    mid = value(group, "mid")
    if mid is None:
        raise OfferError("Every media section needs an `a=mid` of its own.")
    kind = media_line(group).kind
    direction = next((line for line in group if line in ("a=sendonly", "a=recvonly", "a=inactive")), "a=sendrecv")
    is_refused = kind in _PLACEHOLDER_CODECS and (_is_zero(group) or not has_supported_codec(kind, group))
    msid = (value(group, "msid") or "").split()
    return OfferedSection(
        mid=mid,
        kind=kind,
        sends=direction in ("a=sendrecv", "a=sendonly") and not _is_zero(group),
        receives=direction in ("a=sendrecv", "a=recvonly") and not _is_zero(group),
        cid=msid[1] if len(msid) > 1 else None,
        is_refused=is_refused,
    )


def _is_zero(group: Lines) -> bool:
    # RFC 8843 section 6: port 0 refuses a section, or says that it is there only because it is bundled.
    return media_line(group).port == 0 and "a=bundle-only" not in group


def _top_layer(group: Lines) -> str | None:
    """Return the largest simulcast layer by LiveKit's names, preferably one that is not paused (`~`)."""
    found = re.fullmatch(r"(?:.* )?send ([A-Za-z0-9_;,~-]{1,200})(?: .*)?", value(group, "simulcast") or "")
    names = [layer.split(",")[0] for layer in found[1].split(";")] if found else []
    known = {line[6:].split(" ")[0] for line in group if line.startswith("a=rid:")}
    names = [name for name in names if name.lstrip("~") in known]
    names = [name for name in names if not name.startswith("~")] or [name[1:] for name in names]
    return next((layer for layer in _LAYERS if layer in names), names[0] if names else None)


def _placeholder_section(section: OfferedSection, transport: Lines) -> Lines:
    """Render an inactive section that aiortc can answer, in place of a refused one."""
    return [
        f"m={section.kind} 9 UDP/TLS/RTP/SAVPF {_PLACEHOLDER_TYPE}",
        "c=IN IP4 0.0.0.0",
        f"a=mid:{section.mid}",
        "a=inactive",
        "a=rtcp-mux",
        f"a=rtpmap:{_PLACEHOLDER_TYPE} {_PLACEHOLDER_CODECS[section.kind]}",
        *transport,
    ]


def _bundle_all(head: Lines, sections: list[OfferedSection], groups: list[Lines]) -> Lines:
    """Add the refused sections, which port 0 has removed, to the one BUNDLE group."""
    there = {section.mid for section, group in zip(sections, groups, strict=True) if not _is_zero(group)}
    everyone = " ".join(section.mid for section in sections)
    bundles = [line for line in head if line.startswith("a=group:BUNDLE")]
    if len(bundles) != 1 or set(bundles[0].split()[1:]) != there:
        return head  # for `parse_offer` to judge
    return [f"a=group:BUNDLE {everyone}" if line == bundles[0] else line for line in head]


def _refusal(offered: tuple[str, ...], answered: Lines) -> Iterator[str]:
    kind, _, profile, types = offered[0][2:].split(" ", 3)
    if _is_zero(list(offered)):
        yield f"m={kind} 0 {profile} {types}"
        yield "c=IN IP4 0.0.0.0"
        yield "a=inactive"
        yield from (line for line in answered if line.startswith("a=mid:"))
        return
    # Not with port 0: the client could then reuse the section under a new mid.
    first = types.split(" ")[0]
    yield f"m={kind} 9 {profile} {first}"
    yield from (line for line in answered if not line.startswith(_MEDIA_LINES))
    yield from (line for line in offered if line.startswith((f"a=rtpmap:{first} ", f"a=fmtp:{first} ")))
