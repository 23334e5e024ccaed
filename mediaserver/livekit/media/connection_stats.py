"""Statistics of a link: loss and round trip."""

from collections import deque
from collections.abc import Iterable

from aiortc import RTCRtpTransceiver

from mediaserver.livekit.media.types import Reception
from mediaserver.rtc.aiortc_patches.media import feedback, received

SPAN = 5
"""The window of the loss, in samples."""


class StatsSampler:
    """Samples the RTP counters of the media sections, about once a second."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque(maxlen=SPAN + 1)
        self._loss_down = 0.0
        self._round_trip: float | None = None

    def sample(self, sections: Iterable[RTCRtpTransceiver]) -> None:
        """Count the packets received, and read the client's receiver reports."""
        expected = arrived = 0
        self._loss_down = 0.0
        for section in sections:
            counts = received(section.receiver)
            expected, arrived = expected + counts[0], arrived + counts[1]
            loss, round_trip = feedback(section.sender)
            self._loss_down = max(self._loss_down, loss or 0.0)
            self._round_trip = round_trip if round_trip is not None else self._round_trip
        if self._counts and expected < self._counts[-1][0]:
            self._counts.clear()  # a section has ended
        self._counts.append((expected, arrived))

    @property
    def reception(self) -> Reception:
        """The loss and round trip over the window."""
        expected = self._counts[-1][0] - self._counts[0][0] if self._counts else 0
        arrived = self._counts[-1][1] - self._counts[0][1] if self._counts else 0
        loss_up = max(0.0, 1 - arrived / expected) if expected else 0.0
        return Reception(loss=max(loss_up, self._loss_down), round_trip=self._round_trip)
