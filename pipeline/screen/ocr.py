"""Reads the text on a frame (OCR), in one worker process for all callers."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pipeline.errors import FaultCode, FrameError
from pipeline.events import Box
from pipeline.screen.layout import ScreenLayout, layout_of
from pipeline.screen.read_text import ReadText
from pipeline.screen.surfaces import find_surfaces
from pipeline.workers.process import Worker

MAX_PIXELS = 16_000_000
MIN_CONTRAST = 16  # levels of 256 between the darkest and the brightest
CACHED_FRAMES = 32
T = TypeVar("T")
DEADLINE = 15.0

# Measured with one thread on a 1280x720 page of 51 lines, rapidocr 3.10: 1.23 s by default without the angle
# classifier, 0.67 s with these options. Each line is recognised alone and at its own width, where a batch pads short
# ones to 320 pixels and all to the longest. A smaller limit for the detector loses 10 px labels: at 960 every eighth.
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


def is_available() -> bool:
    """Whether the OCR packages are installed."""
    return find_spec("rapidocr") is not None and find_spec("cv2") is not None


class Ocr:
    """The OCR of the whole server: frames queue for one process, and recent results are cached."""

    def __init__(self) -> None:
        self._worker = Worker("text reading", code=FaultCode.FRAME_PROCESSING_ERROR, initializer=_load)
        self._cache: OrderedDict[bytes, tuple[ReadText, ...]] = OrderedDict()
        self._layouts: OrderedDict[bytes, ScreenLayout] = OrderedDict()

    async def warm(self) -> None:
        """Load the models in advance, so that the first call need not wait for them."""
        _require()
        await self._worker.start()

    async def read(self, jpeg: bytes, *, deadline: float = DEADLINE) -> tuple[ReadText, ...]:
        """Return the lines of text on a frame from top to bottom, each row from left to right.

        Raises `FrameError` if the data is not a JPEG or the packages are missing, and `WorkerError` if reading fails or
        takes longer than `deadline`; both are FRAME_PROCESSING_ERROR. Time in the queue is not counted. A caller may be
        cancelled at any time.
        """
        return await self._cached(self._cache, read, jpeg, deadline)

    async def layout(self, jpeg: bytes, *, deadline: float = DEADLINE) -> ScreenLayout:
        """Return the layout of a frame; raises as `read` does, and shares its work."""
        return await self._cached(self._layouts, read_layout, jpeg, deadline)

    async def _cached(
        self, cache: OrderedDict[bytes, T], function: Callable[[bytes], T | None], jpeg: bytes, deadline: float
    ) -> T:
        _require()
        _check(jpeg)
        key = hashlib.blake2b(jpeg, digest_size=16).digest()
        if key not in cache:
            result = await self._worker.run(function, jpeg, deadline=deadline)
            if result is None:
                raise FrameError("The frame is not a whole JPEG picture.", where="ocr")
            cache[key] = result
            if len(cache) > CACHED_FRAMES:
                cache.popitem(last=False)
        cache.move_to_end(key)
        return cache[key]

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


# The functions below run in the worker.

_engine: Any = None  # one rapidocr.RapidOCR per process: half a second and 31 MB of models


def _load() -> None:
    global _engine
    import rapidocr  # only here: it imports cv2 and shapely

    models = Path(rapidocr.__file__).parent / "models"
    # Named files are opened as they are; rapidocr may download its own choice.
    files = {
        "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
        "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
    }
    _engine = rapidocr.RapidOCR(params=OPTIONS | files)
    # The first picture loads the models.
    _engine(_menu(320))


# Cached here too, so that concurrent calls for one frame, and those after a cancelled call, share one run.
@lru_cache(maxsize=8)
def read(jpeg: bytes) -> tuple[ReadText, ...] | None:
    """Return the lines on a JPEG, or None if it cannot be decoded; `_load` must have run in this process."""
    try:
        picture = simplejpeg.decode_jpeg(jpeg, colorspace="BGR")
    except ValueError:
        return None
    if int(picture.max()) - int(picture.min()) < MIN_CONTRAST:
        return ()
    # The detector depends on the whole picture: it misses a lone word on an empty page, but finds it among others.
    # Measured with labels of 10 to 36 px; two words are enough, so a page with any result is not read again.
    return _lines(picture, picture) or _lines(picture, np.vstack([picture, _menu(picture.shape[1])]))


@lru_cache(maxsize=8)
def read_layout(jpeg: bytes) -> ScreenLayout | None:
    """Return the layout of a JPEG, or None if it cannot be decoded; `_load` must have run in this process."""
    lines = read(jpeg)
    if lines is None:
        return None
    picture = simplejpeg.decode_jpeg(jpeg, colorspace="BGR")
    height, width = picture.shape[:2]
    return layout_of(lines, find_surfaces(picture, tuple(line.box for line in lines)), aspect=width / height)


def _lines(picture: NDArray[np.uint8], shown: NDArray[np.uint8]) -> tuple[ReadText, ...]:
    """Return the lines found in `shown`, which is `picture`, perhaps with something below it."""
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
    """Draw a strip of words, 32 pixels high."""
    import cv2

    strip = np.full((32, width, 3), 255, np.uint8)
    for place, word in zip(range(16, width - 60, 260), cycle(("File", "Edit", "View", "Help")), strict=False):
        cv2.putText(strip, word, (place, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _box(corners: NDArray[np.float32], *, width: int, height: int) -> Box:
    """Return the upright box around four (x, y) corners in pixels."""
    left, top = corners.min(axis=0) * 1000 / (width, height)
    right, bottom = corners.max(axis=0) * 1000 / (width, height)
    ymin, xmin, ymax, xmax = (min(1000, max(0, round(float(edge)))) for edge in (top, left, bottom, right))
    return ymin, xmin, ymax, xmax
