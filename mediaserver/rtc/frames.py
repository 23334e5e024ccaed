"""PyAV's decoded frames as the pipeline's values."""

import numpy as np
from av import AudioFrame, VideoFrame
from av.audio.plane import AudioPlane
from numpy.typing import NDArray

from pipeline.errors import AudioError, FrameError
from pipeline.media import Plane, ScreenFrame

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_PLANAR = ("yuv420p", "yuvj420p")


def mono(frame: AudioFrame) -> NDArray[np.int16]:
    """Mix 16-bit audio of any number of channels down to one."""
    name, channels, samples = frame.format.name, frame.layout.nb_channels, frame.samples
    mixed: NDArray[np.int16]
    if name == "s16":
        mixed = _samples(frame.planes[0], samples * channels).reshape(samples, channels)
    elif name == "s16p":
        mixed = np.stack([_samples(plane, samples) for plane in frame.planes], axis=1)
    else:
        raise AudioError(f"The microphone's decoder gave {name} samples, not s16.", where="rtc")
    if channels == 1:
        return mixed.ravel()
    if channels == 2:
        # Shifted first, two halves fit 16 bits: three times as fast as a mean, and one bit in 96 dB.
        halves: NDArray[np.int16] = (mixed[:, 0] >> 1) + (mixed[:, 1] >> 1)
        return halves
    average: NDArray[np.int16] = mixed.mean(axis=1).astype(np.int16)
    return average


def _samples(plane: AudioPlane, count: int) -> NDArray[np.int16]:
    return np.frombuffer(memoryview(plane), np.int16, count)


def stamp(frame: AudioFrame) -> int:
    """The frame's RTP time in samples of its own rate."""
    base = frame.time_base
    if frame.pts is None or base is None:
        raise AudioError("The microphone's decoder gave a frame without time.", where="rtc")
    return int(frame.pts * base.numerator * frame.sample_rate // base.denominator)


def screen_frame(frame: VideoFrame, arrived: float) -> ScreenFrame:
    """View a picture's planes without copying them; other formats than 4:2:0 are converted first."""
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
    )


def _plane(frame: VideoFrame, index: int, width: int, height: int) -> Plane:
    # The array keeps the plane, and the plane its frame.
    plane = frame.planes[index]
    return np.ndarray((height, width), np.uint8, buffer=memoryview(plane), strides=(plane.line_size, 1))
