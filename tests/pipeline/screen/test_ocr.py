import asyncio
import os
import sys
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
import simplejpeg

from pipeline.errors import FaultCode, FrameError
from pipeline.screen import ocr
from pipeline.screen.ocr import Ocr, is_available
from pipeline.screen.read_text import ReadText
from pipeline.workers.process import WorkerError

pytestmark = pytest.mark.skipif(not is_available(), reason="needs the packages of the extra `local`")

LABELS = {"Save": (300, 120), "Cancel": (520, 120), "Annual report": (80, 400), "Settings": (1000, 640)}


def page(labels: dict[str, tuple[int, int]], *, width: int = 1280, height: int = 720, size: int = 20) -> bytes:
    """A picture with each label's left top corner where it says."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for text, place in labels.items():
        draw.text(place, text, fill="black", font=ImageFont.load_default(size))
    return bytes(simplejpeg.encode_jpeg(np.asarray(image), quality=80, colorsubsampling="420"))


def named(lines: tuple[ReadText, ...], text: str) -> ReadText:
    return next(line for line in lines if line.text == text)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reader() -> AsyncIterator[Ocr]:
    reader = Ocr()
    await reader.warm()
    yield reader
    await reader.close()


@pytest.mark.asyncio(loop_scope="module")
async def test_labels_are_read_where_they_stand(reader: Ocr) -> None:
    lines = await reader.read(page(LABELS))
    assert {line.text for line in lines} == set(LABELS)
    for text, (x, y) in LABELS.items():
        line = named(lines, text)
        ymin, xmin, ymax, xmax = line.box
        assert abs(xmin - x * 1000 / 1280) < 10
        assert abs(ymin - y * 1000 / 720) < 15
        assert 0 <= ymin < ymax <= 1000
        assert 0 <= xmin < xmax <= 1000
        assert 0.8 < line.confidence <= 1


@pytest.mark.asyncio(loop_scope="module")
async def test_small_labels_are_read(reader: Ocr) -> None:
    lines = await reader.read(page({"Save": (300, 120), "Overdue": (30, 200), "Version 4.2": (900, 690)}, size=12))
    assert {line.text for line in lines} == {"Save", "Overdue", "Version 4.2"}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("size", [11, 20, 36])
async def test_a_lone_word_on_an_empty_page_is_read(reader: Ocr, size: int) -> None:
    (line,) = await reader.read(page({"Save": (640, 360)}, size=size))
    ymin, xmin, _, _ = line.box
    assert line.text == "Save"
    assert abs(xmin - 500) < 10
    assert abs(ymin - 500) < 25


@pytest.mark.asyncio(loop_scope="module")
async def test_a_frame_without_text_has_no_lines(reader: Ocr) -> None:
    assert await reader.read(page({})) == ()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 900), (900, 1), (33, 17), (3840, 2160)])
async def test_frames_of_any_shape_can_be_read(reader: Ocr, width: int, height: int) -> None:
    assert await reader.read(page({}, width=width, height=height)) == ()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_frame_is_read_once_for_all_who_ask(reader: Ocr) -> None:
    frame = page({"Once": (100, 100)})
    before = await reader._worker.run(runs, deadline=60)
    together = await asyncio.gather(*(reader.read(frame) for _ in range(5)))
    again = await reader.read(frame)
    assert all(lines == again for lines in together)
    assert await reader._worker.run(runs, deadline=60) == before + 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_reader_who_gives_up_has_not_read_in_vain(reader: Ocr) -> None:
    frame = page({"Twice": (100, 100)})
    before = await reader._worker.run(runs, deadline=60)
    given_up = asyncio.create_task(reader.read(frame))
    await asyncio.sleep(0)
    assert reader._worker._child is not None
    assert reader._worker._child._deadline is not None  # the call is on its way
    given_up.cancel()
    await asyncio.wait([given_up])
    assert [line.text for line in await reader.read(frame)] == ["Twice"]
    assert await reader._worker.run(runs, deadline=60) == before + 1


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_no_whole_jpeg_is_a_frame_error(reader: Ocr) -> None:
    whole = page(LABELS)
    for broken in (b"", b"\x89PNG nonsense", whole[:40], whole[: len(whole) // 2]):
        with pytest.raises(FrameError) as caught:
            await reader.read(broken)
        assert caught.value.code is FaultCode.FRAME_PROCESSING_ERROR


async def test_a_picture_too_large_to_decode_is_refused_by_its_header() -> None:
    bomb = simplejpeg.encode_jpeg(np.zeros((8000, 8000, 1), np.uint8), colorspace="GRAY", colorsubsampling="Gray")
    with pytest.raises(FrameError, match="megapixels"):
        await Ocr().read(bomb)


async def test_only_as_many_frames_are_remembered_as_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "CACHED_FRAMES", 2)
    reader = Ocr()
    monkeypatch.setattr(reader._worker, "run", nothing_read)
    for number in range(4):
        await reader.read(page({}, width=100 + number))
    assert len(reader._cache) == 2


async def test_missing_packages_are_named_with_the_command_that_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "find_spec", lambda name: None)
    reader = Ocr()
    assert not is_available()
    for ask in (reader.warm(), reader.read(page({}))):
        with pytest.raises(FrameError, match=r"pip install 'mediaserver\[local\]'"):
            await ask


async def test_reading_that_takes_too_long_is_a_frame_processing_error() -> None:
    reader = Ocr()
    with pytest.raises(WorkerError) as caught:
        await reader.read(page(LABELS), deadline=0.0)
    assert caught.value.code is FaultCode.FRAME_PROCESSING_ERROR
    await reader.close()


async def test_the_server_process_stays_free_of_the_reading_packages() -> None:
    loaded = await ocr_imports()
    assert not loaded & {"cv2", "rapidocr", "onnxruntime", "shapely"}


async def ocr_imports() -> set[str]:
    code = "import sys, pipeline.screen.ocr; print(*{name.split('.')[0] for name in sys.modules})"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return set(output.decode().split())


def test_the_worker_reads_without_the_network_or_a_word_on_the_console(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("tried to reach the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    ocr._load()
    lines = ocr.read(page({"Hello": (40, 40)}, width=320, height=160))
    assert lines is not None
    assert [line.text for line in lines] == ["Hello"]
    assert ocr.read(page({}, width=320, height=160)) == ()
    assert ocr.read(stripes()) == ()
    assert ocr.read(b"no picture") is None
    assert capfd.readouterr() == ("", "")


def stripes() -> bytes:
    """A picture with contrast and without text."""
    picture = np.full((160, 320, 3), 255, np.uint8)
    picture[:, 100:220] = 40
    return bytes(simplejpeg.encode_jpeg(picture))


def runs() -> int:
    """How many frames the worker has really looked at."""
    return ocr.read.cache_info().misses


async def nothing_read(*args: object, deadline: float) -> tuple[ReadText, ...]:
    return ()
