"""The value types and the listener of a media link."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pipeline.errors import MediaError
from pipeline.media import AudioChunk, ScreenFrame

RELIABLE = "_reliable"
LOSSY = "_lossy"
"""The labels of the data channels; their ids vary between clients."""


class Target(StrEnum):
    """One of a client's peer connections; in single mode always the publisher."""

    PUBLISHER = "publisher"
    SUBSCRIBER = "subscriber"


class LinkState(StrEnum):
    """The state of a link; each is reported once, and none follows FAILED and CLOSED."""

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
    """Whether the answer refuses it (port 0 or inactive) for lack of a common codec."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An outgoing track; its section has `a=msid:<stream> <track>`."""

    track: str
    stream: str
    kind: str
    """audio or video."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with all our candidates.

    `sections`: those of the offer, in order. `sent`: all outgoing tracks (`Outgoing.track`) by mid.
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
    """The number of sections that outgoing tracks lack in the newest offer."""

    audios: int = 0
    videos: int = 0


@dataclass(frozen=True, slots=True)
class Reception:
    """Recent quality: the higher packet loss of both directions (0 to 1), and the round trip (s) if known."""

    loss: float = 0.0
    round_trip: float | None = None


class LinkEvents(Protocol):
    """Listener of a link, called on the event loop. Its methods do not block and do not raise."""

    def on_audio(self, mid: str, chunk: AudioChunk) -> None:
        """Receive gapless mono audio of a section, with silence in place of missing packets."""
        ...

    def on_frame(self, mid: str, frame: ScreenFrame) -> None:
        """Receive a decoded frame of a video section."""
        ...

    def on_pause(self, mid: str) -> None:
        """Handle an RTCP BYE of a section: its media pauses."""
        ...

    def on_data(self, label: str, data: bytes) -> None:
        """Receive a message from the data channel of that label."""
        ...

    def on_state(self, state: LinkState) -> None:
        """Handle a change of the link's state."""
        ...

    def on_fault(self, mid: str, error: MediaError) -> None:
        """Handle a decoder error of a section, reported at most once in 10 s for each."""
        ...
