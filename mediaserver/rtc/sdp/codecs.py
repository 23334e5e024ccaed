"""The codecs of a media section: those that are taken, as aiortc reads them and as the client is answered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mediaserver.rtc.sdp import h264
from mediaserver.rtc.sdp.grammar import Lines, MediaLine, by_type, media_line, values

OPUS = ("opus",)
G711 = ("pcmu", "pcma")
"""Spoken by telephones and cameras, and mandatory by RFC 7874 section 3."""

VIDEO = ("vp8", "h264")

_CLOCKS = {"opus": "48000", "pcmu": "8000", "pcma": "8000", "vp8": "90000", "h264": "90000"}
_DESCRIBED = {
    "opus": "Opus",
    "pcmu": "PCMU",
    "pcma": "PCMA",
    "vp8": "VP8",
    "h264": "H264 (profile baseline, main or high; packetization-mode 0 or 1)",
}
_CODEC_LINES = ("m=", "a=rtpmap:", "a=fmtp:")


@dataclass(frozen=True, slots=True)
class TakenCodecs:
    """The codecs of one section that are taken.

    `lines`: the section for aiortc. `answers`: the `a=fmtp` value of each H.264 in the answer, by payload type.
    `parameter_sets`: those that only the description holds, with start codes, by payload type.
    """

    lines: Lines
    answers: Mapping[str, str]
    parameter_sets: Mapping[int, bytes]


def taken_types(group: Lines, names: Iterable[str]) -> dict[str, str]:
    """Return the codecs of these names that a section offers and that can be decoded, by payload type."""
    maps, parameters = by_type(group, "rtpmap"), by_type(group, "fmtp")
    known = set(names)
    taken = {}
    for payload_type, codec in maps.items():
        name, clock = codec.lower().split("/")[:2]
        if name not in known or clock != _CLOCKS[name]:
            continue
        if name != "h264" or h264.is_decodable(h264.parse_parameters(parameters.get(payload_type, ""))):
            taken[payload_type] = name
    return taken


def offered_names(group: Lines) -> str:
    """Name the codecs of a section, as the client spells them."""
    names = dict.fromkeys(codec.split("/")[0] for codec in by_type(group, "rtpmap").values())
    return ", ".join(name for name in names if name.lower() not in ("rtx", "red", "ulpfec", "flexfec-03"))


def describe_codecs(names: Iterable[str]) -> str:
    """State in words which codecs are accepted."""
    return f"accepted: {', '.join(_DESCRIBED[name] for name in names)}"


def take_codecs(group: Lines, names: Iterable[str], *, receives: bool) -> TakenCodecs:
    """Reduce a section to the codecs of these names, of which there must be one; `receives`: the client does."""
    taken = taken_types(group, names)
    parameters = {name: h264.parse_parameters(text) for name, text in by_type(group, "fmtp").items()}
    video = {name: parameters.get(name, {}) for name, codec in taken.items() if codec == "h264"}
    if receives:
        # aiortc fragments what it sends (codecs/h264.py:136), which mode 0 does not know.
        single = [name for name in video if h264.packetization_mode(video[name]) == "0"]
        if len(single) < len(taken):
            taken = {name: codec for name, codec in taken.items() if name not in single}
    repairs = {
        name: parameters.get(name, {}).get("apt", "")
        for name, codec in by_type(group, "rtpmap").items()
        if codec.lower().startswith("rtx/")
    }
    repairs = {name: repaired for name, repaired in repairs.items() if repaired in taken}
    media = media_line(group)
    maps = by_type(group, "rtpmap")
    # aiortc's parser knows profiles of upper case letters alone (sdp.py:401), and its answer is always of this one.
    profile = "UDP/TLS/RTP/SAVPF"
    lines = [MediaLine(media.kind, 9, profile, (*taken, *repairs)).render()]
    lines += [line for line in group if not line.startswith(_CODEC_LINES)]
    lines += [f"a=rtpmap:{name} {codec}" for name, codec in maps.items() if name in taken or name in repairs]
    lines += [f"a=fmtp:{name} {h264.TAKEN_PARAMETERS}" for name in video if name in taken]
    lines += [f"a=fmtp:{name} apt={repaired}" for name, repaired in repairs.items()]
    sets = {int(name): found for name, offered in video.items() if (found := h264.parameter_sets(offered))}
    return TakenCodecs(lines, {name: h264.answer_parameters(video[name]) for name in video if name in taken}, sets)


def answer_h264(group: Lines, answers: Mapping[str, str]) -> Lines:
    """Put the client's own H.264 parameters in an answered section, in place of `h264.TAKEN_PARAMETERS`."""
    kept = [line for line in group if not (line.startswith("a=fmtp:") and line[7:].split(" ")[0] in answers)]
    return kept + [f"a=fmtp:{name} {text}" for name, text in answers.items() if text]


def simulcast_layers(group: Lines) -> tuple[str, ...]:
    """Return the names of the simulcast layers (RFC 8853) that a section sends, each in its first alternative.

    Paused layers are among them: they may be resumed at any time.
    """
    known = {rid.split(" ")[0] for rid in values(group, "rid") if rid.endswith(" send")}
    for line in values(group, "simulcast"):
        words = line.split(" ")
        if "send" in words[:-1]:
            layers = words[words.index("send") + 1].removeprefix("rid=").split(";")
            names = [layer.split(",")[0].removeprefix("~") for layer in layers]
            return tuple(dict.fromkeys(name for name in names if name in known))
    return ()
