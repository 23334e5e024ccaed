"""Splits Ogg pages, cut anywhere (RFC 3533), into the packets of their first audio stream."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.codecs.wav import unsupported_format

MAGIC = b"OggS"
MAX_PACKET = 1 << 20
"""Longest packet (bytes) that is kept; only a comment header with a picture is longer, and it is not read."""

_HEAD = 27
_CONTINUED, _FIRST = 1, 2
_COMMENT = b"\x03vorbis" + bytes(8) + b"\x01"  # no vendor, no comments


@dataclass(frozen=True, slots=True)
class Stream:
    """The format of the packets that follow: `codec` is "opus" or "vorbis", `extradata` is for its decoder."""

    codec: str
    channels: int
    extradata: bytes


class OggReader:
    """Reads one client's Ogg: a new file may follow at any page."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._serial: bytes | None = None
        self._codec = ""
        self._headers: list[bytes] | None = None  # while they are being read
        self._partial = bytearray()
        self._is_lost = False  # the start of the packet is missing

    def begin(self, start: bytes) -> None:
        """Begin a message with these bytes: the rest of a page that was cut short is dropped."""
        if start.startswith(MAGIC):
            self._buffer.clear()

    def push(self, data: bytes) -> Iterator[Stream | bytes]:
        """Take the next bytes; yields a `Stream` before its packets. Raises `ProtocolError` UNSUPPORTED_FORMAT."""
        self._buffer += data
        while (page := self._page()) is not None:
            flags, serial, lacing, body = page
            if flags & _FIRST:
                self._open(serial, body)
            if serial == self._serial:
                yield from self._packets(flags, lacing, body)

    def _page(self) -> tuple[int, bytes, bytes, bytes] | None:
        """Split off the next whole page: its flags, serial number, lacing values and body."""
        buffer = self._buffer
        at = buffer.find(MAGIC)
        if at < 0:
            if len(buffer) > _HEAD and self._serial is None:
                raise unsupported_format("it is not Ogg")
            del buffer[: max(0, len(buffer) - 3)]
            return None
        del buffer[:at]
        if len(buffer) < _HEAD or len(buffer) < _HEAD + buffer[26]:
            return None
        lacing = bytes(buffer[_HEAD : _HEAD + buffer[26]])
        end = _HEAD + len(lacing) + sum(lacing)
        if len(buffer) < end:
            return None
        page = buffer[5], bytes(buffer[14:18]), lacing, bytes(buffer[_HEAD + len(lacing) : end])
        del buffer[:end]
        return page

    def _open(self, serial: bytes, body: bytes) -> None:
        if body.startswith(b"OpusHead"):
            self._codec = "opus"
        elif body.startswith(b"\x01vorbis"):
            self._codec = "vorbis"
        else:
            if self._serial is None and not body.startswith((b"fishead", b"\x80theora")):
                raise unsupported_format("the Ogg stream is neither Opus nor Vorbis")
            return
        self._serial, self._headers, self._is_lost = serial, [], False
        self._partial.clear()

    def _packets(self, flags: int, lacing: bytes, body: bytes) -> Iterator[Stream | bytes]:
        if not flags & _CONTINUED:
            self._partial.clear()
            self._is_lost = False
        elif not self._partial:
            self._is_lost = True
        at = 0
        for size in lacing:
            if len(self._partial) < MAX_PACKET:
                self._partial += body[at : at + size]
            at += size
            if size < 255:
                packet, self._partial = bytes(self._partial), bytearray()
                if not self._is_lost:
                    yield from self._take(packet)
                self._is_lost = False

    def _take(self, packet: bytes) -> Iterator[Stream | bytes]:
        if self._headers is None:
            if packet:
                yield packet
            return
        self._headers.append(packet)
        if len(self._headers) == (2 if self._codec == "opus" else 3):
            headers, self._headers = self._headers, None
            yield opus_stream(headers[0]) if self._codec == "opus" else vorbis_stream(headers[0], headers[2])


def opus_stream(head: bytes) -> Stream:
    """Read an identification header (RFC 7845 section 5.1)."""
    if len(head) < 19 or not head.startswith(b"OpusHead"):
        raise unsupported_format("the Opus header is too short")
    if head[9] not in (1, 2) or head[18] != 0:
        raise unsupported_format(f"Opus with {head[9]} channels; 1 or 2 are accepted")
    return Stream("opus", head[9], head)


def vorbis_stream(identification: bytes, setup: bytes) -> Stream:
    """Lace the headers as FFmpeg and Matroska have them (libavcodec/xiph.c), with empty comments."""
    if len(identification) != 30:
        raise unsupported_format("the Vorbis header is malformed")
    laced = bytes((2, len(identification), len(_COMMENT)))
    return Stream("vorbis", identification[11], laced + identification + _COMMENT + setup)
