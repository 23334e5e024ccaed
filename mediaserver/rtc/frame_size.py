"""The size of an encoded video frame, read from its headers before any decoder allocates memory for it."""

MAX_PIXELS = 16_000_000
"""Per frame, as for pictures that clients send: a decoder takes some 3.5 bytes for each, several times over."""

_SPS = 7  # ITU-T H.264 table 7-1
_HIGH_PROFILES = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))
_MAX_SPS_BYTES = 512
_START_CODE = b"\x00\x00\x01"


class FrameSizeError(ValueError):
    """A header that is cut off or holds an impossible value."""


def frame_size(codec: str, data: bytes) -> tuple[int, int] | None:
    """Read the largest width and height (pixels) that a frame declares, or None if it declares none.

    VP8 declares them in each key frame (RFC 6386 section 9.1), H.264 in a sequence parameter set (ITU-T H.264 section
    7.3.2.1.1), before cropping. Raises `FrameSizeError` for a header that cannot be read.
    """
    match codec.upper():
        case "VP8":
            return _vp8_size(data)
        case "H264":
            return _h264_size(data)
        case _:
            return None


def _vp8_size(data: bytes) -> tuple[int, int] | None:
    if not data or data[0] & 1:  # an interframe keeps the size of its key frame
        return None
    if len(data) < 10:
        raise FrameSizeError("a VP8 key frame is shorter than its header")
    # The two high bits of each are a scale for the display.
    return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF


def _h264_size(data: bytes) -> tuple[int, int] | None:
    largest: tuple[int, int] | None = None
    start = data.find(_START_CODE)
    while start >= 0:
        start += len(_START_CODE)
        end = data.find(_START_CODE, start)
        if start < len(data) and data[start] & 31 == _SPS:
            size = _sps_size(data[start + 1 : min(start + _MAX_SPS_BYTES, end if end >= 0 else len(data))])
            if largest is None or size[0] * size[1] > largest[0] * largest[1]:
                largest = size
        start = end
    return largest


def _sps_size(payload: bytes) -> tuple[int, int]:
    # Section 7.4.1: 00 00 03 stands for 00 00, so that no start code appears inside.
    bits = _Bits(payload.replace(b"\x00\x00\x03", b"\x00\x00"))
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    bits.unsigned()  # seq_parameter_set_id
    chroma_format = 1
    if profile in _HIGH_PROFILES:
        chroma_format = bits.unsigned()
        if chroma_format == 3:
            bits.take(1)
        bits.unsigned()
        bits.unsigned()
        bits.take(1)
        if bits.take(1):
            for index in range(8 if chroma_format != 3 else 12):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.unsigned()  # log2_max_frame_num_minus4
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.unsigned(), 255)):
            bits.signed()
    bits.unsigned()  # max_num_ref_frames
    bits.take(1)
    width = 16 * (bits.unsigned() + 1)
    height = 16 * (bits.unsigned() + 1)
    is_progressive = bits.take(1)
    return width, height * (2 - is_progressive)


def _skip_scaling_list(bits: "_Bits", entries: int) -> None:
    last = following = 8
    for _ in range(entries):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


class _Bits:
    """Reads bits from the most significant on. Raises `FrameSizeError` at the end of the data."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """Read an unsigned number of `count` bits."""
        if count > self._left:
            raise FrameSizeError("an H.264 parameter set is cut off")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def unsigned(self) -> int:
        """Read an Exp-Golomb number (section 9.1)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise FrameSizeError("an H.264 parameter set holds a number of more than 32 bits")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """Read a signed Exp-Golomb number (section 9.1.1)."""
        number = self.unsigned()
        return (number + 1) // 2 if number & 1 else -(number // 2)
