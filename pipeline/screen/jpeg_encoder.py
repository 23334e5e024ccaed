"""Encodes screen frames as JPEG, scaled down where they are too large."""

import av
import numpy as np
import simplejpeg

from pipeline.errors import FrameError
from pipeline.media import Plane, ScreenFrame


def encode_jpeg(frame: ScreenFrame, *, max_side: int, quality: int = 80) -> tuple[bytes, int, int]:
    """Encode a frame as full-range JPEG, its long side at most `max_side` pixels and never enlarged.

    Returns the JPEG, its width and its height: even, as it is 4:2:0, but for a side of a single pixel. Takes some
    milliseconds, so call it in a thread. Raises `FrameError` for planes that do not fit together.
    """
    _check(frame)
    width, height = fit(frame.width, frame.height, max_side)
    try:
        picture = av.VideoFrame(frame.width, frame.height, "yuv420p")
        for plane, pixels in zip(_planes(picture), (frame.y, frame.u, frame.v), strict=True):
            plane[:] = pixels
        # Scale and range in one pass. AREA, as a screen is only ever made smaller; one thread, as two are slower.
        scaled = picture.reformat(
            width,
            height,
            src_color_range="JPEG" if frame.full_range else "MPEG",
            dst_color_range="JPEG",
            interpolation="AREA",
            threads=1,
        )
        jpeg = simplejpeg.encode_jpeg_yuv_planes(*_planes(scaled), quality)
    except (av.FFmpegError, ValueError) as error:
        raise FrameError("The frame cannot be encoded as JPEG.", where="screen") from error
    return bytes(jpeg), width, height


def fit(width: int, height: int, max_side: int) -> tuple[int, int]:
    """Return the size of a frame whose long side has at most `max_side` pixels, with even sides above one pixel."""
    long_side = max(width, height)
    scale = min(max_side - max_side % 2, long_side) / long_side
    return _even(width, scale), _even(height, scale)


def _check(frame: ScreenFrame) -> None:
    chroma = ((frame.height + 1) // 2, (frame.width + 1) // 2)
    planes = (frame.y, frame.u, frame.v)
    if (
        frame.y.size == 0
        or any(plane.dtype != np.uint8 for plane in planes)
        or {frame.u.shape, frame.v.shape} != {chroma}
    ):
        raise FrameError("The frame's planes do not fit together.", where="screen")


def _even(side: int, scale: float) -> int:
    # simplejpeg 1.9 reads beyond planes of odd sides.
    return max(1, min(side - side % 2, 2 * round(side * scale / 2)))


def _planes(picture: av.VideoFrame) -> list[Plane]:
    """Return the planes of a frame as arrays, without the padding at the end of each row."""
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in picture.planes
    ]
