"""The compared values of a frame: sums of 8x8 pixels, which a codec keeps where it loses detail."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.media import Plane, ScreenFrame

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
LEVEL = (
    WINDOW_DOWN * WINDOW_ACROSS * BLOCK * BLOCK // 4
)  # one level more over a whole window, as `FrameSignature` counts

BLOCK_LEVEL = BLOCK * BLOCK // 4  # one level more over a whole block

_FOUR_LANES = np.uint64(0x0001_0001_0001_0001)
_TOP_LANE = np.uint64(48)


@dataclass(frozen=True, slots=True, eq=False)
class FrameSignature:
    """The sums of a frame of `width` x `height` pixels, in quarters of a level.

    `blocks` is (rows + 1, columns + 2) int16: a margin of zeros below and to the right lets windows hang over.
    """

    width: int
    height: int
    blocks: NDArray[np.int16]

    @classmethod
    def of(cls, frame: ScreenFrame) -> "FrameSignature":
        """Sum up a frame's luma; 0.2 ms for 1080p."""
        return cls(frame.width, frame.height, _blocks(frame.y))

    def is_comparable(self, other: "FrameSignature") -> bool:
        """Whether both are of frames of one size."""
        return (self.width, self.height) == (other.width, other.height)

    def moved(self, before: "FrameSignature") -> NDArray[np.int16]:
        """Return by how much each block has moved since `before`, as its sum is kept."""
        return self.blocks - before.blocks


def window_sums(moved: NDArray[np.int16]) -> NDArray[np.int16]:
    """Add up the movements of blocks over windows; a window begins at each block, and is of (rows, columns) of them."""
    rows: NDArray[np.int16] = moved[1:] + moved[:-1]
    windows: NDArray[np.int16] = rows[:, 2:] + rows[:, 1:-1] + rows[:, :-2]
    return windows


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
