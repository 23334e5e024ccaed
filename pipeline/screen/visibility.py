"""Detects that the shared screen cannot be seen although it is shared."""

from enum import StrEnum

from pipeline.media import ScreenFrame

STALE_AFTER = 3.0
"""Seconds without a frame after which a live video counts as paused: browsers repeat a still screen every second."""

_BLACK = 32  # levels of 256; black is 16 in video, and a codec adds a little
_EVERY = 4  # pixels, both ways


class Blindness(StrEnum):
    """Reasons why a shared screen cannot be seen."""

    STALE = "stale"
    BLACK = "black"


def blindness_of(frame: ScreenFrame, now: float) -> Blindness | None:
    """Return why this frame, the newest, does not show the screen at `now` (monotonic s), or None if it does."""
    if frame.is_live and now - frame.arrived >= STALE_AFTER:
        return Blindness.STALE
    return Blindness.BLACK if int(frame.y[::_EVERY, ::_EVERY].max()) <= _BLACK else None
