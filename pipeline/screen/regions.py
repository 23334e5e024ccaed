"""Connected regions of a grid, as rectangles."""

import numpy as np
from numpy.typing import NDArray

Rectangle = tuple[int, int, int, int]
"""Top, left, bottom and right; bottom and right are one beyond the last row and column."""

MAX_CELLS = 2_000
"""Cells above which no regions are separated: such a change fills a good part of the screen."""


def regions(cells: NDArray[np.bool_]) -> list[Rectangle] | None:
    """Return the rectangle around each group of set cells that touch, also at a corner; None for too many cells."""
    rows, columns = np.nonzero(cells)
    if len(rows) > MAX_CELLS:
        return None
    left_over = set(zip(rows.tolist(), columns.tolist(), strict=True))
    found = []
    while left_over:
        group = [left_over.pop()]
        for row, column in group:  # grows while it is read
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & left_over
            left_over -= near
            group.extend(near)
        tops, lefts = zip(*group, strict=True)
        found.append((min(tops), min(lefts), max(tops) + 1, max(lefts) + 1))
    return found


def tight(cells: NDArray[np.bool_]) -> Rectangle | None:
    """Return the rectangle around all set cells, or None if none is set."""
    rows, columns = np.flatnonzero(cells.any(axis=1)), np.flatnonzero(cells.any(axis=0))
    if not rows.size:
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
