"""The size of a frame is known before it is decoded."""

from fractions import Fraction

import av
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mediaserver.rtc.frame_size import FrameSizeError, frame_size
from tests.support.video_frames import vp8_keyframe


def encoded(
    encoder: str, width: int, height: int, options: dict[str, str] | None = None, pixels: str = "yuv420p"
) -> bytes:
    """Encode one key frame."""
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = width, height, pixels
    context.time_base = Fraction(1, 30)
    context.options = options or {}
    packets = [*context.encode(av.VideoFrame(width, height, pixels)), *context.encode(None)]
    return bytes(packets[0])


@pytest.mark.parametrize(("width", "height"), [(16, 16), (320, 240), (1280, 720), (1366, 768), (3840, 2160)])
def test_the_size_of_a_vp8_key_frame_is_read(width: int, height: int) -> None:
    assert frame_size("VP8", encoded("libvpx", width, height)) == (width, height)


def test_scale_bits_are_no_part_of_a_vp8_size() -> None:
    data = bytearray(vp8_keyframe(640, 480))
    data[7] |= 0xC0
    data[9] |= 0x40
    assert frame_size("VP8", bytes(data)) == (640, 480)


@pytest.mark.parametrize("profile", ["baseline", "main", "high", "high10", "high422", "high444"])
@pytest.mark.parametrize(("width", "height"), [(320, 240), (1280, 720), (1920, 1088)])
def test_the_size_of_an_h264_picture_is_read_in_every_profile(profile: str, width: int, height: int) -> None:
    pixels = {"high10": "yuv420p10le", "high422": "yuv422p10le", "high444": "yuv444p"}.get(profile, "yuv420p")
    assert frame_size("H264", encoded("libx264", width, height, {"profile": profile}, pixels)) == (width, height)


@pytest.mark.parametrize(
    "options",
    [
        {"x264-params": "cqm=jvt", "profile": "high"},  # scaling lists
        {"x264-params": "interlaced=1"},
        {"x264-params": "bframes=0:ref=1"},
        {"x264-params": "sps-id=7"},
    ],
)
def test_optional_parts_of_a_parameter_set_are_passed(options: dict[str, str]) -> None:
    assert frame_size("H264", encoded("libx264", 640, 480, options)) == (640, 480)


def test_a_cropped_picture_counts_with_the_memory_it_takes() -> None:
    assert frame_size("H264", encoded("libx264", 1920, 1080)) == (1920, 1088)


def test_the_largest_of_several_parameter_sets_counts() -> None:
    data = encoded("libx264", 1280, 720) + encoded("libx264", 320, 240)
    assert frame_size("H264", data) == (1280, 720)


@pytest.mark.parametrize("data", [b"", b"\x01interframe", b"\x31"])
def test_a_vp8_interframe_declares_no_size(data: bytes) -> None:
    assert frame_size("VP8", data) is None


def test_an_h264_slice_declares_no_size() -> None:
    assert frame_size("H264", b"\x00\x00\x00\x01\x41\x9a\x00") is None


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_a_header_that_is_cut_off_is_refused(codec: str) -> None:
    whole = {"VP8": vp8_keyframe(64, 64), "H264": b"\x00\x00\x00\x01\x67\x42\xc0\x1f\xda"}[codec]
    with pytest.raises(FrameSizeError):
        frame_size(codec, whole[:9])


@given(codec=st.sampled_from(["VP8", "H264", "h264", "AV1"]), data=st.binary(max_size=80))
@example(codec="H264", data=b"\x00\x00\x01\x67" + bytes(60))
@example(codec="H264", data=b"\x00\x00\x01\x67\x42\xc0\x1f" + b"\xff" * 60)
@example(codec="H264", data=b"\x00\x00\x01")
def test_any_bytes_have_a_size_or_none_or_are_refused(codec: str, data: bytes) -> None:
    for start in (b"", b"\x00\x00\x01\x67", b"\x00\x00\x00\x01\x67\x64\x00\x1f", b"\x10\x02\x00\x9d\x01\x2a"):
        try:
            size = frame_size(codec, start + data)
        except FrameSizeError:
            continue
        assert size is None or (size[0] >= 0 and size[1] >= 0)
