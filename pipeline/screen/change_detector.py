"""Distinguishes a change on the screen from codec noise, and from what moves there without meaning anything."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from pipeline.media import Plane, ScreenFrame
from pipeline.screen.frame_signature import (
    BLOCK,
    LEVEL,
    TOLERANCE,
    WINDOW_ACROSS,
    WINDOW_DOWN,
    FrameSignature,
    window_sums,
)
from pipeline.screen.regions import Rectangle, regions, tight
from pipeline.screen.restless_places import RestlessPlaces

_SIDE = 20  # pixels: what is smaller both ways may be a pointer or a checkbox, what is not is a dialog or a word
_POINTER_WIDTH, _POINTER_HEIGHT = 18, 26  # pixels of the largest upright pointer in general use, at 100 % scale
_CURSOR_WIDTH, _CURSOR_HEIGHT = 4, 64  # pixels of the largest text cursor
_MOVED_SIDE = 48  # pixels of the largest thing that may have moved: a pointer at 200 % scale
_MOVED_SIZE = 3  # pixels by which its size may differ in the two places
_MOVED_BY = 12  # pixels by which it may have moved onto its own old place
_MOVED_LEVELS = 24  # of 256, the mean difference of one picture in two places
_PIXEL = 40  # levels of 256 by which a pixel differs that was drawn anew; a codec's ripples around text have less
_RIM = 2  # pixels around restless blocks that change too little to make their own block restless
_SPLIT_SIDE = 64  # pixels
_MAX_PARTS = 4
_MAX_REGIONS = 12


class Change(Enum):
    """Kinds of difference from the remembered frame, from the least to the greatest."""

    NONE = 0
    PASSING = 1
    """A pointer that has moved, a cursor that blinks, a place that keeps changing."""
    SMALL = 2
    """A thing smaller than a word, such as a tick in a checkbox; a pointer that has come or gone; more of a clock."""
    LARGE = 3


@dataclass(frozen=True, slots=True)
class _Part:
    """A rectangle of the screen, and which of its pixels were drawn anew."""

    area: Rectangle
    drawn: NDArray[np.bool_]

    @property
    def height(self) -> int:
        return self.area[2] - self.area[0]

    @property
    def width(self) -> int:
        return self.area[3] - self.area[1]

    def cut(self, inner: Rectangle) -> "_Part":
        """Return the part in a rectangle, which is counted from this one's top left."""
        (top, left), (first, start, last, end) = self.area[:2], inner
        return _Part((top + first, left + start, top + last, left + end), self.drawn[first:last, start:end])

    def of(self, pixels: NDArray[np.bool_], area: Rectangle) -> NDArray[np.bool_]:
        """Return what `pixels`, which cover an area around this part, say of it."""
        top, left = self.area[0] - area[0], self.area[1] - area[1]
        return pixels[top : top + self.height, left : left + self.width]


@dataclass(frozen=True, slots=True)
class _Difference:
    """A region that differs: its size without restless places, the few things in it, and since when it is still."""

    height: int
    width: int
    is_habitual: bool  # where something changes all the time, such as the seconds of a clock
    parts: list[_Part]
    since: float


