"""H.264 as x264 encodes it."""

from fractions import Fraction
from typing import Any

import numpy as np
from av import CodecContext, Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext

WIDTH, HEIGHT = 320, 240
START_CODE = b"\x00\x00\x00\x01"


def encode(count: int, *, profile: str = "high", luma: int = 200, **parameters: object) -> "list[Packet[Any]]":
    """Encode so many frames of a bright picture with a moving bar; `parameters` are x264's own."""
    codec = CodecContext.create("libx264", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    codec.time_base = Fraction(1, 20)
    own = ":".join(f"{name.replace('_', '-')}={value}" for name, value in parameters.items())
    codec.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": f"bframes=0:{own}"}
    codec.profile = profile
    packets: list[Packet[Any]] = []
    for at in range(count):
        y = np.full((HEIGHT, WIDTH), luma, np.uint8)
        y[:, at * 8 % WIDTH : at * 8 % WIDTH + 8] = 30
        chroma = np.full((HEIGHT // 2, WIDTH), 128, np.uint8)
        frame = VideoFrame.from_ndarray(np.vstack([y, chroma]), format="yuv420p")
        frame.pts = at
        packets += codec.encode(frame)
    return packets + codec.encode(None)


def units(packet: "Packet[Any]") -> list[bytes]:
    """The NAL units of a packet."""
    return [unit.rstrip(b"\x00") for unit in bytes(packet).split(b"\x00\x00\x01")[1:]]


def without_parameter_sets(packet: "Packet[Any]") -> "Packet[Any]":
    """The packet without its parameter sets."""
    return Packet(b"".join(START_CODE + unit for unit in units(packet) if unit[0] & 31 not in (7, 8)))
