"""Decodes clients' pictures (PNG, JPEG, WebP) to screen frames, checking their size in the header first."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from pipeline.errors import FaultCode, FrameError, ProtocolError
from pipeline.media import Plane, ScreenFrame

MAX_BYTES = 8 << 20
MAX_PIXELS = 16_000_000

MAX_PIXELS_IN_FLIGHT = MAX_PIXELS
"""Pixels that are decoded at the same time in the whole process: each takes up to 10.5 bytes (a PNG of 16 bits with
alpha 8, a progressive JPEG 9, its conversion 1.5)."""

MAX_SCANS = 100
"""Most scans of a progressive JPEG: encoders make about ten, and each passes over the whole picture."""

_PNG = b"\x89PNG\r\n\x1a\n"
# Other chunks are not needed, and compressed text could inflate to gigabytes (libavcodec/pngdec.c, decode_zbuf).
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_SOS, _EOI = b"\xff\xda", b"\xff\xd9"


def decode_image(data: bytes, arrived: float) -> ScreenFrame:
    """Decode one picture, full range, alpha ignored; takes milliseconds, or waits for others: call it in a thread.

    The format is detected from the data. Raises `FrameError` for data that is damaged, cut short, animated or has more
    than 16 million pixels, and `ProtocolError` for more than 8 MiB (PAYLOAD_TOO_LARGE) or another format.
    """
    if len(data) > MAX_BYTES:
        raise ProtocolError(f"A picture may have {MAX_BYTES} bytes.", code=FaultCode.PAYLOAD_TOO_LARGE)
    if data.startswith(_PNG):
        codec, (data, pixels) = "png", _checked_png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        codec, pixels = "mjpeg", _check_jpeg(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        codec, pixels = "webp", _check_webp(data)
    else:
        raise ProtocolError("The picture is neither PNG nor JPEG nor WebP.", code=FaultCode.UNSUPPORTED_FORMAT)
    with _budget.reserve(pixels):
        return _screen(_decode(codec, data), arrived)


class PixelBudget:
    """Lets threads work on no more than so many pixels at the same time, or on one larger picture alone."""

    def __init__(self, limit: int):
        self._limit = limit
        self._used = 0
        self._freed = threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Wait until the pixels fit, and hold them in the block."""
        with self._freed:
            self._freed.wait_for(lambda: not self._used or self._used + pixels <= self._limit)
            self._used += pixels
        try:
            yield
        finally:
            with self._freed:
                self._used -= pixels
                self._freed.notify_all()


_budget = PixelBudget(MAX_PIXELS_IN_FLIGHT)


def _check_size(width: int, height: int) -> int:
    """Return the number of pixels."""
    if not width or not height:
        raise _damaged()
    if width * height > MAX_PIXELS:
        raise FrameError(f"The picture has {width}x{height} pixels; {MAX_PIXELS} are accepted.", where="picture")
    return width * height


def _damaged() -> FrameError:
    return FrameError("The picture is damaged or cut short.", where="picture")


def _checked_png(data: bytes) -> tuple[bytes, int]:
    """Return only the chunks that make the picture, and its pixels."""
    kept, at, name, pixels = [_PNG], len(_PNG), b"", 0
    while name != b"IEND":
        name, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4])
        if end > len(data) or len(name) < 4:
            raise _damaged()
        if at == len(_PNG):
            if name != b"IHDR":
                raise _damaged()
            pixels = _check_size(int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
        if name in _PNG_CHUNKS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept), pixels


def _check_jpeg(data: bytes) -> int:
    at, pixels = 2, 0
    while data[at : at + 2] != _SOS:
        marker, length = data[at + 1 : at + 2], int.from_bytes(data[at + 2 : at + 4])
        if data[at : at + 1] != b"\xff" or not marker or length < 2 or at + 2 + length > len(data):
            raise _damaged()
        if marker[0] == 0xFF:  # a fill byte
            at += 1
            continue
        if marker[0] in _SOF:
            size = _check_size(int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7]))
            pixels = max(pixels, size)
        at += 2 + length
    if not pixels or data.find(_EOI, at) < 0 or data.count(_SOS, at) > MAX_SCANS:
        raise _damaged()
    return pixels


def _check_webp(data: bytes) -> int:
    if int.from_bytes(data[4:8], "little") + 8 > len(data) + 1:
        raise _damaged()
    is_sized, pixels = False, 0
    for name, start, end in _riff_chunks(data):
        head = data[start : min(end, start + 10)]
        match name:
            case b"VP8X" if len(head) == 10:
                if head[0] & 2:
                    raise FrameError("The picture is animated.", where="picture")
                pixels = max(
                    pixels,
                    _check_size(int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1),
                )
            case b"VP8 " if len(head) == 10:  # RFC 6386 section 9.1
                sides = int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
                pixels = max(pixels, _check_size(*sides))
                is_sized = True
            case b"VP8L" if len(head) >= 5:  # RFC 9649 section 3.4
                bits = int.from_bytes(head[1:5], "little")
                pixels = max(pixels, _check_size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
                is_sized = True
    if not is_sized:
        raise _damaged()
    return pixels


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    at = 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        if at + 8 + size > len(data):
            raise _damaged()
        yield data[at : at + 4], at + 8, at + 8 + size
        at += 8 + size + size % 2


def _decode(codec: str, data: bytes) -> VideoFrame:
    context = CodecContext.create(codec, "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_count = 1  # frame threads would delay the only picture
    # The decoder checks the size again, and counts the padding of rows too.
    context.options = {"max_pixels": str(2 * MAX_PIXELS), "err_detect": "crccheck+bitstream+buffer+explode"}
    try:
        frames = [*context.decode(Packet(data)), *context.decode(None)]
    except (FFmpegError, ValueError) as error:
        raise _damaged() from error
    if len(frames) != 1 or frames[0].is_corrupt:
        raise _damaged()
    return frames[0]


def _screen(frame: VideoFrame, arrived: float) -> ScreenFrame:
    is_full = frame.format.name.startswith("yuvj") or frame.format.is_rgb or frame.format.name in _GREY
    if frame.format.name not in ("yuv420p", "yuvj420p"):
        source = "JPEG" if is_full else "MPEG"
        try:
            frame = frame.reformat(
                format="yuv420p", src_color_range=source, dst_color_range="JPEG", dst_colorspace="ITU601", threads=1
            )
        except (FFmpegError, ValueError) as error:
            raise FrameError("The picture's colours cannot be converted.", where="picture") from error
        is_full = True
    half_width, half_height = (frame.width + 1) // 2, (frame.height + 1) // 2
    return ScreenFrame(
        y=_plane(frame, 0, frame.width, frame.height),
        u=_plane(frame, 1, half_width, half_height),
        v=_plane(frame, 2, half_width, half_height),
        full_range=is_full,
        arrived=arrived,
    )


_GREY = ("gray", "gray16be", "gray16le", "ya8", "ya16be", "ya16le", "monob", "monow", "pal8")


def _plane(frame: VideoFrame, index: int, width: int, height: int) -> Plane:
    # The array keeps the plane, and the plane its frame.
    plane = frame.planes[index]
    return np.ndarray((height, width), np.uint8, buffer=memoryview(plane), strides=(plane.line_size, 1))