class ChangeDetector:
    """Compares frames with the remembered one by luma alone; `now` is any monotonic clock in seconds."""

    def __init__(self) -> None:
        self._remembered: tuple[ScreenFrame, FrameSignature] | None = None
        self._newest: tuple[ScreenFrame, FrameSignature] | None = None
        self._observed: ScreenFrame | None = None
        self._restless = RestlessPlaces()

    @property
    def is_empty(self) -> bool:
        """Whether no frame is remembered."""
        return self._remembered is None

    def has_changed(self, frame: ScreenFrame, *, tolerance: float = TOLERANCE) -> bool:
        """Whether the frame differs at all; `tolerance` is in levels of 256, see `TOLERANCE`."""
        windows = self._windows(frame, tolerance)
        return windows is None or bool(windows.any())

    def assess(self, frame: ScreenFrame, now: float) -> tuple[Change, float]:
        """Return the greatest change, and since when it has been still (-inf for ever); takes each frame once."""
        signature = self._signature(frame)
        if frame is not self._observed:
            self._observed = frame
            self._restless.observe(signature, now)
        windows = self._windows(frame, TOLERANCE)
        if windows is None:
            return Change.LARGE, now
        if not windows.any():
            return Change.NONE, now
        places = regions(windows)
        if places is None or len(places) > _MAX_REGIONS or self._remembered is None:
            return Change.LARGE, now
        differences = self._differences(frame, self._remembered[0], places, now)
        if differences is None:
            return Change.LARGE, now
        kinds = [(_kind(frame.y, self._remembered[0].y, each, differences), each.since) for each in differences]
        greatest = max((kind for kind, _ in kinds), key=lambda kind: kind.value, default=Change.PASSING)
        return greatest, max((since for kind, since in kinds if kind is greatest), default=now)

    def remember(self, frame: ScreenFrame) -> None:
        """Compare with this frame from now on."""
        self._remembered = frame, self._signature(frame)

    def forget(self) -> None:
        """Compare with no frame: the next one counts as changed."""
        self._remembered = None

    def _signature(self, frame: ScreenFrame) -> FrameSignature:
        if self._newest is None or self._newest[0] is not frame:
            self._newest = frame, FrameSignature.of(frame)
        return self._newest[1]

    def _windows(self, frame: ScreenFrame, tolerance: float) -> NDArray[np.bool_] | None:
        """Return which windows differ; None if the frames cannot be compared."""
        before, now = self._remembered, self._signature(frame)
        if before is None or not before[1].is_comparable(now):
            return None
        return np.abs(window_sums(now.moved(before[1]))) > tolerance * LEVEL

    def _differences(
        self, frame: ScreenFrame, before: ScreenFrame, places: list[Rectangle], now: float
    ) -> list[_Difference] | None:
        """Return the regions that differ outside of restless blocks; None if one has changed without a drawn edge."""
        restless, habitual = self._restless.find(now), self._restless.find_habitual(now)
        found = []
        for first, left, last, right in places:
            # A window hangs over the block in which it begins.
            bottom, end = last + WINDOW_DOWN - 1, right + WINDOW_ACROSS - 1
            area = first * BLOCK, left * BLOCK, min(bottom * BLOCK, frame.height), min(end * BLOCK, frame.width)
            still = ~_pixels_of(restless, first, left, bottom, end)[: area[2] - area[0], : area[3] - area[1]]
            changed = np.abs(_cut(frame.y, area) - _cut(before.y, area)) > _PIXEL
            inner = tight(changed & still)
            if inner is None and not changed.any() and still.all():
                return None
            if inner is None:
                continue
            parts = [part for part in _split(_Part(area, changed)) if (part.drawn & part.of(still, area)).any()]
            resting = ~restless[first:bottom, left:end]
            since = self._restless.last_change(first, left, resting)
            is_habitual = bool(habitual[first:bottom, left:end].any())
            found.append(_Difference(inner[2] - inner[0], inner[3] - inner[1], is_habitual, parts, since))
        return found


def _pixels_of(blocks: NDArray[np.bool_], first: int, left: int, bottom: int, end: int) -> NDArray[np.bool_]:
    """Return the pixels of set blocks in a rectangle of blocks, and those just beside them."""
    around = np.pad(blocks, 1)[first : bottom + 2, left : end + 2]
    pixels = around.repeat(BLOCK, axis=0).repeat(BLOCK, axis=1)
    wider = pixels.copy()
    wider[_RIM:] |= pixels[:-_RIM]
    wider[:-_RIM] |= pixels[_RIM:]
    pixels = wider.copy()
    wider[:, _RIM:] |= pixels[:, :-_RIM]
    wider[:, :-_RIM] |= pixels[:, _RIM:]
    return wider[BLOCK:-BLOCK, BLOCK:-BLOCK]


