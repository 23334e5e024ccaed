"""Reads the text on a frame, in one worker process for all who need it."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.errors import FaultCode, FrameError
from pipeline.events import Box
from pipeline.workers.process import Worker

MAX_PIXELS = 16_000_000
MIN_CONTRAST = 16  # levels of 256 between the darkest and the brightest
REMEMBERED = 32  # frames
DEADLINE = 15.0

# Measured with one thread on a 1280x720 page of 51 lines, rapidocr 3.10: 1.23 s as it comes without the angle
# classifier, 0.67 s so. Each line is recognised alone and at its own width, where a batch pads the short ones to
# 320 pixels and all to the longest. A smaller limit for the detector loses 10 px labels: at 960 every eighth.
OPTIONS: dict[str, Any] = {
    "Global.use_cls": False,  # text on a screen is upright
    "Global.log_level": "critical",
    "Det.limit_type": "max",
    "Det.limit_side_len": 1280,
    "Rec.rec_batch_num": 1,
    "Rec.rec_img_shape": [3, 48, 48],
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,  # two gain a fifth and take a core from media
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,  # and no arena: it gains nothing and holds 200 MB more
}


@dataclass(frozen=True, slots=True)
class ReadText:
    """A line of text, where it stands on the frame (0 to 1000), and how sure the reader is of it (0 to 1)."""

    text: str
    box: Box
    confidence: float


def is_available() -> bool:
    """Whether the packages that read text are installed."""
    return find_spec("rapidocr") is not None and find_spec("cv2") is not None


class Ocr:
    """Everybody's reader: frames wait in line for one process, and a frame that was read before costs nothing."""

    def __init__(self) -> None:
        self._worker = Worker("text reading", code=FaultCode.FRAME_PROCESSING_ERROR, initializer=_load)
        self._read: OrderedDict[bytes, tuple[ReadText, ...]] = OrderedDict()

    async def warm(self) -> None:
        """Begin to load the models, so that the first reader need not wait for it."""
        _require()
        await self._worker.start()

    async def read(self, jpeg: bytes, *, deadline: float = DEADLINE) -> tuple[ReadText, ...]:
        """The lines of text on a frame from top to bottom, each row from left to right.

        Raises `FrameError` for what is no JPEG, or if the packages are missing, and `WorkerError` if reading takes
        longer than `deadline` or breaks; both are FRAME_PROCESSING_ERROR. Waiting in line is not counted; cancelling
        a caller loses nothing.
        """
        _require()
        _check(jpeg)
        key = hashlib.blake2b(jpeg, digest_size=16).digest()
        if key not in self._read:
            lines = await self._worker.run(read, jpeg, deadline=deadline)
            if lines is None:
                raise FrameError("The frame is not a whole JPEG picture.", where="ocr")
            self._read[key] = lines
            if len(self._read) > REMEMBERED:
                self._read.popitem(last=False)
        self._read.move_to_end(key)
        return self._read[key]

    async def close(self) -> None:
        """End the process."""
        await self._worker.close()


def _require() -> None:
    if not is_available():
        raise FrameError("Reading the screen needs more packages: pip install 'mediaserver[local]'", where="ocr")


def _check(jpeg: bytes) -> None:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    except ValueError as error:
        raise FrameError("The frame is not a JPEG picture.", where="ocr") from error
    if height * width > MAX_PIXELS:
        raise FrameError(f"The frame has more than {MAX_PIXELS // 1_000_000} megapixels.", where="ocr")


# What follows runs in the worker.

_engine: Any = None  # one rapidocr.RapidOCR per process: half a second and 31 MB of models


def _load() -> None:
    global _engine
    import rapidocr  # only here: it brings cv2 and shapely along

    models = Path(rapidocr.__file__).parent / "models"
    # Named files are opened as they are; what rapidocr chooses by itself it may download.
    files = {
        "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
        "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
    }
    _engine = rapidocr.RapidOCR(params=OPTIONS | files)
    # The models are opened by the first picture.
    _engine(_menu(320))


# Also here, so that those who ask for the same frame meanwhile, or again after a cancelled call, share one run.
@lru_cache(maxsize=8)
def read(jpeg: bytes) -> tuple[ReadText, ...] | None:
    """The lines on a JPEG, or None if it cannot be decoded; for a process that `_load` has prepared."""
    try:
        picture = simplejpeg.decode_jpeg(jpeg, colorspace="BGR")
    except ValueError:
        return None
    if int(picture.max()) - int(picture.min()) < MIN_CONTRAST:
        return ()
    # The detector judges by the whole picture: a lone word on an empty page is nothing to it, beside other words it is
    # text. Seen with labels of 10 to 36 px; two words are enough, so a page with anything found is not looked at again.
    return _lines(picture, picture) or _lines(picture, np.vstack([picture, _menu(picture.shape[1])]))


def _lines(picture: NDArray[np.uint8], shown: NDArray[np.uint8]) -> tuple[ReadText, ...]:
    """The lines found in `shown`, which is `picture` with perhaps something below."""
    found = _engine(shown)
    if found.boxes is None or not found.txts:
        return ()
    height, width = picture.shape[:2]
    return tuple(
        ReadText(text.strip(), _box(corners, width=width, height=height), min(1.0, float(score)))
        for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
        if corners[:, 1].mean() < height
    )


def _menu(width: int) -> NDArray[np.uint8]:
    """A strip of words, 32 pixels high."""
    import cv2

    strip = np.full((32, width, 3), 255, np.uint8)
    for place, word in zip(range(16, width - 60, 260), cycle(("File", "Edit", "View", "Help")), strict=False):
        cv2.putText(strip, word, (place, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _box(corners: NDArray[np.float32], *, width: int, height: int) -> Box:
    """The upright box around four (x, y) corners in pixels."""
    left, top = corners.min(axis=0) * 1000 / (width, height)
    right, bottom = corners.max(axis=0) * 1000 / (width, height)
    ymin, xmin, ymax, xmax = (min(1000, max(0, round(float(edge)))) for edge in (top, left, bottom, right))
    return ymin, xmin, ymax, xmax
