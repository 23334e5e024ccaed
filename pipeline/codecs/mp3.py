"""Splits MPEG audio layer III, cut anywhere (ISO 11172-3, 13818-3), into its frames."""

from collections.abc import Iterator

from pipeline.codecs.wav import unsupported_format

MAX_GARBAGE = 65_536
"""Most bytes in a row without a frame, such as a tag at the end of a file."""

_RATES = (44_100, 48_000, 32_000)
_BITRATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BITRATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_TAG = 10  # bytes of an ID3v2 header


class Mp3Reader:
    """Reads one client's MP3: files may follow one another; tags are skipped."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0
        self._garbage = 0
        self._is_started = False

    def begin(self, start: bytes) -> None:
        """Begin a message with these bytes: a new tag ends a frame that was cut short."""
        if start.startswith(b"ID3"):
            self._buffer.clear()
            self._skip = 0

    def push(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes; yields whole frames. Raises `ProtocolError` UNSUPPORTED_FORMAT."""
        self._buffer += data
        buffer = self._buffer
        while buffer:
            if self._skip:
                taken = min(self._skip, len(buffer))
                del buffer[:taken]
                self._skip -= taken
            elif b"ID3".startswith(buffer[:3]):
                if len(buffer) < _TAG:
                    return
                # ID3v2 section 3.1: four times seven bits.
                size = sum((byte & 0x7F) << (21 - 7 * place) for place, byte in enumerate(buffer[6:10]))
                self._is_started = True
                self._skip = _TAG + size
            elif len(buffer) < 4:
                return
            elif size := frame_bytes(buffer):
                if len(buffer) < size:
                    return
                frame = bytes(buffer[:size])
                del buffer[:size]
                self._is_started, self._garbage = True, 0
                yield frame
            else:
                self._resync()

    def _resync(self) -> None:
        if not self._is_started:
            raise unsupported_format("it is not MP3")
        at = self._buffer.find(b"\xff", 1)
        tag = self._buffer.find(b"ID3", 1)
        found = [place for place in (at, tag) if place >= 0]
        passed = min(found) if found else max(1, len(self._buffer) - 2)
        self._garbage += passed
        del self._buffer[:passed]
        if self._garbage > MAX_GARBAGE:
            self._garbage = 0
            raise unsupported_format("it is no longer MP3")


def frame_bytes(header: bytes | bytearray) -> int:
    """Return the length of the frame with this 4-byte header; 0 if it is not a layer III header."""
    if header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version = (header[1] >> 3) & 3  # 3: MPEG-1, 2: MPEG-2, 0: MPEG-2.5
    bitrate, rate, padding = header[2] >> 4, (header[2] >> 2) & 3, (header[2] >> 1) & 1
    if version == 1 or bitrate in (0, 15) or rate == 3:
        return 0
    if version == 3:
        return 144_000 * _BITRATES_1[bitrate] // _RATES[rate] + padding
    return 72_000 * _BITRATES_2[bitrate] // (_RATES[rate] >> (1 if version == 2 else 2)) + padding
