"""Questions about real pages, rendered by Chromium and read by OCR, are answered by rules alone."""

import asyncio
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright

from mediaserver.localengine.responder.screen_answers import answer_about, describe
from pipeline.events import Box
from pipeline.screen.layout import Heading, ScreenLayout, Table
from pipeline.screen.ocr import Ocr
from tests.support.chromium import CHROMIUM, require_chromium

PAGES = Path(__file__).parents[3] / "data" / "pages"
WIDTH, HEIGHT = 1280, 800
Boxes = dict[str, list[tuple[float, float, float, float]]]


class Pages:
    """The layouts of the pages, and the boxes of their elements by text, from 0 to 1000."""

    def __init__(self) -> None:
        self.layouts: dict[str, ScreenLayout] = {}
        self.boxes: dict[str, Boxes] = {}


BOXES = """() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(walker.currentNode);
    const box = range.getBoundingClientRect();
    found.push([walker.currentNode.textContent.trim(), box.top, box.left, box.bottom, box.right]);
  }
  return found;
}"""


def holds(box: tuple[float, float, float, float], pointed: Box) -> bool:
    """Whether the middle of the pointer is inside."""
    top, left, bottom, right = box
    return top <= (pointed[0] + pointed[2]) / 2 <= bottom and left <= (pointed[1] + pointed[3]) / 2 <= right


@pytest.fixture(scope="module")
def pages() -> Pages:
    require_chromium()
    pages = Pages()
    pictures: dict[str, bytes] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        for file in sorted(PAGES.glob("*.html")):
            page.goto(file.as_uri())
            shot = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
            assert shot is not None
            pictures[file.stem] = simplejpeg.encode_jpeg(np.ascontiguousarray(shot), quality=80, colorspace="BGR")
            boxes = pages.boxes.setdefault(file.stem, {})
            for text, top, left, bottom, right in page.evaluate(BOXES):
                scaled = (top * 1000 / HEIGHT, left * 1000 / WIDTH, bottom * 1000 / HEIGHT, right * 1000 / WIDTH)
                boxes.setdefault(text, []).append(scaled)
        browser.close()

    async def read() -> None:
        ocr = Ocr()
        for name, picture in pictures.items():
            pages.layouts[name] = await ocr.layout(picture)
        await ocr.close()

    asyncio.run(read())
    return pages


pytestmark = [pytest.mark.browser, pytest.mark.one_python]


@pytest.mark.parametrize(
    ("page", "question", "said"),
    [
        ("error", "What does this error mean?", "storage is full"),
        ("error", "what does it say?", "Delete some files or upgrade your plan"),
        ("error", "Is there a red warning?", "Upload failed"),
        ("error", "which buttons are there?", "Cancel, Manage storage and Try again"),
        ("error", "what is on my screen?", "A dialog is open: Upload failed."),
        ("settings", "how do I change the currency?", "USD"),
        ("settings", "what is the time zone field for?", "Dates are shown in this time zone"),
        ("settings", "what can I press?", "Save changes and Discard"),
        ("settings", "who is logged in?", "demo user"),
        ("sheet", "what's the total for February?", "1,778.45"),
        ("sheet", "what is in cell E4?", "2,217.10"),
        ("sheet", "what is in cell e 2", "1,650.30"),
        ("sheet", "how much travel in March?", "612.00"),
        ("shop", "how much is shipping?", "$9.90"),
        ("shop", "can I return the tent?", "Free returns within 30 days"),
        ("shop", "how much are the hiking boots?", "$124.50"),
        ("login", "is there an error?", "The password is wrong"),
        ("login", "what went wrong?", "Two attempts are left"),
        ("orders", "what is the status of Moss and Sons?", "Waiting for stock"),
        ("orders", "read the table", "Quayside Cafe, Picking, 4 May"),
        ("orders", "what is on my screen?", "Open orders"),
        ("orders", "which buttons are there?", "Print labels and Export"),
    ],
)
def test_a_question_is_answered_with_what_stands_there(pages: Pages, page: str, question: str, said: str) -> None:
    answer = answer_about(pages.layouts[page], question)
    assert answer is not None
    assert said in " ".join(answer.sentences)


@pytest.mark.parametrize(
    ("page", "question", "label"),
    [
        ("settings", "how do I change the currency?", "Currency"),
        ("shop", "how much is shipping?", "Shipping"),
        ("sheet", "what's the total for February?", "1,778.45"),
        ("orders", "how do I export this?", "Export"),
    ],
)
def test_it_points_at_what_it_reads(pages: Pages, page: str, question: str, label: str) -> None:
    answer = answer_about(pages.layouts[page], question)
    assert answer is not None
    assert answer.box is not None
    assert any(holds(box, answer.box) for box in pages.boxes[page][label]), answer


def test_of_several_alike_the_one_below_the_thing_is_pointed_at(pages: Pages) -> None:
    answer = answer_about(pages.layouts["shop"], "how do I remove the boots?")
    assert answer is not None
    assert answer.box is not None
    [thing] = pages.boxes["shop"]["Hiking boots, size 42"]
    wanted = min(box for box in pages.boxes["shop"]["Remove"] if box[0] >= thing[0])
    assert holds(wanted, answer.box)


def test_row_numbers_of_a_spreadsheet_are_not_described(pages: Pages) -> None:
    said = " ".join(describe(pages.layouts["sheet"]))
    assert "Household budget 2026" in said
    assert "Month, Rent, Groceries, Travel, Total and Left over" in said
    assert not {"10", "11", "12", "19"} & set(said.replace(",", "").split())


def test_what_is_not_there_is_not_answered(pages: Pages) -> None:
    for page, question in (("shop", "where do I pay?"), ("orders", "how old is the president?")):
        assert answer_about(pages.layouts[page], question) is None
    assert "no table" in " ".join(getattr(answer_about(pages.layouts["error"], "read the table"), "sentences", ()))
    assert "no error" in " ".join(getattr(answer_about(pages.layouts["orders"], "is there an error?"), "sentences", ()))


@given(st.text(max_size=60))
def test_any_question_is_answered_or_not(question: str) -> None:
    layout = ScreenLayout(
        (), (Heading("Title", (0, 0, 50, 200)), Table(((None, None), (None, None)), (100, 0, 200, 300)))
    )
    answer = answer_about(layout, question)
    assert answer is None or all(answer.sentences)
