"""Pictures with transparent parts, as they look on a white page."""

import numpy as np
from av.video.frame import VideoFrame

_BAND = 64
"""Rows that are mixed at a time: a picture of several megapixels would take its own size in memory again and again."""

_ALPHA_FIRST, _ALPHA_LAST = ("argb", "abgr"), ("rgba", "bgra")


def on_white(frame: VideoFrame) -> VideoFrame:
    """Return a picture without transparency as it is, and any other on white, with RGB levels.

    Changes the frame's own pixels where they have 8 bits a channel. Raises `ValueError` or `FFmpegError` for a format
    that cannot be converted.
    """
    if not _has_alpha(frame):
        return frame
    if frame.format.name not in _ALPHA_FIRST + _ALPHA_LAST:
        frame = frame.reformat(format="rgba", threads=1)
    plane = frame.planes[0]
    pixels = np.ndarray((frame.height, frame.width, 4), np.uint8, memoryview(plane), strides=(plane.line_size, 4, 1))
    is_first = frame.format.name in _ALPHA_FIRST
    alpha, colours = (pixels[..., :1], pixels[..., 1:]) if is_first else (pixels[..., 3:], pixels[..., :3])
    for top in range(0, frame.height, _BAND):
        opacity, colour = alpha[top : top + _BAND], colours[top : top + _BAND]
        if opacity.min() < 255:
            colour[:] = 255 - (255 - colour).astype(np.uint16) * opacity // 255
    return frame


def _has_alpha(frame: VideoFrame) -> bool:
    if frame.format.name == "pal8":
        # The second plane has the 256 colours of the palette, 32 bits each in the machine's order, alpha the highest.
        palette = np.frombuffer(memoryview(frame.planes[1]), np.uint32, 256)
        return bool((palette >> 24).min() < 255)
    return any(component.is_alpha for component in frame.format.components)
