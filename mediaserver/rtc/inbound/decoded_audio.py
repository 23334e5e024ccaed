"""Decoded audio of one RTP source, and its time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecodedAudio:
    """Mono 16-bit PCM, and the time of its first sample, counted in samples and never wrapped."""

    pcm: bytes
    stamp: int


def unwrap(timestamp: int, last: int) -> int:
    """Return an RTP timestamp (32 bits, RFC 3550 section 5.1) counted on from the `last` one that was returned."""
    return last + ((timestamp - last + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000
