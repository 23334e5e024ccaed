"""The shared screen: what has changed since the engine last saw it, when to send it again, and as which JPEG."""

from dataclasses import dataclass

import av
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.errors import FrameError
from pipeline.events import SeenReason
from pipeline.media import Plane, ScreenFrame

INTERVAL = 1.0
"""Seconds between two frames on their way up, in the long run."""

# In levels of 256, of the mean of a window of 24x16 pixels. Measured with libvpx VP8 on pages of text, code and
# pictures, 50 kb/s to 2 Mb/s, every pair of frames of one encoding with its key frames and ramps of quality: the same
# picture moves by up to 6.6 while the quantizer is at most 56 (libwebrtc's limit), by 2.5 once it has become sharp.
# A word that appears moves it by 37, a button that turns from blue to green by 22, to a darker blue by 11.
TOLERANCE = 8.5
# A picture that is still becoming sharp moves by 3 to 5, one that is sharp by less than 2.5: a question is worth the
# frame in which the small print can be read.
TURN_TOLERANCE = 2.5

BLOCK = 8  # pixels, both ways
WINDOW_DOWN = 2  # blocks
WINDOW_ACROSS = 3
LEVEL = WINDOW_DOWN * WINDOW_ACROSS * BLOCK * BLOCK // 4  # one level more over a whole window, as `_blocks` counts

_FOUR_LANES = np.uint64(0x0001_0001_0001_0001)
_TOP_LANE = np.uint64(48)


@dataclass(frozen=True, slots=True, eq=False)
class _FrameSignature:
    """What is compared of a frame: sums of 8x8 pixels, which a codec keeps where it loses detail."""

    width: int
    height: int
    blocks: NDArray[np.int16]


