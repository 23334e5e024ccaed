"""Parsing and validation of SDP offers, before a connection is created."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters
from aiortc.sdp import SessionDescription

from mediaserver.rtc.sdp.answer import AnsweredSection, AnswerPlan
from mediaserver.rtc.sdp.candidates import parse_candidate
from mediaserver.rtc.sdp.codecs import G711, OPUS, VIDEO, simulcast_layers, take_codecs, taken_types
from mediaserver.rtc.sdp.grammar import Bounds as Bounds
from mediaserver.rtc.sdp.grammar import Lines, MediaLine, read_lines, split, value, values
from mediaserver.rtc.sdp.grammar import OfferError as OfferError
from mediaserver.rtc.sdp.judgement import TRANSPORT, JudgedSection, choose_transport, judge_sections
from pipeline.errors import ProtocolError

MAX_BYTES = 64_000

SINGLE_OFFER_LIMITS = Bounds(MAX_BYTES, lines=2_000, sections=16)
"""Bounds for a client that offers once."""

RENEGOTIATION_LIMITS = Bounds(500_000, lines=16_000, sections=64)
"""Bounds for a client that renegotiates, and adds a section for each track it publishes."""

_SESSION = ("v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0")
_DATA_LINES = ("a=sctp-port:", "a=sctpmap:", "a=max-message-size:")
_DIRECTIONS = ("a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive")


@dataclass(frozen=True, slots=True)
class Section:
    """One media section that is answered; the directions are the client's.

    `h264` and `parameter_sets` are the `answers` and `parameter_sets` of `TakenCodecs`. `layers`: the simulcast layers
    that the client sends. `extensions`: its RTP header extensions. `repairs`: the SSRCs that its RTX SSRCs repair.
    """

    mid: str
    kind: str
    sends: bool
    receives: bool
    h264: Mapping[str, str] = field(default_factory=dict)
    parameter_sets: Mapping[int, bytes] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    extensions: tuple[RTCRtpHeaderExtensionParameters, ...] = ()
    repairs: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer that can be answered.

    `sdp`, for aiortc, and `sections` hold the sections that are answered; candidates are in `candidates` alone.
    `finish` turns aiortc's answer to `sdp` into the answer to the client's offer.
    """

    sdp: str
    sections: tuple[Section, ...]
    candidates: tuple[str, ...]
    ufrag: str
    pwd: str
    plan: AnswerPlan

    @property
    def has_data(self) -> bool:
        """Whether a data channel is offered."""
        return any(section.kind == "application" for section in self.sections)

    def finish(self, answer: str) -> str:
        """Turn aiortc's answer to `sdp` into the answer to the offer."""
        return self.plan.finish(answer)


def parse_offer(text: str) -> Offer:
    """Parse the offer of a client that offers once, or raise `OfferError` and nothing else.

    Sections that cannot be answered are refused, and the others answered; an offer of no other kind is an error.
    """
    return _parse(text, SINGLE_OFFER_LIMITS, audio=(*OPUS, *G711), is_single=True)


def parse_renegotiated(text: str) -> Offer:
    """Parse a description of a client that renegotiates; raises `OfferError` unless every section can be answered."""
    return _parse(text, RENEGOTIATION_LIMITS, audio=OPUS, is_single=False)


def parse_sdp(sdp: str) -> SessionDescription:
    """Parse a description with aiortc's parser. Raises `OfferError`."""
    try:
        return SessionDescription.parse(sdp)
    # It asserts, indexes, unpacks and looks up as it goes (sdp.py:340).
    except (ValueError, AssertionError, LookupError, StopIteration, AttributeError, TypeError):
        raise OfferError("The offer is not well-formed SDP.") from None


def has_supported_codec(kind: str, group: Lines) -> bool:
    """Return whether an audio or video section offers a codec that can be forwarded: Opus, VP8 or H.264."""
    return bool(taken_types(group, OPUS if kind == "audio" else VIDEO))


