"""Finds the rectangles that programs draw around text: buttons, fields, table cells, cards and dialogs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.events import Box

Picture = NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]
"""ymin, xmin, ymax, xmax in pixels; the last two are outside."""

_MIN_WIDTH, _MIN_HEIGHT = 24, 14  # px, of the smallest button
_MAX_SHARE = 0.9  # of the frame: more is the page itself
_PAGE_SHARE = 0.5  # of the frame: an even ground that is larger is the page's
_MIN_FILL = 0.85  # of a contour's bounding rectangle, so that rounded corners still count
_TOLERANCE = 6  # levels of 256 that JPEG leaves on an even ground
_SAME_EDGE = 6  # px between the inner and the outer contour of one border
_DIMMED = 40  # levels by which the page around a modal dialog is darker than the dialog


@dataclass(frozen=True, slots=True)
class Surfaces:
    """The rectangles of a frame; boxes from 0 to 1000."""

    grounds: tuple[Box | None, ...]
    """For each line of text the even ground that it stands on, such as its button; None where that is the page."""
    boxes: tuple[Box, ...]
    """All rectangles, the largest first."""
    dialog: Box | None
    """The rectangle in front of a page that was darkened for it."""


def find_surfaces(picture: Picture, lines: tuple[Box, ...]) -> Surfaces:
    """Find the rectangles of a BGR picture, and those on which the lines stand."""
    height, width = picture.shape[:2]
    rectangles = _rectangles(picture)
    pixels = [_to_pixels(box, width=width, height=height) for box in lines]
    grounds = _grounds(picture, pixels)
    dialog = _dialog(picture, rectangles, pixels)

    def box(rectangle: Rectangle) -> Box:
        return _to_box(rectangle, width=width, height=height)

    return Surfaces(
        tuple(None if ground is None else box(ground) for ground in grounds),
        tuple(map(box, rectangles)),
        None if dialog is None else box(dialog),
    )


def _rectangles(picture: Picture) -> list[Rectangle]:
    import cv2

    height, width = picture.shape[:2]
    edges = np.zeros((height, width), np.uint8)
    for channel in cv2.split(picture):
        edges |= cv2.Canny(channel, 20, 60)
    contours, _ = cv2.findContours(cv2.dilate(edges, np.ones((2, 2), np.uint8)), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    found: list[Rectangle] = []
    for contour in contours:
        left, top, wide, high = cv2.boundingRect(contour)
        if wide < _MIN_WIDTH or high < _MIN_HEIGHT or wide * high > _MAX_SHARE * width * height:
            continue
        if cv2.contourArea(contour) > _MIN_FILL * wide * high:
            found.append((top, left, top + high, left + wide))
    found.sort(key=_area, reverse=True)
    kept: list[Rectangle] = []
    for rectangle in found:
        if not any(_is_same(rectangle, other) for other in kept):
            kept.append(rectangle)
    return kept


def _grounds(picture: Picture, lines: list[Rectangle]) -> list[Rectangle | None]:
    """Flood the ground beside each line."""
    import cv2

    height, width = picture.shape[:2]
    mask = np.zeros((height + 2, width + 2), np.uint8)
    limit = (_TOLERANCE,) * 3
    flags: Any = 4 | (1 << 8) | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY
    flooded: list[Rectangle] = []
    grounds: list[Rectangle | None] = []
    for top, left, bottom, right in lines:
        across = max(left - 2, 0)
        down = min((top + bottom) // 2, height - 1)
        if mask[down + 1, across + 1]:
            # Regions of one colour do not overlap: the smallest that holds the point is the one that was flooded there.
            around = [area for area in flooded if _holds(area, (down, across, down + 1, across + 1))]
            ground = min(around, key=_area, default=None)
        else:
            _, _, _, (x, y, wide, high) = cv2.floodFill(picture, mask, (across, down), (0, 0, 0), limit, limit, flags)
            ground = (y, x, y + high, x + wide)
            flooded.append(ground)
        # The reader's boxes reach some pixels over the text; the middle of the line tells where it stands.
        middle = (down - 1, left + 3, down + 2, max(right - 3, left + 4))
        is_page = ground is None or _area(ground) > _PAGE_SHARE * width * height or not _holds(ground, middle)
        grounds.append(None if is_page else ground)
    return grounds


def _dialog(picture: Picture, rectangles: list[Rectangle], lines: list[Rectangle]) -> Rectangle | None:
    """The largest rectangle with text that is away from the edges and brighter than all around it."""
    height, width = picture.shape[:2]
    bright = picture.max(axis=2)
    for rectangle in rectangles:
        top, left, bottom, right = rectangle
        share = _area(rectangle) / (width * height)
        if not 0.01 < share < 0.75 or top < 3 or left < 3 or bottom > height - 3 or right > width - 3:
            continue
        if sum(_holds(rectangle, line) for line in lines) < 2:
            continue
        inside = np.percentile(bright[top:bottom:2, left:right:2], 95)
        around = np.concatenate([bright[:top:2, ::2].ravel(), bright[bottom::2, ::2].ravel()])
        beside = np.concatenate([bright[top:bottom:2, :left:2].ravel(), bright[top:bottom:2, right::2].ravel()])
        if all(part.size and np.percentile(part, 95) < inside - _DIMMED for part in (around, beside)):
            return rectangle
    return None


def _area(rectangle: Rectangle) -> int:
    top, left, bottom, right = rectangle
    return (bottom - top) * (right - left)


def _holds(outer: Rectangle, inner: Rectangle) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def _is_same(one: Rectangle, other: Rectangle) -> bool:
    return all(abs(edge - its) <= _SAME_EDGE for edge, its in zip(one, other, strict=True))


def _to_pixels(box: Box, *, width: int, height: int) -> Rectangle:
    ymin, xmin, ymax, xmax = box
    return ymin * height // 1000, xmin * width // 1000, -(-ymax * height // 1000), -(-xmax * width // 1000)


def _to_box(rectangle: Rectangle, *, width: int, height: int) -> Box:
    top, left, bottom, right = rectangle
    return top * 1000 // height, left * 1000 // width, -(-bottom * 1000 // height), -(-right * 1000 // width)
