"""Pictures from clients: their content, and refusals before decoding."""

import struct
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codecs import image_decoder
from pipeline.codecs.image_decoder import MAX_DECODED_BYTES, MAX_SCANS, decode_image
from pipeline.errors import FaultCode, FrameError, MediaError, ProtocolError

SIDE = 4_096
RED, WHITE, BLACK = (0, 0, 255), (255, 255, 255), (0, 0, 0)


def drawn(
    width: int = 121, height: int = 90, *, alpha: bool = False
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Three bands: red, white, black."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 3] = RED
    picture[height // 3 : 2 * height // 3] = WHITE
    return np.dstack([picture, np.full((height, width), 250, np.uint8)]) if alpha else picture


def encoded(kind: str, picture: object = None, *options: int) -> bytes:
    _, data = cv2.imencode(kind, drawn() if picture is None else picture, list(options))
    return data.tobytes()


SHARP = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111)
PICTURES = {
    "png": encoded(".png"),
    "png with alpha": encoded(".png", drawn(alpha=True)),
    "png of 16 bits": encoded(".png", drawn().astype(np.uint16) * 257),
    "jpeg": encoded(".jpg"),
    "jpeg 4:4:4": encoded(".jpg", None, *SHARP),
    "jpeg progressive": encoded(".jpg", None, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "webp": encoded(".webp", None, cv2.IMWRITE_WEBP_QUALITY, 80),
    "webp lossless": encoded(".webp", None, cv2.IMWRITE_WEBP_QUALITY, 101),
    "webp with alpha": encoded(".webp", drawn(alpha=True), cv2.IMWRITE_WEBP_QUALITY, 80),
}


def code(data: bytes) -> FaultCode:
    with pytest.raises(MediaError) as refused:
        decode_image(data, 0.0, max_side=SIDE)
    return refused.value.code


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_what_was_drawn(name: str) -> None:
    frame = decode_image(PICTURES[name], 7.5, max_side=SIDE)
    assert (frame.width, frame.height, frame.u.shape, frame.arrived) == (121, 90, (45, 61), 7.5)
    black, white = (0, 255) if frame.full_range else (16, 235)
    assert abs(int(frame.y[45, 60]) - white) <= 3
    assert abs(int(frame.y[80, 60]) - black) <= 3
    assert abs(int(frame.y[15, 60]) - (black + (white - black) * 0.299)) <= 6
    assert frame.v[7, 30] > 230 > 110 > frame.u[7, 30]


@pytest.mark.parametrize("kind", [".png", ".jpg"])
def test_a_grey_picture_is_grey(kind: str) -> None:
    frame = decode_image(encoded(kind, np.full((40, 60), 200, np.uint8)), 0.0, max_side=SIDE)
    assert frame.full_range
    assert (int(frame.y[20, 30]), int(frame.u[10, 15]), int(frame.v[10, 15])) == (200, 128, 128)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_cut_short_anywhere_is_damaged(name: str) -> None:
    data = PICTURES[name]
    for end in range(12, len(data) - 1):
        assert code(data[:end]) is FaultCode.FRAME_PROCESSING_ERROR


@pytest.mark.parametrize("data", [b"", b"GIF89a" + bytes(100), b"RIFF\4\0\0\0WAVE", b"<svg/>"])
def test_another_format_is_unsupported(data: bytes) -> None:
    assert code(data) is FaultCode.UNSUPPORTED_FORMAT


def test_more_than_eight_mebibytes_are_too_large() -> None:
    assert code(PICTURES["png"] + bytes(8 << 20)) is FaultCode.PAYLOAD_TOO_LARGE


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def patched(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    return data.replace(old, new)


def vp8x(width: int, height: int, inner: bytes, flags: int = 0) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + size + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_sixteen_megapixels_are_measured_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.codecs.image_decoder._decode", None)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    jpeg = patched(PICTURES["jpeg"], struct.pack(">HH", 90, 121), struct.pack(">HH", 60_000, 60_000))
    webp = bytearray(PICTURES["webp"])
    start = webp.index(b"VP8 ") + 8
    webp[start + 6 : start + 10] = struct.pack("<HH", 16_383, 16_383)
    lossless = bytearray(PICTURES["webp lossless"])
    start = lossless.index(b"VP8L") + 8
    lossless[start + 1 : start + 5] = struct.pack("<I", 16_383 | 16_383 << 14)
    for data in (png, jpeg, bytes(webp), bytes(lossless), vp8x(60_000, 60_000, b""), vp8x(8, 8, bytes(webp[12:]))):
        with pytest.raises(FrameError, match="pixels"):
            decode_image(data, 0.0, max_side=SIDE)


def test_sixteen_megapixels_are_taken() -> None:
    frame = decode_image(encoded(".png", np.zeros((4_000, 4_000), np.uint8)), 0.0, max_side=SIDE)
    assert (frame.width, frame.height) == (4_000, 4_000)


def test_text_that_inflates_is_never_inflated() -> None:
    data = PICTURES["png"]
    bomb = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(100 << 20)))
    frame = decode_image(data[:33] + bomb * 20 + data[33:], 0.0, max_side=SIDE)  # 2 GB
    assert frame.width == 121


def test_a_jpeg_of_countless_scans_is_refused() -> None:
    data = PICTURES["jpeg progressive"]
    scan = data.rindex(b"\xff\xda")
    assert code(data[:-2] + data[scan:-2] * MAX_SCANS + data[-2:]) is FaultCode.FRAME_PROCESSING_ERROR


def test_an_animation_is_refused() -> None:
    with pytest.raises(FrameError, match="animated"):
        decode_image(vp8x(8, 8, b"", flags=2), 0.0, max_side=SIDE)


@pytest.mark.parametrize(
    "data", [vp8x(8, 8, b""), b"\xff\xd8\xff\xff\xe0\0", b"\xff\xd8\xff\xe0\0\2\xff\xda", b"RIFF\4\0\0\0WEBP"]
)
def test_a_picture_without_a_picture_is_damaged(data: bytes) -> None:
    assert code(data) is FaultCode.FRAME_PROCESSING_ERROR


@given(
    st.sampled_from(sorted(PICTURES)),
    st.lists(st.tuples(st.integers(0, 100_000), st.binary(min_size=1, max_size=6)), max_size=6),
    st.integers(0, 100_000),
)
def test_damage_is_a_picture_or_a_named_error(name: str, damage: list[tuple[int, bytes]], end: int) -> None:
    data = bytearray(PICTURES[name])
    for at, what in damage:
        start = at % len(data)
        data[start : start + len(what)] = what
    with suppress(FrameError, ProtocolError):
        frame = decode_image(bytes(data[: end % len(data)] if end % 3 == 0 else data), 0.0, max_side=SIDE)
        assert frame.width * frame.height <= 16_000_000


def test_pictures_decoded_at_once_take_no_more_memory_than_the_largest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    side = 3_500  # two of them take more than the bound
    data = encoded(".png", np.zeros((side, side, 3), np.uint8))
    real, lock, working, most = image_decoder._decode, threading.Lock(), [0], [0]

    def decode(codec: str, picture: bytes) -> VideoFrame:
        with lock:
            working[0] += 3 * side * side
            most[0] = max(most[0], working[0])
        try:
            return real(codec, picture)
        finally:
            with lock:
                working[0] -= 3 * side * side

    monkeypatch.setattr(image_decoder, "_decode", decode)
    with ThreadPoolExecutor(4) as threads:
        frames = list(threads.map(lambda _: decode_image(data, 0.0, max_side=SIDE), range(4)))
    assert [frame.width for frame in frames] == [side] * 4
    assert most[0] <= MAX_DECODED_BYTES


@pytest.fixture
def reserved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes that each picture has reserved."""
    sizes: list[int] = []

    @contextmanager
    def reserve(size: int) -> Iterator[None]:
        sizes.append(size)
        yield

    monkeypatch.setattr(image_decoder._budget, "reserve", reserve)
    return sizes


PIXEL_BYTES = {
    "png": 3,
    "png with alpha": 4,
    "png of 16 bits": 6,
    "jpeg": 1.5,
    "jpeg 4:4:4": 3,
    "jpeg progressive": 4.5,
    "webp": 1.5,
    "webp lossless": 4,
    "webp with alpha": 6.5,
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_counts_with_the_bytes_it_decodes_to(name: str, reserved: list[int]) -> None:
    decode_image(PICTURES[name], 0.0, max_side=SIDE)
    assert reserved == [121 * 90 * PIXEL_BYTES[name]]


def test_a_png_with_a_transparent_colour_counts_with_alpha(reserved: list[int]) -> None:
    data = PICTURES["png"]
    decode_image(data[:33] + chunk(b"tRNS", bytes(6)) + data[33:], 0.0, max_side=SIDE)
    assert reserved == [121 * 90 * 4]


@pytest.mark.parametrize(
    "data",
    [
        encoded(".png", np.zeros((3_900, 4_100, 3), np.uint16)),
        encoded(".jpg", np.zeros((3_900, 4_100, 3), np.uint8), *SHARP, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    ],
    ids=["16 bits", "progressive 4:4:4"],
)
def test_a_picture_that_takes_too_much_memory_is_refused(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.codecs.image_decoder._decode", None)
    with pytest.raises(FrameError, match="bytes to decode"):
        decode_image(data, 0.0, max_side=SIDE)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_larger_than_the_engine_takes_is_made_smaller_at_once(name: str) -> None:
    frame = decode_image(PICTURES[name], 0.0, max_side=60)
    assert (frame.width, frame.height, frame.u.shape, frame.full_range) == (60, 44, (22, 30), True)
    assert abs(int(frame.y[22, 30]) - 255) <= 3
    assert abs(int(frame.y[40, 30])) <= 3
    assert frame.v[3, 15] > 230 > 110 > frame.u[3, 15]
    plane = frame.y.base
    assert isinstance(plane, VideoPlane)
    assert plane.buffer_size < 121 * 90


def test_a_damaged_picture_gives_its_memory_back() -> None:
    data = bytearray(encoded(".png", np.zeros((3_500, 3_500, 3), np.uint8)))
    data[60:80] = bytes(20)
    for _ in range(2):  # the second would wait for ever
        assert code(bytes(data)) is FaultCode.FRAME_PROCESSING_ERROR