def _parse(text: str, bounds: Bounds, *, audio: Sequence[str], is_single: bool) -> Offer:
    head, groups = split(read_lines(text, bounds))
    if not groups:
        raise OfferError("The offer has no media section; offer audio, video or a data channel.")
    judged = judge_sections(head, groups, {"audio": audio, "video": VIDEO}, takes_inactive=not is_single)
    transport = choose_transport(head, judged)
    refusals = [section.refusal for section in judged if section.refusal is not None]
    if transport is None or (refusals and not is_single):
        raise OfferError(" ".join(refusals))
    taken = [(section, *_take(section, audio, transport)) for section in judged if section.refusal is None]
    described = {section.mid: answered for section, answered, _ in taken}
    plan = AnswerPlan(
        tuple(_plan(section, described.get(section.mid)) for section in judged), is_bundled=bool(values(head, "group"))
    )
    session = [*_SESSION, f"a=group:BUNDLE {' '.join(described)}"]
    session += [line for line in head if line.startswith(("a=msid-semantic:", "a=ice-lite"))]
    sdp = "".join(f"{line}\r\n" for lines in (session, *(lines for *_, lines in taken)) for line in lines)
    parse_sdp(sdp)
    ufrag, pwd = value(transport, "ice-ufrag") or "", value(transport, "ice-pwd") or ""
    return Offer(sdp, tuple(described.values()), _candidates(groups), ufrag, pwd, plan)


def _take(judged: JudgedSection, audio: Sequence[str], transport: Lines) -> tuple[Section, Lines]:
    """Describe a section, and write its lines for aiortc."""
    media, receives = judged.media, judged.direction in ("sendrecv", "recvonly")
    section = Section(judged.mid, media.kind, judged.direction in ("sendrecv", "sendonly"), receives)
    if media.kind == "application":
        first = MediaLine(media.kind, 9, media.profile, media.formats).render()
        group = [first, *(line for line in judged.group if line.startswith(_DATA_LINES))]
    else:
        names = _preferred(judged.group, audio) if media.kind == "audio" else VIDEO
        codecs = take_codecs(judged.group, names, receives=receives)
        layers = simulcast_layers(judged.group) if section.sends and media.kind == "video" else ()
        section = replace(
            section,
            h264=codecs.answers,
            parameter_sets=codecs.parameter_sets,
            layers=layers,
            extensions=_extensions(judged.group),
            repairs=_repairs(judged.group),
        )
        group = codecs.lines
    kept = [line for line in group if not line.startswith((*TRANSPORT, "a=mid:", "a=candidate:", *_DIRECTIONS))]
    return section, [*kept, f"a=mid:{judged.mid}", f"a={judged.direction}", *transport]


def _extensions(group: Lines) -> tuple[RTCRtpHeaderExtensionParameters, ...]:
    found = (line.split(" ") for line in values(group, "extmap"))
    return tuple(RTCRtpHeaderExtensionParameters(id=int(number), uri=uri) for number, uri in found)


def _repairs(group: Lines) -> dict[int, int]:
    # RFC 5888 and RFC 4588 section 8.8: the first is repaired by the second.
    pairs = (line.split(" ")[1:] for line in values(group, "ssrc-group") if line.startswith("FID "))
    return {int(pair[1]): int(pair[0]) for pair in pairs if len(pair) == 2}


def _preferred(group: Lines, audio: Sequence[str]) -> Sequence[str]:
    """Choose Opus where it is offered: what is sent in a section is of one codec."""
    return OPUS if taken_types(group, OPUS) else audio


def _plan(judged: JudgedSection, taken: Section | None) -> AnsweredSection:
    mid = value(judged.group, "mid")
    if taken is None:
        return AnsweredSection(judged.media, mid, is_refused=True)
    return AnsweredSection(judged.media, mid, h264=taken.h264, layers=taken.layers)


def _candidates(groups: Iterable[Lines]) -> tuple[str, ...]:
    """Collect the candidates of all sections, each once, without those that are malformed."""
    found: dict[str, None] = {}
    for group in groups:
        for line in values(group, "candidate"):
            try:
                parse_candidate(line)
            except ProtocolError:
                continue
            found[f"a=candidate:{line}"] = None
    return tuple(found)
