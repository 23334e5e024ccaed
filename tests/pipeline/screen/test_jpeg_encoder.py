import asyncio
from typing import Any

import av
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import FrameError
from pipeline.media import Plane, ScreenFrame
from pipeline.screen.jpeg_encoder import encode_jpeg

BLACK, WHITE = 16, 235  # of limited range


def plain(luma: int, width: int = 64, height: int = 48, *, full_range: bool = False) -> ScreenFrame:
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    return ScreenFrame(np.full((height, width), luma, np.uint8), chroma, chroma.copy(), full_range, arrived=0.0)


def planes(picture: av.VideoFrame) -> list[Plane]:
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in picture.planes
    ]


def rgb(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(simplejpeg.decode_jpeg(jpeg), np.uint8)


@pytest.mark.parametrize("full_range", [False, True])
def test_white_comes_out_white_and_black_black(full_range: bool) -> None:
    black, white = (0, 255) if full_range else (BLACK, WHITE)
    for size in ((1280, 720), (1920, 1080)):
        picture, _, _ = encode_jpeg(plain(white, *size, full_range=full_range), max_side=1280)
        assert rgb(picture).min() >= 250
        picture, _, _ = encode_jpeg(plain(black, *size, full_range=full_range), max_side=1280)
        assert rgb(picture).max() <= 5


def test_colours_survive() -> None:
    pixels = np.zeros((240, 320, 3), np.uint8)
    colours = [(230, 30, 30), (30, 200, 40), (40, 60, 220), (128, 128, 128)]
    for number, colour in enumerate(colours):
        pixels[:, number * 80 : (number + 1) * 80] = colour
    picture = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p", dst_color_range="MPEG")
    y, u, v = planes(picture)
    jpeg, _, _ = encode_jpeg(ScreenFrame(y, u, v, full_range=False, arrived=0.0), max_side=160)
    seen = rgb(jpeg)
    for number, colour in enumerate(colours):
        assert np.abs(seen[60, number * 40 + 20].astype(int) - colour).max() <= 8


@pytest.mark.parametrize(
    ("size", "max_side", "expected"),
    [
        ((1920, 1080), 1280, (1280, 720)),
        ((1080, 1920), 1280, (720, 1280)),
        ((1280, 720), 1280, (1280, 720)),
        ((640, 360), 1280, (640, 360)),
        ((3840, 2160), 1280, (1280, 720)),
        ((1366, 768), 1280, (1280, 720)),
        ((1281, 721), 1280, (1280, 720)),
        ((641, 361), 1280, (640, 360)),
        ((1, 1), 1280, (1, 1)),
        ((2, 1), 1280, (2, 1)),
        ((1, 6), 1280, (1, 6)),
        ((4096, 1), 1280, (1280, 1)),
        ((3, 3), 1280, (2, 2)),
    ],
)
def test_the_long_side_is_bounded_and_nothing_is_enlarged(
    size: tuple[int, int], max_side: int, expected: tuple[int, int]
) -> None:
    jpeg, width, height = encode_jpeg(plain(WHITE, *size), max_side=max_side)
    assert (width, height) == expected
    assert rgb(jpeg).shape == (height, width, 3)
    assert rgb(jpeg).min() >= 250


@given(width=st.integers(1, 70), height=st.integers(1, 70), max_side=st.integers(2, 80))
def test_any_size_comes_out_even_and_white_to_its_edges(width: int, height: int, max_side: int) -> None:
    jpeg, out_width, out_height = encode_jpeg(plain(WHITE, width, height), max_side=max_side)
    assert max(out_width, out_height) <= max_side
    assert out_width <= width
    assert out_height <= height
    for side in (out_width, out_height):
        assert side == 1 or side % 2 == 0
    assert rgb(jpeg).min() >= 250


def test_strided_planes_become_the_same_jpeg() -> None:
    y, u, v = (np.random.default_rng(3).integers(16, 235, size, np.uint8) for size in ((90, 160), (45, 80), (45, 80)))
    wide_y, wide_u, wide_v = (np.pad(plane, ((0, 0), (0, 32)))[:, :-32] for plane in (y, u, v))
    packed = encode_jpeg(ScreenFrame(y, u, v, full_range=False, arrived=0.0), max_side=1280)
    assert encode_jpeg(ScreenFrame(wide_y, wide_u, wide_v, full_range=False, arrived=0.0), max_side=1280) == packed


def test_planes_that_do_not_fit_together_are_a_frame_error() -> None:
    y, chroma = np.zeros((48, 64), np.uint8), np.zeros((24, 32), np.uint8)
    wrong: list[tuple[Any, Any, Any]] = [
        (y, chroma, chroma[:-1]),
        (y, y, y),
        (y[:0], chroma[:0], chroma[:0]),
        (y.astype(np.uint16), chroma, chroma),
    ]
    for first, second, third in wrong:
        with pytest.raises(FrameError):
            encode_jpeg(ScreenFrame(first, second, third, full_range=False, arrived=0.0), max_side=1280)


def test_a_library_that_refuses_is_a_frame_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> bytes:
        raise ValueError("no")

    monkeypatch.setattr(simplejpeg, "encode_jpeg_yuv_planes", refuse)
    with pytest.raises(FrameError):
        encode_jpeg(plain(WHITE), max_side=1280)


async def test_frames_are_encoded_in_threads_side_by_side() -> None:
    frames = [plain(luma, 1920, 1080) for luma in (40, 120, 200, 235)]
    made = await asyncio.gather(*(asyncio.to_thread(encode_jpeg, frame, max_side=640) for frame in frames))
    for (jpeg, _, _), frame in zip(made, frames, strict=True):
        assert jpeg == encode_jpeg(frame, max_side=640)[0]
