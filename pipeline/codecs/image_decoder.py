"""Decodes clients' pictures (PNG, JPEG, WebP) to screen frames, checking their size in the header first."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

import numpy as np
from av.codec.context import CodecContext
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from pipeline.errors import FaultCode, FrameError, ProtocolError
from pipeline.media import Plane, ScreenFrame
from pipeline.screen.jpeg_encoder import fit

MAX_BYTES = 8 << 20
MAX_PIXELS = 16_000_000

MAX_DECODED_BYTES = 72_000_000
"""Memory that a decoder may take for one picture, and for all that are decoded at the same time in the whole process.

It is enough for 16 million pixels of 8 bits a channel, and for 3840x2160 of 16 bits with alpha."""

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type; a palette stays one
_WEBP_BYTES, _WEBP_ALPHA_BYTES, _WEBP_LOSSLESS_BYTES = 1.5, 5, 4  # a pixel; alpha is decoded as a lossless picture

MAX_SCANS = 100
"""Most scans of a progressive JPEG: encoders make about ten, and each passes over the whole picture."""

_PNG = b"\x89PNG\r\n\x1a\n"
# Other chunks are not needed, and compressed text could inflate to gigabytes (libavcodec/pngdec.c, decode_zbuf).
_PNG_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_SOF = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}  # coefficients of 16 bits are kept until the last scan
_SOS, _EOI = b"\xff\xda", b"\xff\xd9"


def decode_image(data: bytes, arrived: float, *, max_side: int) -> ScreenFrame:
    """Decode one picture, alpha ignored, and make its long side at most `max_side` pixels.

    Takes milliseconds, or waits for others: call it in a thread. The format is detected from the data. Raises
    `FrameError` for data that is damaged, cut short, animated, has more than 16 million pixels or takes more than 64 MB
    to decode, and `ProtocolError` for more than 8 MiB (PAYLOAD_TOO_LARGE) or another format.
    """
    if len(data) > MAX_BYTES:
        raise ProtocolError(f"A picture may have {MAX_BYTES} bytes.", code=FaultCode.PAYLOAD_TOO_LARGE)
    if data.startswith(_PNG):
        codec, (data, size) = "png", _checked_png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        codec, size = "mjpeg", _check_jpeg(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        codec, size = "webp", _check_webp(data)
    else:
        raise ProtocolError("The picture is neither PNG nor JPEG nor WebP.", code=FaultCode.UNSUPPORTED_FORMAT)
    if size > MAX_DECODED_BYTES:
        message = f"The picture takes {size} bytes to decode; {MAX_DECODED_BYTES} are accepted. Use 8 bits a channel."
        raise FrameError(message, where="picture")
    with _budget.reserve(size):
        return _screen(_decode(codec, data), arrived, max_side)


class MemoryBudget:
    """Lets threads use no more than so many bytes at the same time."""

    def __init__(self, limit: int):
        self._limit = limit
        self._used = 0
        self._freed = threading.Condition()

    @contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Wait until `size` bytes, at most the limit, are free, and hold them in the block."""
        with self._freed:
            self._freed.wait_for(lambda: self._used + size <= self._limit)
            self._used += size
        try:
            yield
        finally:
            with self._freed:
                self._used -= size
                self._freed.notify_all()


_budget = MemoryBudget(MAX_DECODED_BYTES)


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
    """Return only the chunks that make the picture, and the bytes it decodes to."""
    kept, at, name, names, pixels = [_PNG], len(_PNG), b"", set[bytes](), 0
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
            names.add(name)
        at = end
    depth, colour_type = data[24:26]
    # Of one transparent colour (tRNS) the decoder makes alpha.
    channels = _PNG_CHANNELS.get(colour_type, 4) + (b"tRNS" in names)
    return b"".join(kept), pixels * channels * (2 if depth > 8 else 1)


def _check_jpeg(data: bytes) -> int:
    """Return the bytes that the picture decodes to, with the coefficients of a progressive one."""
    at, size = 2, 0
    while data[at : at + 2] != _SOS:
        marker, length = data[at + 1 : at + 2], int.from_bytes(data[at + 2 : at + 4])
        if data[at : at + 1] != b"\xff" or not marker or length < 2 or at + 2 + length > len(data):
            raise _damaged()
        if marker[0] == 0xFF:  # a fill byte
            at += 1
            continue
        if marker[0] in _SOF:
            pixels = _check_size(int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7]))
            size = max(size, ceil(pixels * _jpeg_pixel_bytes(data[at + 1 : at + 2 + length])))
        at += 2 + length
    if not size or data.find(_EOI, at) < 0 or data.count(_SOS, at) > MAX_SCANS:
        raise _damaged()
    return size


def _jpeg_pixel_bytes(header: bytes) -> float:
    """Bytes of a pixel by the frame header (ITU-T T.81 section B.2.2), which starts with its marker here."""
    count = header[8]
    factors = [header[10 + 3 * number] for number in range(count)] if len(header) >= 9 + 3 * count else []
    areas = [(factor >> 4) * (factor & 15) for factor in factors]
    if not areas or not all(areas):
        raise _damaged()
    # The decoder enlarges components to the first one's size where their factors have no format of their own.
    samples = sum(areas) / areas[0] if areas[0] == max(areas) else float(count)
    sample_bytes = 2 if header[3] > 8 else 1
    return samples * (sample_bytes if header[0] not in _PROGRESSIVE else sample_bytes + 2)


def _check_webp(data: bytes) -> int:
    """Return the bytes that the picture decodes to."""
    if int.from_bytes(data[4:8], "little") + 8 > len(data) + 1:
        raise _damaged()
    pixels, pixel_bytes = 0, 0.0
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
                pixel_bytes += _WEBP_BYTES
            case b"ALPH":
                pixel_bytes += _WEBP_ALPHA_BYTES
            case b"VP8L" if len(head) >= 5:  # RFC 9649 section 3.4
                bits = int.from_bytes(head[1:5], "little")
                pixels = max(pixels, _check_size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1))
                pixel_bytes += _WEBP_LOSSLESS_BYTES
    if not pixels or not pixel_bytes:
        raise _damaged()
    return ceil(pixels * pixel_bytes)


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


def _screen(frame: VideoFrame, arrived: float, max_side: int) -> ScreenFrame:
    is_full = frame.format.name.startswith("yuvj") or frame.format.is_rgb or frame.format.name in _GREY
    is_large = max(frame.width, frame.height) > max_side
    if is_large or frame.format.name not in ("yuv420p", "yuvj420p"):
        width, height = fit(frame.width, frame.height, max_side) if is_large else (frame.width, frame.height)
        try:
            # In one pass, as the JPEG encoder makes frames smaller: a picture of the full size would take 24 MB more.
            frame = frame.reformat(
                width,
                height,
                format="yuv420p",
                src_color_range="JPEG" if is_full else "MPEG",
                dst_color_range="JPEG",
                dst_colorspace="ITU601",
                interpolation="AREA" if is_large else None,
                threads=1,
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
