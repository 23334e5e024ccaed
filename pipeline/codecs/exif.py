"""The orientation that a picture's EXIF data asks for (CIPA DC-008, tag 274)."""

from collections.abc import Iterator

import numpy as np

from pipeline.media import Plane

UPRIGHT = 1
"""The orientation of a picture that is shown as it is stored."""

_TAG, _SHORT = 274, 3
_ENTRY_BYTES = 12


def orientation(data: bytes) -> int:
    """Return the orientation, from 1 to 8, of a PNG, JPEG or WebP file; 1 where nothing valid says another."""
    for name, content in _blocks(data):
        if name in (b"eXIf", b"EXIF", b"\xe1"):
            return _orientation_of_tiff(content.removeprefix(b"Exif\0\0"))
    return UPRIGHT


def turn_upright(plane: Plane, orientation: int) -> Plane:
    """Return a plane as its orientation (1 to 8) wants it seen; rows that were turned are contiguous."""
    if orientation == UPRIGHT:
        return plane
    if orientation >= 5:  # rows are stored as columns
        plane = plane.T
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    return np.ascontiguousarray(plane)


def _blocks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and the content of each chunk or segment in front of the compressed data or after it."""
    if data.startswith(b"\xff\xd8"):
        at = 2
        while data[at : at + 1] == b"\xff" and (marker := data[at + 1 : at + 2]) != b"\xda":
            length = int.from_bytes(data[at + 2 : at + 4]) if marker != b"\xff" else 0
            yield marker, data[at + 4 : at + 2 + length]
            at += 1 if marker == b"\xff" else 2 + max(2, length)
        return
    is_png = data.startswith(b"\x89PNG")
    at = 8 if is_png else 12
    while at + 8 <= len(data):
        if is_png:
            size, name = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        else:
            name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        yield name, data[at + 8 : at + 8 + size]
        at += 12 + size if is_png else 8 + size + size % 2


def _orientation_of_tiff(data: bytes) -> int:
    if data[:4] not in (b"II*\0", b"MM\0*"):
        return UPRIGHT
    is_little = data.startswith(b"II")

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], "little" if is_little else "big")

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + number(directory, 2) * _ENTRY_BYTES, _ENTRY_BYTES):
        if entry + _ENTRY_BYTES > len(data):
            return UPRIGHT
        if number(entry, 2) == _TAG and number(entry + 2, 2) == _SHORT:
            value = number(entry + 8, 2)
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
