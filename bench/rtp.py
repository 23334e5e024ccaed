"""A minimal RTP and RTCP implementation, which keeps the load client cheap."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

AUDIO_CLOCK = 48_000  # RFC 7587 section 4.1
VIDEO_CLOCK = 90_000  # RFC 7741 section 4.1
MAX_PAYLOAD = 1_100
"""Most bytes of video in one packet, about what browsers send."""

_HEADER = struct.Struct("!BBHII")
_VERSION = 0x80
_MARKER = 0x80
_SENDER_REPORT = 200
_PAYLOAD_FEEDBACK = 206
_PICTURE_LOSS = 1
_UNIX_TO_NTP = 2_208_988_800


class RtpError(ValueError):
    """Raised for bytes that are not an RTP packet; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class ReceivedRtp:
    """The fields used of a received packet; `timestamp` counts at the payload's clock."""

    payload_type: int
    sequence: int
    timestamp: int
    payload: bytes


def parse_rtp(data: bytes) -> ReceivedRtp:
    """Read one unprotected packet (RFC 3550 section 5.1), or raise `RtpError`."""
    if len(data) < _HEADER.size:
        raise RtpError("shorter than an RTP header")
    first, second, sequence, timestamp, _ = _HEADER.unpack_from(data)
    if first & 0xC0 != _VERSION:
        raise RtpError("not version 2")
    start = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        if len(data) < start + 4:
            raise RtpError("cut in its header extension")
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    end = len(data) - (data[-1] if first & 0x20 else 0)
    if start > end:
        raise RtpError("cut in its header")
    return ReceivedRtp(second & 0x7F, sequence, timestamp, data[start:end])


def is_rtcp(data: bytes) -> bool:
    """Whether a packet is RTCP and not RTP, on a shared port (RFC 5761 section 4)."""
    return len(data) > 1 and 192 <= data[1] <= 223


def has_picture_loss(data: bytes) -> bool:
    """Whether unprotected compound RTCP has a picture loss indication (RFC 4585 section 6.3.1)."""
    at = 0
    while at + 4 <= len(data):
        if data[at + 1] == _PAYLOAD_FEEDBACK and data[at] & 0x1F == _PICTURE_LOSS:
            return True
        at += 4 + 4 * int.from_bytes(data[at + 2 : at + 4])
    return False


class Stream:
    """Numbers the packets of one source."""

    def __init__(self, *, payload_type: int, ssrc: int):
        self.ssrc = ssrc
        self._payload_type = payload_type
        self._sequence = 0
        self._timestamp = 0
        self._packets = 0
        self._bytes = 0

    def packet(self, payload: bytes, timestamp: int, *, marker: bool = False) -> bytes:
        """Return the next packet; `timestamp` is at the payload's clock."""
        self._timestamp = timestamp & 0xFFFFFFFF
        kind = self._payload_type | (_MARKER if marker else 0)
        header = _HEADER.pack(_VERSION, kind, self._sequence, self._timestamp, self.ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._packets += 1
        self._bytes += len(payload)
        return header + payload

    def report(self, wall: float) -> bytes:
        """Return a sender report (RFC 3550 section 6.4.1) for `wall`, Unix time in seconds, of the last packet."""
        ntp = int((wall + _UNIX_TO_NTP) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF
        packets, octets = self._packets & 0xFFFFFFFF, self._bytes & 0xFFFFFFFF
        return struct.pack("!BBHIQIII", _VERSION, _SENDER_REPORT, 6, self.ssrc, ntp, self._timestamp, packets, octets)


def vp8_payloads(frame: bytes, picture: int) -> Iterator[bytes]:
    """Split one encoded picture into RTP payloads (RFC 7741 section 4.2) with a 15-bit picture id."""
    number = struct.pack("!H", 0x8000 | picture & 0x7FFF)
    for start in range(0, len(frame), MAX_PAYLOAD):
        descriptor = b"\x80" if start else b"\x90"  # X; S on the first of a partition
        yield descriptor + b"\x80" + number + frame[start : start + MAX_PAYLOAD]
