"""Conversion of PyAV's decoded frames to `ScreenFrame`."""

import numpy as np
from av import VideoFrame

from pipeline.errors import FrameError
from pipeline.media import Plane, ScreenFrame

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_PLANAR = ("yuv420p", "yuvj420p")


def screen_frame(frame: VideoFrame, arrived: float) -> ScreenFrame:
    """Wrap a frame's planes without copying; formats other than 4:2:0 are converted. Raises `FrameError`."""
    if frame.format.name not in _PLANAR:
        try:
            frame = frame.reformat(format="yuv420p")
        except ValueError:
            raise FrameError(f"A picture of format {frame.format.name} cannot be converted.", where="rtc") from None
    half_width, half_height = (frame.width + 1) // 2, (frame.height + 1) // 2
    return ScreenFrame(
        y=_plane(frame, 0, frame.width, frame.height),
        u=_plane(frame, 1, half_width, half_height),
        v=_plane(frame, 2, half_width, half_height),
        full_range=frame.format.name == "yuvj420p" or frame.color_range == _FULL_RANGE,
        arrived=arrived,
        is_live=True,
    )


def _plane(frame: VideoFrame, index: int, width: int, height: int) -> Plane:
    # The array keeps the plane alive, and the plane its frame.
    plane = frame.planes[index]
    return np.ndarray((height, width), np.uint8, buffer=memoryview(plane), strides=(plane.line_size, 1))
