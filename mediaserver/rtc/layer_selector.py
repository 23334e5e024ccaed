"""Chooses one of the streams that a video section receives: the largest simulcast layer that is sent."""

from collections.abc import Callable
from enum import Enum

SILENCE = 2.5
"""Seconds without packets after which a layer counts as paused: a screen that stands still is sent once a second."""

REPLACED = 0.2
"""Seconds without packets after which a key frame that is no smaller, from another source, takes its place."""

REQUEST_PERIOD = 0.5
"""Seconds between requests for a key frame of a layer that may be larger."""

MAX_LAYERS = 16


class Choice(Enum):
    """Decision on one packet."""

    TAKE = "take"
    DROP = "drop"
    SWITCH = "switch"
    """It is taken, and begins a stream that has nothing to do with the packets taken before it."""


class LayerSelector:
    """Takes the packets of one source (SSRC) at a time.

    Layers are compared by the size of their key frames, whatever their names and their order (RFC 8853 section 5.2).
    """

    def __init__(self) -> None:
        self._chosen: int | None = None
        self._pixels: dict[int, int] = {}
        self._heard: dict[int, float] = {}
        self._requested: dict[int, float] = {}

    @property
    def chosen(self) -> int | None:
        """The source whose packets are taken."""
        return self._chosen

    def measure(self, pixels: int) -> None:
        """Record the size of a key frame of the chosen source."""
        if self._chosen is not None:
            self._pixels[self._chosen] = pixels

    def push(self, source: int, now: float, pixels: Callable[[], int | None]) -> Choice:
        """Decide on a packet at `now` (s); `pixels` is called for the size of the key frame that it begins, if any."""
        before = self._heard.get(self._chosen, now) if self._chosen is not None else now
        if source not in self._heard and len(self._heard) >= MAX_LAYERS:
            self._forget_all_but_chosen()
        self._heard[source] = now
        if self._chosen is None:
            self._chosen = source
        if source == self._chosen:
            return Choice.TAKE
        size, current, silence = pixels(), self._pixels.get(self._chosen, 0), now - before
        if size is not None:
            self._pixels[source] = size
        is_larger = size is not None and size > current
        is_successor = size is not None and size >= current and silence > REPLACED
        if not (is_larger or is_successor or silence > SILENCE):
            return Choice.DROP
        self._chosen = source
        return Choice.SWITCH

    def wants_keyframe(self, source: int, now: float) -> bool:
        """Whether to request a key frame of a source, whose packet was dropped at `now`, as it may be larger."""
        assert self._chosen is not None
        current = self._pixels.get(self._chosen, 0)
        if self._pixels.get(source, current + 1) <= current:
            return False
        if now - self._requested.get(source, float("-inf")) < REQUEST_PERIOD:
            return False
        self._requested[source] = now
        return True

    def _forget_all_but_chosen(self) -> None:
        for table in (self._pixels, self._heard, self._requested):
            for source in [source for source in table if source != self._chosen]:
                del table[source]
