"""Pictures that are small as files."""

import struct
import zlib


def png(width: int, height: int, *, channels: int, depth: int) -> bytes:
    """A black picture, which packs a hundredfold and more."""
    rows = zlib.compress(bytes(height * (1 + width * channels * depth // 8)), 1)
    header = struct.pack(">IIBBBBB", width, height, depth, 6 if channels == 4 else 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
