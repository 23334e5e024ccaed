"""What a renegotiable peer connection and whoever signals for it tell one another, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipeline.errors import MediaError
from pipeline.media import AudioChunk, ScreenFrame

RELIABLE = "_reliable"
LOSSY = "_lossy"
"""The labels of the data channels that carry packets; ids vary between clients."""


class Target(StrEnum):
    """Which of a client's connections is meant; with a single one it is always the publisher."""

    PUBLISHER = "publisher"
    SUBSCRIBER = "subscriber"


class LinkState(StrEnum):
    """What has become of a link; each is told once, and nothing follows FAILED and CLOSED."""

    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class OfferedSection:
    """One media section of a client's offer, as the client sees it; `cid` is the track of its `a=msid`."""

    mid: str
    kind: str
    sends: bool
    receives: bool
    cid: str | None = None
    is_refused: bool = False
    """Whether it is answered with port 0 or inactive because no codec is shared."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A track that a client is sent: `track` and `stream` become `a=msid:<stream> <track>` of its section."""

    track: str
    stream: str
    kind: str
    """audio or video."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What answers an offer, with all our candidates in it.

    `sections`: all of the offer, in its order. `sent`: which track (`Outgoing.track`) goes out in which mid, complete.
    """

    sdp: str
    sections: tuple[OfferedSection, ...]
    sent: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LocalOffer:
    """An offer of ours to the client's subscriber connection; `sent` as in `Answer`."""

    sdp: str
    sent: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MissingSections:
    """How many sections an offer must have more of before every outgoing track has one."""

    audios: int = 0
    videos: int = 0


@dataclass(frozen=True, slots=True)
class Reception:
    """How well a link works lately: the share of packets lost either way (0 to 1), and the round trip (s) if known."""

    loss: float = 0.0
    round_trip: float | None = None


class LinkEvents(Protocol):
    """What a link tells, always on the event loop. Nothing here waits, and nothing here raises."""

    def on_audio(self, mid: str, chunk: AudioChunk) -> None:
        """Gapless mono microphone audio of a section, silence for lulls included, as `rtc.microphone` gives it."""
        ...

    def on_frame(self, mid: str, frame: ScreenFrame) -> None:
        """A picture of a video section that is watched."""
        ...

    def on_pause(self, mid: str) -> None:
        """A section's sender has said BYE: nothing comes until it goes on."""
        ...

    def on_data(self, label: str, data: bytes) -> None:
        """A message on the data channel of that label."""
        ...

    def on_state(self, state: LinkState) -> None:
        """The link has changed."""
        ...

    def on_fault(self, mid: str, error: MediaError) -> None:
        """Media of a section cannot be decoded; at most once in 10 s for each section."""
        ...