class ChangeDetector:
    """Tells a change on the screen from codec noise, by luma alone, against the frame it was last told to remember."""

    def __init__(self) -> None:
        self._remembered: _FrameSignature | None = None
        self._newest: tuple[ScreenFrame, _FrameSignature] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to compare with."""
        return self._remembered is None

    def has_changed(self, frame: ScreenFrame, *, tolerance: float = TOLERANCE) -> bool:
        """Whether the frame shows something else; `tolerance` is in levels of 256, see `TOLERANCE`."""
        before, now = self._remembered, self._signature(frame)
        if before is None or (before.width, before.height) != (now.width, now.height):
            return True
        moved = now.blocks - before.blocks
        rows = moved[1:] + moved[:-1]
        windows = rows[:, 2:] + rows[:, 1:-1] + rows[:, :-2]
        return max(int(windows.max()), -int(windows.min())) > tolerance * LEVEL

    def remember(self, frame: ScreenFrame) -> None:
        """Compare with this frame from now on."""
        self._remembered = self._signature(frame)

    def forget(self) -> None:
        """Compare with nothing: whatever comes differs."""
        self._remembered = None

    def _signature(self, frame: ScreenFrame) -> _FrameSignature:
        if self._newest is None or self._newest[0] is not frame:
            self._newest = frame, _FrameSignature(frame.width, frame.height, _blocks(frame.y))
        return self._newest[1]


class Deduplicator:
    """Decides which frames the engine sees: the newest only, only when it shows something new, and one per second.

    It has no clock: `now` is any clock in seconds that never goes back. When `due` or `for_turn` gives a reason, the
    caller says `sent(latest, now)` at once, before it encodes, so that nobody sends the same frame meanwhile.
    """

    def __init__(self) -> None:
        self.seen_frames = 0
        self.sent_frames = 0
        self.dropped_frames = 0  # seen and never sent
        self._latest: ScreenFrame | None = None
        self._is_latest_sent = False
        self._detector = ChangeDetector()
        self._next_send_time = 0.0  # when the timer may send again

    @property
    def latest(self) -> ScreenFrame | None:
        """The newest frame of the share, or None if nothing is shared."""
        return self._latest

    @property
    def next_send_time(self) -> float:
        """When the timer may send again."""
        return self._next_send_time

    def offer(self, frame: ScreenFrame) -> None:
        """Take a frame; the one before is history, sent or not."""
        self._release()
        self.seen_frames += 1
        self._latest = frame
        self._is_latest_sent = False

    def reason_to_send(self, now: float) -> SeenReason | None:
        """Why the latest frame should go up now, by the timer; None if it should not."""
        if self._latest is None or now < self._next_send_time:
            return None
        if self._detector.is_empty:
            return SeenReason.FIRST
        return SeenReason.CHANGED if self._detector.has_changed(self._latest) else None

    def for_turn(self, now: float) -> SeenReason | None:
        """Why the latest frame should go up with a question that is complete now; None if the engine has seen it.

        It need not wait for the timer and takes the timer's next slot instead, unless a question has just done so.
        """
        if self._latest is None or now < self._next_send_time - INTERVAL:
            return None
        if self._detector.is_empty:
            return SeenReason.FIRST
        return SeenReason.TURN if self._detector.has_changed(self._latest, tolerance=TURN_TOLERANCE) else None

    def sent(self, frame: ScreenFrame, now: float) -> None:
        """Note that this frame goes up."""
        self.sent_frames += 1
        self._is_latest_sent = self._is_latest_sent or frame is self._latest
        self._detector.remember(frame)
        self._next_send_time = max(self._next_send_time, now) + INTERVAL

    def forget_sent(self) -> None:
        """Note that the engine has seen nothing yet, such as on a fresh connection: the latest frame is due again."""
        self._detector.forget()

    def clear(self) -> None:
        """Drop the share, which has ended."""
        self._release()
        self._latest = None
        self._detector = ChangeDetector()

    def _release(self) -> None:
        if self._latest is not None and not self._is_latest_sent:
            self.dropped_frames += 1


def encode_jpeg(frame: ScreenFrame, *, max_side: int, quality: int = 80) -> tuple[bytes, int, int]:
    """Make a full-range JPEG of a frame, its long side at most `max_side` pixels and never enlarged.

    Answers the JPEG, its width and its height: even, as it is 4:2:0, but for a side of a single pixel. Takes some
    milliseconds, so call it in a thread. Raises `FrameError` for planes that do not fit together.
    """
    _check(frame)
    width, height = _fit(frame.width, frame.height, max_side)
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
        raise FrameError("The frame cannot be made a JPEG of.", where="screen") from error
    return bytes(jpeg), width, height


def _check(frame: ScreenFrame) -> None:
    chroma = ((frame.height + 1) // 2, (frame.width + 1) // 2)
    planes = (frame.y, frame.u, frame.v)
    if (
        frame.y.size == 0
        or any(plane.dtype != np.uint8 for plane in planes)
        or {frame.u.shape, frame.v.shape} != {chroma}
    ):
        raise FrameError("The frame's planes do not fit together.", where="screen")


def _fit(width: int, height: int, max_side: int) -> tuple[int, int]:
    long_side = max(width, height)
    scale = min(max_side - max_side % 2, long_side) / long_side
    return _even(width, scale), _even(height, scale)


def _even(side: int, scale: float) -> int:
    # simplejpeg 1.9 reads beyond planes of odd sides.
    return max(1, min(side - side % 2, 2 * round(side * scale / 2)))


def _planes(picture: av.VideoFrame) -> list[Plane]:
    """The planes of a frame as arrays, without the padding at the end of each row."""
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in picture.planes
    ]


def _blocks(y: Plane) -> NDArray[np.int16]:
    """The sums of 8x8 pixels in quarters of a level, with a margin of zeros so that windows may hang over."""
    missing = (-y.shape[0] % BLOCK, -y.shape[1] % BLOCK)
    if any(missing):
        y = np.pad(y, ((0, missing[0]), (0, missing[1])), mode="edge")
    down, across = y.shape[0] // BLOCK, y.shape[1] // BLOCK
    pixels = y.astype(np.uint16).reshape(down, BLOCK, across * BLOCK)
    columns = pixels[:, 0] + pixels[:, 1]
    for row in range(2, BLOCK):
        columns += pixels[:, row]
    # Four sums side by side in 64 bits: multiplied so, the topmost becomes the sum of all. Less than half the time of
    # any reduction along the short axis: 1080p takes 0.2 ms in all.
    fours = ((columns.view(np.uint64) * _FOUR_LANES) >> _TOP_LANE).reshape(down, across, 2)
    blocks = np.zeros((down + WINDOW_DOWN - 1, across + WINDOW_ACROSS - 1), np.int16)
    blocks[:down, :across] = (fours[:, :, 0] + fours[:, :, 1]) >> np.uint64(2)
    return blocks
