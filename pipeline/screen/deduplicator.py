"""Decides which frames of a screen share are sent to the engine."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.events import SeenReason
from pipeline.media import Plane, ScreenFrame

INTERVAL = 1.0
"""Seconds between two frames sent, in the long run."""

# In levels of 256, of the mean of a window of 24x16 pixels. Measured with libvpx VP8 on pages of text, code and
# pictures, 50 kb/s to 2 Mb/s, every pair of frames of one encoding with its key frames and ramps of quality: the same
# picture moves by up to 6.6 while the quantizer is at most 56 (libwebrtc's limit), by 2.5 once it has become sharp.
# A word that appears moves it by 37, a button that turns from blue to green by 22, to a darker blue by 11.
TOLERANCE = 8.5
# A picture that is still becoming sharp moves by 3 to 5, one that is sharp by less than 2.5: a question gets the
# frame in which small print is legible.
TURN_TOLERANCE = 2.5

BLOCK = 8  # pixels, both ways
WINDOW_DOWN = 2  # blocks
WINDOW_ACROSS = 3
LEVEL = WINDOW_DOWN * WINDOW_ACROSS * BLOCK * BLOCK // 4  # one level more over a whole window, as `_blocks` counts

_FOUR_LANES = np.uint64(0x0001_0001_0001_0001)
_TOP_LANE = np.uint64(48)


@dataclass(frozen=True, slots=True, eq=False)
class _FrameSignature:
    """The compared values of a frame: sums of 8x8 pixels, which a codec keeps where it loses detail."""

    width: int
    height: int
    blocks: NDArray[np.int16]


class ChangeDetector:
    """Distinguishes a change on the screen from codec noise, by luma alone, against the remembered frame."""

    def __init__(self) -> None:
        self._remembered: _FrameSignature | None = None
        self._newest: tuple[ScreenFrame, _FrameSignature] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no frame is remembered."""
        return self._remembered is None

    def has_changed(self, frame: ScreenFrame, *, tolerance: float = TOLERANCE) -> bool:
        """Whether the frame differs from the remembered one; `tolerance` is in levels of 256, see `TOLERANCE`."""
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
        """Compare with no frame: the next one counts as changed."""
        self._remembered = None

    def _signature(self, frame: ScreenFrame) -> _FrameSignature:
        if self._newest is None or self._newest[0] is not frame:
            self._newest = frame, _FrameSignature(frame.width, frame.height, _blocks(frame.y))
        return self._newest[1]


class Deduplicator:
    """Selects frames for the engine: only the newest, only if it has changed, and one per second.

    It has no clock: `now` is any monotonic clock in seconds. When `reason_to_send` or `reason_for_turn` returns a
    reason, the caller calls `mark_sent(latest, now)` before it encodes, so that the same frame is not sent twice.
    """

    def __init__(self) -> None:
        self.offered_frames = 0
        self.sent_frames = 0
        self.dropped_frames = 0  # offered and never sent
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
        """Earliest time of the next timed send."""
        return self._next_send_time

    def offer(self, frame: ScreenFrame) -> None:
        """Take a frame, which replaces the one before."""
        self._release()
        self.offered_frames += 1
        self._latest = frame
        self._is_latest_sent = False

    def reason_to_send(self, now: float) -> SeenReason | None:
        """Return the reason to send the latest frame now, or None."""
        if self._latest is None or now < self._next_send_time:
            return None
        if self._detector.is_empty:
            return SeenReason.FIRST
        return SeenReason.CHANGED if self._detector.has_changed(self._latest) else None

    def reason_for_turn(self, now: float) -> SeenReason | None:
        """Return the reason to send the latest frame with a question, or None if the engine has seen it.

        A question does not wait for the timer. It takes the timer's next slot, unless a question has just taken one.
        """
        if self._latest is None or now < self._next_send_time - INTERVAL:
            return None
        if self._detector.is_empty:
            return SeenReason.FIRST
        return SeenReason.TURN if self._detector.has_changed(self._latest, tolerance=TURN_TOLERANCE) else None

    def mark_sent(self, frame: ScreenFrame, now: float) -> None:
        """Note that this frame is sent."""
        self.sent_frames += 1
        self._is_latest_sent = self._is_latest_sent or frame is self._latest
        self._detector.remember(frame)
        self._next_send_time = max(self._next_send_time, now) + INTERVAL

    def forget_sent(self) -> None:
        """Note that the engine has no frame, such as in a fresh session: the latest one is due again."""
        self._detector.forget()

    def clear(self) -> None:
        """Drop the share, which has ended."""
        self._release()
        self._latest = None
        self._detector = ChangeDetector()

    def _release(self) -> None:
        if self._latest is not None and not self._is_latest_sent:
            self.dropped_frames += 1


def _blocks(y: Plane) -> NDArray[np.int16]:
    """Return the sums of 8x8 pixels in quarters of a level, with a margin of zeros so that windows may hang over."""
    missing = (-y.shape[0] % BLOCK, -y.shape[1] % BLOCK)
    if any(missing):
        y = np.pad(y, ((0, missing[0]), (0, missing[1])), mode="edge")
    down, across = y.shape[0] // BLOCK, y.shape[1] // BLOCK
    pixels = y.astype(np.uint16).reshape(down, BLOCK, across * BLOCK)
    columns = pixels[:, 0] + pixels[:, 1]
    for row in range(2, BLOCK):
        columns += pixels[:, row]
    # Four sums side by side in 64 bits: this product has the sum of all in its top lane. Less than half the time of
    # any reduction along the short axis: 1080p takes 0.2 ms in all.
    fours = ((columns.view(np.uint64) * _FOUR_LANES) >> _TOP_LANE).reshape(down, across, 2)
    blocks = np.zeros((down + WINDOW_DOWN - 1, across + WINDOW_ACROSS - 1), np.int16)
    blocks[:down, :across] = (fours[:, :, 0] + fours[:, :, 1]) >> np.uint64(2)
    return blocks
