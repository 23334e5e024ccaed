"""Finds the places of a screen that keep changing by themselves: spinners, ticking clocks, blinking cursors."""

import numpy as np
from numpy.typing import NDArray

from pipeline.screen.frame_signature import BLOCK, BLOCK_LEVEL, FrameSignature
from pipeline.screen.regions import regions

HOLD = 2.2
"""Seconds without a change after which a place is no longer restless; a clock ticks once a second."""

_FORGOTTEN = 12.0  # seconds without a change after which those of a block are counted anew; a digit may change every 10
_LEAST_CHANGES = 3
_HABITUAL_CHANGES = 8  # more than the letters of a word, typed one by one, make in one block
_TOLERANCE = 8  # levels of 256, of the mean of a block: three pixels of a digit move it by more
_HEIGHT, _WIDTH = 96 // BLOCK, 128 // BLOCK  # what is larger is a video, or a page that scrolls
_SHARE = 16  # and so is what fills more than this part of the screen


class RestlessPlaces:
    """Compares each frame with the one before it, block by block. It has no clock: `now` is monotonic, in seconds."""

    def __init__(self) -> None:
        self._before: FrameSignature | None = None
        self._changes = np.zeros((0, 0), np.uint16)
        self._changed_at = np.zeros((0, 0), np.float64)

    def observe(self, frame: FrameSignature, now: float) -> None:
        """Take the next frame; one of another size starts afresh."""
        before, self._before = self._before, frame
        if before is None or not before.is_comparable(frame):
            self._changes = np.zeros(frame.blocks.shape, np.uint16)
            self._changed_at = np.full(frame.blocks.shape, -np.inf)
            return
        changed = np.abs(frame.moved(before)) > _TOLERANCE * BLOCK_LEVEL
        if changed.any():
            continued = now - self._changed_at[changed] <= _FORGOTTEN
            self._changes[changed] = np.where(continued, np.minimum(self._changes[changed], 1_000) + 1, 1)
            self._changed_at[changed] = now

    def find(self, now: float) -> NDArray[np.bool_]:
        """Return which blocks are restless, as (rows, columns) of a signature."""
        return _without_large((self._changes >= _LEAST_CHANGES) & (now - self._changed_at <= HOLD))

    def find_habitual(self, now: float) -> NDArray[np.bool_]:
        """Return which blocks have been changing for long, and not just with a word that is typed."""
        return _without_large((self._changes >= _HABITUAL_CHANGES) & (now - self._changed_at <= _FORGOTTEN))

    def last_change(self, top: int, left: int, blocks: NDArray[np.bool_]) -> float:
        """Return when one of the set blocks, which begin at a row and a column, changed last; -inf if none has."""
        height, width = blocks.shape
        changed_at = self._changed_at[top : top + height, left : left + width]
        return float(changed_at[blocks].max(initial=-np.inf))


def _without_large(blocks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    places = regions(blocks) if blocks.any() else []
    if places is None:
        return np.zeros_like(blocks)
    for top, left, bottom, right in places:
        height, width = bottom - top, right - left
        if height > _HEIGHT or width > _WIDTH or height * width * _SHARE > blocks.size:
            blocks[top:bottom, left:right] = False
    return blocks
