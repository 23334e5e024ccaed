"""The screen share of a simulated user: ten seconds of typing in an editor, encoded once as VP8 pictures."""

from fractions import Fraction
from functools import cache

import numpy as np
from av import VideoFrame
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

WIDTH, HEIGHT = 1280, 720
FPS = 5
SECONDS = 10

_BIT_RATE = 1_000_000
_LINE, _GLYPH = 20, 9
_ACROSS = (WIDTH - 240) // _GLYPH
_SCROLL_EVERY = 20  # pictures


@cache
def encode_share() -> tuple[bytes, ...]:
    """Encode the share at 1280x720, 5 per second, about 1 Mb/s; the first is a key frame, so it can be repeated."""
    codec = CodecContext.create("libvpx", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height = WIDTH, HEIGHT
    codec.pix_fmt = "yuv420p"
    codec.framerate = Fraction(FPS)
    codec.time_base = Fraction(1, FPS)
    codec.bit_rate = _BIT_RATE
    codec.thread_count = 1  # more threads spin while they wait, which takes longer on a busy machine
    # In real time and without key frames but the first, as browsers do; 56 is libwebrtc's coarsest quantizer.
    codec.options = {
        "deadline": "realtime",
        "cpu-used": "-5",
        "lag-in-frames": "0",
        "error-resilient": "1",
        "screen-content-mode": "1",
        "qmin": "2",
        "qmax": "56",
        "g": "3000",
    }
    pictures: list[bytes] = []
    for number in range(FPS * SECONDS):
        frame = VideoFrame.from_ndarray(_draw(number), format="gray").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, FPS)
        pictures += [bytes(packet) for packet in codec.encode(frame)]
    return (*pictures, *(bytes(packet) for packet in codec.encode(None)))


def _draw(number: int) -> NDArray[np.uint8]:
    """Draw a page of glyph-like blocks: three glyphs are added per picture, and it scrolls by three lines at times."""
    page = np.full((HEIGHT, WIDTH), 250, np.uint8)
    page[:40] = 225
    page[:, :180] = 238
    lines = (HEIGHT - 80) // _LINE - 3
    scrolled = 3 * (number // _SCROLL_EVERY)
    for line in range(lines):
        is_last = line == lines - 1
        glyphs = 3 * (number % _SCROLL_EVERY) if is_last else _ACROSS * 2 // 3
        top, width = 60 + line * _LINE, min(glyphs, _ACROSS) * _GLYPH
        page[top : top + 14, 210 : 210 + width][_text(line + scrolled)[:, :width]] = 20
    return page


@cache
def _text(line: int) -> NDArray[np.bool_]:
    """Draw a line of glyphs 8 pixels wide and 14 high, a pixel apart; true is ink."""
    dots = np.random.default_rng(line).random((7, _ACROSS, 4)) < 0.45
    glyphs = np.zeros((14, _ACROSS, _GLYPH), bool)
    glyphs[:, :, :8] = dots.repeat(2, axis=0).repeat(2, axis=2)
    return glyphs.reshape(14, -1)
