"""Encoded video frames that no encoder writes."""


def vp8_keyframe(width: int, height: int) -> bytes:
    """Make the header of a VP8 key frame (RFC 6386 section 9.1) of that size, and a few bytes behind it."""
    tag = b"\x10\x02\x00"  # a key frame that is shown; the first partition has 16 bytes
    return tag + b"\x9d\x01\x2a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + bytes(57)
