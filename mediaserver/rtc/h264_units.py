"""NAL units of H.264 frames with start codes (ITU-T H.264 annex B): where decoding can begin, and parameter sets."""

from collections.abc import Iterator

_START_CODE = b"\x00\x00\x01"
# ITU-T H.264 table 7-1 and section D.1.1.
_IDR, _SEI, _SPS, _PPS = 5, 6, 7, 8
_RECOVERY_POINT = 6


def is_entry(data: bytes) -> bool:
    """Whether a decoder can begin with this frame.

    That is an IDR picture, or a recovery point: a sender that refreshes the picture piece by piece sends no other.
    """
    return any(_kind(unit) in (_IDR, _SPS) or _is_recovery_point(unit) for unit in _units(data))


def is_idr(data: bytes) -> bool:
    """Whether a frame is complete in itself."""
    return any(_kind(unit) == _IDR for unit in _units(data))


class ParameterSets:
    """Remembers the parameter sets of a stream, and puts them before frames that need them and have none.

    `described`: those of the session description, with start codes; some senders put them nowhere else.
    """

    def __init__(self, described: bytes = b""):
        self._sets = described

    def complete(self, data: bytes) -> bytes:
        """Return a frame, with parameter sets if a decoder can begin with it."""
        sets = [unit for unit in _units(data) if _kind(unit) in (_SPS, _PPS)]
        if any(_kind(unit) == _SPS for unit in sets):
            self._sets = b"".join(b"\x00" + _START_CODE + unit for unit in sets)
            return data
        return self._sets + data if self._sets and is_entry(data) else data


def _units(data: bytes) -> Iterator[bytes]:
    start = data.find(_START_CODE)
    while start >= 0:
        start += len(_START_CODE)
        end = data.find(_START_CODE, start)
        # A zero byte before a start code belongs to it; a NAL unit never ends with one (section 7.4.1).
        yield (data[start:end] if end >= 0 else data[start:]).rstrip(b"\x00")
        start = end


def _kind(unit: bytes) -> int:
    return unit[0] & 31 if unit else 0


def _is_recovery_point(unit: bytes) -> bool:
    """Whether a unit of supplemental information (section 7.3.2.3.1) has the message of that type."""
    if _kind(unit) != _SEI:
        return False
    at = 1
    while at + 1 < len(unit):
        kind, at = _read_number(unit, at)
        size, at = _read_number(unit, at)
        if kind == _RECOVERY_POINT:
            return True
        at += size
    return False


def _read_number(unit: bytes, at: int) -> tuple[int, int]:
    number = 0
    while at < len(unit) and unit[at] == 0xFF:
        number, at = number + 0xFF, at + 1
    return number + (unit[at] if at < len(unit) else 0), at + 1
