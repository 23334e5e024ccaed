"""Counts the payload of WebSocket frames in a stream that is cut anywhere."""

_LENGTH_BYTES = {126: 2, 127: 8}
_MASK_BYTES = 4


class FrameLengths:
    """Follows the frames of one direction (RFC 6455 section 5.2)."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._payload_left = 0

    def payload_of(self, data: bytes) -> int:
        """Return how many of the next bytes of the stream are payload."""
        total, at = 0, 0
        while at < len(data):
            if self._payload_left:
                size = min(self._payload_left, len(data) - at)
                self._payload_left -= size
                total += size
                at += size
            else:
                missing = self._missing_header_bytes()
                self._header += data[at : at + missing]
                at += missing
                if not self._missing_header_bytes():
                    self._payload_left = self._payload_length()
                    self._header.clear()
        return total

    def _missing_header_bytes(self) -> int:
        if len(self._header) < 2:
            return 2 - len(self._header)
        second = self._header[1]
        whole = 2 + _LENGTH_BYTES.get(second & 0x7F, 0) + (_MASK_BYTES if second & 0x80 else 0)
        return whole - len(self._header)

    def _payload_length(self) -> int:
        short = self._header[1] & 0x7F
        return int.from_bytes(self._header[2 : 2 + _LENGTH_BYTES[short]]) if short in _LENGTH_BYTES else short
