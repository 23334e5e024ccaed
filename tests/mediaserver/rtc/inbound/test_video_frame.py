"""PyAV's pictures as the pipeline's values."""

import gc

import numpy as np
import pytest
from av import VideoFrame

from mediaserver.rtc.inbound.video_frame import screen_frame
from pipeline.errors import FrameError


def coloured(width: int, height: int, name: str = "yuv420p") -> VideoFrame:
    frame = VideoFrame(width, height, name)
    for plane, value in zip(frame.planes, (10, 20, 30), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


@pytest.mark.parametrize("size", [(2, 2), (641, 481), (1, 1), (1918, 1080)])
def test_planes_have_the_pictures_size_whatever_its_stride(size: tuple[int, int]) -> None:
    width, height = size
    picture = screen_frame(coloured(width, height), 1.5)
    assert (picture.width, picture.height, picture.arrived) == (width, height, 1.5)
    assert picture.u.shape == picture.v.shape == ((height + 1) // 2, (width + 1) // 2)
    assert [np.unique(plane).tolist() for plane in (picture.y, picture.u, picture.v)] == [[10], [20], [30]]


def test_planes_are_views_that_keep_their_memory() -> None:
    frame = coloured(64, 64)
    picture = screen_frame(frame, 0.0)
    assert not picture.y.flags.owndata
    del frame
    gc.collect()
    assert np.unique(picture.v) == [30]


def test_full_range_is_told_from_video_levels() -> None:
    assert screen_frame(coloured(16, 16, "yuvj420p"), 0.0).full_range
    frame = coloured(16, 16)
    assert not screen_frame(frame, 0.0).full_range
    frame.color_range = 2
    assert screen_frame(frame, 0.0).full_range


def test_other_formats_are_converted() -> None:
    frame = VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8), format="rgb24")
    picture = screen_frame(frame, 0.0)
    assert (picture.width, picture.height) == (64, 48)
    assert picture.y.min() > 230


def test_a_format_that_cannot_be_converted_is_a_frame_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd:
        format = type("Format", (), {"name": "odd"})

        def reformat(self, **_: str) -> None:
            raise ValueError

    with pytest.raises(FrameError):
        screen_frame(Odd(), 0.0)  # type: ignore[arg-type]