def _split(region: _Part) -> list[_Part]:
    """Tell apart the things in a small region, such as a pointer's old place and its new one; or return it whole."""
    inner = tight(region.drawn)
    whole = region if inner is None else region.cut(inner)
    if max(whole.height, whole.width) > _SPLIT_SIDE:
        return [whole]
    parts = regions(whole.drawn)
    return [whole] if parts is None or len(parts) > _MAX_PARTS else [whole.cut(part) for part in parts]


def _kind(now: Plane, before: Plane, difference: _Difference, differences: list[_Difference]) -> Change:
    others = [part for each in differences for part in each.parts]
    # More than an old place of the cursor and a new one is a word of thin letters.
    has_thin_letters = sum(_is_cursor(part) for part in difference.parts) > 2
    if not has_thin_letters and all(_is_passing(now, before, part, others) for part in difference.parts):
        return Change.PASSING
    height, width = difference.height, difference.width
    is_small = (height < _SIDE and width < _SIDE) or (height <= _POINTER_HEIGHT and width <= _POINTER_WIDTH)
    if difference.is_habitual and max(height, width) <= _SPLIT_SIDE:  # such as the minutes beside the seconds
        return Change.PASSING if is_small else Change.SMALL
    return Change.SMALL if is_small else Change.LARGE


def _is_cursor(part: _Part) -> bool:
    return part.width <= _CURSOR_WIDTH and part.height <= _CURSOR_HEIGHT


def _is_passing(now: Plane, before: Plane, part: _Part, others: list[_Part]) -> bool:
    if _is_cursor(part):
        return True
    if max(part.height, part.width) > _MOVED_SIDE:
        return False
    if any(_has_moved(now, before, part, other) for other in others if other is not part):
        return True
    return _has_shifted(now, before, part)


def _has_moved(now: Plane, before: Plane, one: _Part, other: _Part) -> bool:
    """Whether one of two regions shows now what the other showed before."""
    if abs(one.height - other.height) > _MOVED_SIZE or abs(one.width - other.width) > _MOVED_SIZE:
        return False
    height, width = min(one.height, other.height), min(one.width, other.width)
    drawn = one.drawn[:height, :width] & other.drawn[:height, :width]
    if 2 * np.count_nonzero(drawn) < min(np.count_nonzero(one.drawn), np.count_nonzero(other.drawn)):
        return False
    first = one.area[0], one.area[1], one.area[0] + height, one.area[1] + width
    second = other.area[0], other.area[1], other.area[0] + height, other.area[1] + width
    pairs = (_cut(now, first) - _cut(before, second), _cut(now, second) - _cut(before, first))
    return any(np.abs(pair[drawn]).mean() < _MOVED_LEVELS for pair in pairs)


def _has_shifted(now: Plane, before: Plane, part: _Part) -> bool:
    """Whether a region shows now what was there before, a few pixels away."""
    top, left, bottom, right = part.area
    if top < _MOVED_BY or left < _MOVED_BY:
        return False
    around = _cut(before, (top - _MOVED_BY, left - _MOVED_BY, bottom + _MOVED_BY, right + _MOVED_BY))
    if around.shape != (part.height + 2 * _MOVED_BY, part.width + 2 * _MOVED_BY):
        return False
    shifted = np.lib.stride_tricks.sliding_window_view(around, (part.height, part.width))
    here = _cut(now, part.area)
    differing = np.abs(shifted - here).mean(axis=(2, 3), dtype=np.float32)
    # On an even page nothing would be found everywhere.
    return float(differing.min()) < _MOVED_LEVELS / 4 and int(here.max()) - int(here.min()) > _PIXEL


def _cut(plane: Plane, area: Rectangle) -> NDArray[np.int16]:
    return plane[area[0] : area[2], area[1] : area[3]].astype(np.int16)
