"""Pictures as their sender sees them: turned, transparent, animated, of any colours and sizes."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline.codecs.exif import orientation
from pipeline.codecs.image_decoder import decode_image
from pipeline.errors import FrameError
from pipeline.media import ScreenFrame

SIDE = 1280
CORNERS = {"red": (76, 85, 255), "lime": (150, 44, 21), "blue": (29, 255, 107), "yellow": (226, 1, 149)}
"""Y, U and V of the colours in the corners (ITU-R BT.601, full range)."""


def file(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def quartered(width: int = 96, height: int = 64) -> Image.Image:
    """A picture of four colours, none of which is in another's place when it is turned or mirrored."""
    image = Image.new("RGB", (width, height))
    for number, colour in enumerate(CORNERS):
        left, top = number % 2 * width // 2, number // 2 * height // 2
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def corners(frame: ScreenFrame) -> list[str]:
    found = []
    for down in (1, 3):
        for across in (1, 3):
            y, x = frame.height * down // 4, frame.width * across // 4
            seen = np.array([frame.y[y, x], frame.u[y // 2, x // 2], frame.v[y // 2, x // 2]], int)
            found.append(min(CORNERS, key=lambda name: int(abs(seen - CORNERS[name]).max())))
    return found


def exif(value: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = value
    return data


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("value", range(1, 9))
def test_a_picture_is_turned_as_its_exif_data_says(kind: str, value: int) -> None:
    stored = quartered()
    stored.getexif()[0x0112] = value
    upright = ImageOps.exif_transpose(stored)
    frame = decode_image(file(quartered(), kind, exif=exif(value)), 0.0, max_side=SIDE)
    assert (frame.width, frame.height) == upright.size
    assert corners(frame) == corners(decode_image(file(upright, "PNG"), 0.0, max_side=SIDE))


@pytest.mark.parametrize("size", [(97, 63), (1, 5), (1281, 721)])
def test_a_turned_picture_of_odd_sides_keeps_its_planes_together(size: tuple[int, int]) -> None:
    frame = decode_image(file(Image.new("RGB", size, "blue"), "PNG", exif=exif(6)), 0.0, max_side=4_096)
    assert (frame.height, frame.width) == size
    assert frame.u.shape == frame.v.shape == ((frame.height + 1) // 2, (frame.width + 1) // 2)


@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"II*\0",
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x04\0\0\0\x01\0\0\0\x06",
    ],
)
def test_exif_data_that_says_nothing_valid_turns_nothing(tiff: bytes) -> None:
    assert orientation(file(quartered(), "JPEG", exif=b"Exif\0\0" + tiff)) == 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize(("opacity", "level"), [(0, 255), (128, 127), (255, 0)])
def test_black_lets_white_through_as_far_as_it_is_transparent(kind: str, opacity: int, level: int) -> None:
    frame = decode_image(file(Image.new("RGBA", (40, 30), (0, 0, 0, opacity)), kind, lossless=True), 0.0, max_side=SIDE)
    assert abs(int(frame.y[15, 20]) - level) <= 1
    assert (abs(int(frame.u[7, 10]) - 128), abs(int(frame.v[7, 10]) - 128)) <= (1, 1)


def test_a_lossy_picture_is_mixed_with_white_too() -> None:
    frame = decode_image(file(Image.new("RGBA", (40, 30), (0, 0, 0, 0)), "WEBP", quality=80), 0.0, max_side=SIDE)
    assert frame.full_range
    assert frame.y[15, 20] >= 254


def test_a_transparent_colour_of_a_palette_and_of_grey_is_white() -> None:
    palette = Image.new("P", (40, 30), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert decode_image(file(palette, "PNG"), 0.0, max_side=SIDE).y[15, 20] == 76
    assert decode_image(file(palette, "PNG", transparency=1), 0.0, max_side=SIDE).y[15, 20] == 255
    assert decode_image(file(Image.new("LA", (40, 30), (0, 0)), "PNG"), 0.0, max_side=SIDE).y[15, 20] == 255


def test_sixteen_bits_with_alpha_are_mixed_with_white() -> None:
    pixels = np.zeros((30, 40, 4), np.uint16)
    pixels[..., 3] = 0x8000
    frame = decode_image(cv2.imencode(".png", pixels)[1].tobytes(), 0.0, max_side=SIDE)
    assert abs(int(frame.y[15, 20]) - 127) <= 1


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_of_an_animation_the_first_frame_is_seen(mode: str, options: dict[str, Any]) -> None:
    first = quartered().convert(mode)
    data = file(first, "WEBP", save_all=True, append_images=[Image.new(mode, first.size, "black")], **options)
    assert b"ANMF" in data
    frame = decode_image(data, 0.0, max_side=SIDE)
    assert (frame.width, frame.height) == first.size
    assert corners(frame) == list(CORNERS)


def test_of_an_animated_png_the_first_frame_is_seen() -> None:
    data = file(quartered(), "PNG", save_all=True, append_images=[Image.new("RGB", (96, 64), "black")])
    assert b"fcTL" in data
    assert corners(decode_image(data, 0.0, max_side=SIDE)) == list(CORNERS)


@pytest.mark.parametrize(
    ("size", "seen"), [((7680, 2160), (1280, 360)), ((6016, 3384), (1280, 720)), ((2160, 3840), (720, 1280))]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_screen_larger_than_the_engine_sees_is_made_smaller(
    kind: str, size: tuple[int, int], seen: tuple[int, int]
) -> None:
    options: dict[str, Any] = {"compress_level": 1} if kind == "PNG" else {}
    frame = decode_image(file(quartered(*size), kind, **options), 0.0, max_side=SIDE)
    assert (frame.width, frame.height) == seen
    assert corners(frame) == list(CORNERS)


def test_a_6k_screen_with_transparency_is_made_smaller() -> None:
    frame = decode_image(file(Image.new("RGBA", (6016, 3384)), "PNG", compress_level=1), 0.0, max_side=SIDE)
    assert (frame.width, frame.height, int(frame.y.min())) == (1280, 720, 255)


def test_a_picture_that_takes_too_much_memory_is_named_with_what_it_takes() -> None:
    pixels: NDArray[np.uint16] = np.zeros((3384, 6016), np.uint16)
    header = file(Image.fromarray(pixels[:1, :1]), "PNG")
    data = bytearray(header)
    data[16:24] = (6016).to_bytes(4) + (3384).to_bytes(4)
    data[24:26] = bytes([16, 6])  # 16 bits a channel, with alpha
    with pytest.raises(FrameError, match=r"takes .* bytes to decode; 100000000 are accepted"):
        decode_image(bytes(data), 0.0, max_side=SIDE)
