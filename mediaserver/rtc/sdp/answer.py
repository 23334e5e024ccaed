"""The answer to a client that offers once: aiortc's, with the sections that are refused and in the client's terms."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mediaserver.rtc.sdp.codecs import answer_h264
from mediaserver.rtc.sdp.grammar import Lines, MediaLine, media_line, split, value

_NO_ADDRESS = "c=IN IP4 0.0.0.0"


@dataclass(frozen=True, slots=True)
class AnsweredSection:
    """A section as it was offered, and what the answer to it needs.

    `mid`: None where the offer has none. `h264` as in `TakenCodecs.answers`. `layers`: the simulcast layers to receive.
    """

    media: MediaLine
    mid: str | None
    is_refused: bool = False
    h264: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[str, ...] = ()

    def refuse(self) -> Lines:
        """Refuse the section (RFC 8866 section 5.14: port 0)."""
        refused = MediaLine(self.media.kind, 0, self.media.profile, self.media.formats).render()
        return [refused, _NO_ADDRESS, "a=inactive"] + ([] if self.mid is None else [f"a=mid:{self.mid}"])

    def finish(self, group: Lines) -> Lines:
        """Turn aiortc's answer into one to the section as it was offered."""
        answered = media_line(group)
        # RFC 9429 section 5.3.1: the profile is the offer's.
        first = MediaLine(answered.kind, answered.port, self.media.profile, answered.formats).render()
        rest = [line for line in group[1:] if self.mid is not None or not line.startswith("a=mid:")]
        # RFC 8853: without these lines the client sends only the first layer, which is mostly the smallest.
        layers = [f"a=rid:{layer} recv" for layer in self.layers]
        simulcast = [f"a=simulcast:recv {';'.join(self.layers)}"] if self.layers else []
        return [first, *answer_h264(rest, self.h264), *layers, *simulcast]


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """The sections of an offer, in order; `is_bundled`: it has a BUNDLE group."""

    sections: tuple[AnsweredSection, ...]
    is_bundled: bool

    def finish(self, answer: str) -> str:
        """Turn aiortc's answer to the sections that are not refused into the answer to the offer."""
        head, groups = split(answer.splitlines())
        answered = iter(groups)
        finished = [
            section.refuse() if section.is_refused else section.finish(next(answered)) for section in self.sections
        ]
        mids = [value(group, "mid") for group in finished if media_line(group).port]
        bundle = [f"a=group:BUNDLE {' '.join(filter(None, mids))}"] if self.is_bundled else []
        head = [line for line in head if not line.startswith("a=group:")] + bundle
        return "".join(f"{line}\r\n" for group in (head, *finished) for line in group)
