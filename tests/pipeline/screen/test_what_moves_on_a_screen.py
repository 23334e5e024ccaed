"""Drawn screens over time: cursors, clocks, pointers and spinners are no change, words and dialogs are."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import cast

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pipeline.errors import MediaError
from pipeline.events import Event, ScreenFrameSent
from pipeline.media import EncodedFrame, ScreenFrame
from pipeline.peer import Peer
from pipeline.screen.deduplicator import Deduplicator
from pipeline.screen.screen_share import ScreenShare
from tests.pipeline.screen.test_deduplicator import Rgb, coded
from tests.support.virtual_time import in_virtual_time

WIDTH, HEIGHT = 640, 360
Painter = Callable[[ImageDraw.ImageDraw, float], None]
"""Draws on a page what is seen there at a time (s)."""

ARROW = [(0, 0), (0, 16), (4, 13), (7, 19), (9, 18), (6, 12), (11, 12)]


def page(*, dark: bool = False) -> Image.Image:
    image = Image.new("L", (WIDTH, HEIGHT), 30 if dark else 250)
    draw = ImageDraw.Draw(image)
    for row in range(20, 200, 18):
        draw.text((20, row), "Invoice 12.50 total due next Monday, customers", fill=200 if dark else 40, font=font(12))
    return image


def font(size: int) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))


def frame(image: Image.Image, arrived: float = 0.0) -> ScreenFrame:
    half = np.full((image.height // 2, image.width // 2), 128, np.uint8)
    return ScreenFrame(np.asarray(image), half, half, full_range=True, arrived=arrived)


def cursor(width: int) -> Painter:
    def draw(page: ImageDraw.ImageDraw, now: float) -> None:
        if now % 1.06 < 0.53:
            page.rectangle((300, 240, 299 + width, 257), fill=0)

    return draw


def clock(size: int) -> Painter:
    def draw(page: ImageDraw.ImageDraw, now: float) -> None:
        seconds = 35_000 + int(now)
        text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        page.text((480, 8), text, fill=0, font=font(size))

    return draw


def minutes(page: ImageDraw.ImageDraw, now: float) -> None:
    seconds = 32_390 + int(now)
    page.text((560, 340), f"{seconds // 3600:02}:{seconds // 60 % 60:02}", fill=0, font=font(12))


def spinner(side: int) -> Painter:
    def draw(page: ImageDraw.ImageDraw, now: float) -> None:
        page.rectangle((400, 280, 400 + side, 280 + side), fill=255)
        start = now * 360 % 360
        page.arc((400, 280, 400 + side, 280 + side), start, start + 270, fill=20, width=4)

    return draw


def arrow(page: ImageDraw.ImageDraw, x: float, y: float) -> None:
    page.polygon([(x + dx, y + dy) for dx, dy in ARROW], fill=0, outline=255)


def pointer(page: ImageDraw.ImageDraw, now: float) -> None:
    """Walks below the text for three seconds, rests for four, and walks on."""
    walked = now // 7 * 3 + min(now % 7, 3)
    arrow(page, int(60 + walked * 61 % 500), int(230 + walked * 23 % 90))


def nothing(page: ImageDraw.ImageDraw, now: float) -> None:
    """Draw nothing."""


def frames(painters: list[Painter], *, seconds: float, per_second: int = 10) -> Iterator[tuple[float, ScreenFrame]]:
    background = page()
    for number in range(round(seconds * per_second)):
        now, image = number / per_second, background.copy()
        for paint in painters:
            paint(ImageDraw.Draw(image), now)
        yield now, frame(image, now)


def times_sent(shown: Iterator[tuple[float, ScreenFrame]]) -> list[float]:
    screen, sent = Deduplicator(), []
    for now, each in shown:
        screen.offer(each)
        if screen.reason_to_send(now):
            screen.mark_sent(each, now)
            sent.append(now)
    return sent


@pytest.mark.parametrize(
    "painter",
    [cursor(1), cursor(2), clock(12), spinner(16), pointer],
    ids=["thin cursor", "cursor", "clock", "spinner", "pointer"],
)
def test_what_moves_by_itself_is_no_change(painter: Painter) -> None:
    assert times_sent(frames([painter], seconds=25)) == [0.0]


@pytest.mark.parametrize("painter", [spinner(40), clock(16), clock(24)])
def test_what_is_large_and_moves_by_itself_is_no_change_once_it_is_known(painter: Painter) -> None:
    assert len(times_sent(frames([painter], seconds=25))) <= 3


@pytest.mark.parametrize(
    "painter",
    [cursor(2), clock(14), minutes, spinner(24), pointer],
    ids=["cursor", "clock", "minutes", "spin", "pointer"],
)
def test_five_minutes_of_a_screen_on_which_one_thing_moves_send_five_frames_at_most(painter: Painter) -> None:
    assert len(times_sent(frames([painter], seconds=300, per_second=2))) <= 5


def test_five_minutes_of_a_screen_on_which_everything_moves_send_five_frames_at_most() -> None:
    everything = [cursor(2), clock(14), spinner(24), pointer, minutes]
    assert len(times_sent(frames(everything, seconds=300, per_second=3))) <= 5


def appears(at: float, paint: Callable[[ImageDraw.ImageDraw], None]) -> Painter:
    def draw(page: ImageDraw.ImageDraw, now: float) -> None:
        if now >= at:
            paint(page)

    return draw


CHANGES: dict[str, Callable[[ImageDraw.ImageDraw], None]] = {
    "word": lambda page: page.text((200, 241), "Done", fill=40, font=font(12)),
    "small word": lambda page: page.text((200, 241), "error", fill=40, font=font(11)),
    "dialog of 20 pixels": lambda page: page.rectangle((330, 300, 349, 319), fill=255, outline=60),
    "soft dialog of 20 pixels": lambda page: page.rectangle((330, 300, 349, 319), fill=220),
    "dialog": lambda page: page.rectangle((200, 120, 440, 260), fill=255, outline=90),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(
    "moving", [nothing, cursor(2), pointer, spinner(24)], ids=["still", "cursor", "pointer", "spin"]
)
def test_a_word_and_a_dialog_are_a_change_at_once_whatever_moves_beside_them(
    change: Callable[[ImageDraw.ImageDraw], None], moving: Painter
) -> None:
    sent = times_sent(frames([moving, appears(9.95, change)], seconds=12))
    assert any(abs(each - 10.0) < 0.05 for each in sent)


def test_a_typed_word_is_a_change_although_the_cursor_blinks_behind_it() -> None:
    def typed(page: ImageDraw.ImageDraw, now: float) -> None:
        text = "hello"[: max(0, int((now - 5) * 4))]
        page.text((200, 241), text, fill=0, font=font(12))
        if now % 1.06 < 0.53 or 5 < now < 6.3:
            end = 201 + int(page.textlength(text, font=font(12)))
            page.rectangle((end, 240, end + 1, 256), fill=0)

    sent = times_sent(frames([typed], seconds=12))
    assert any(6.0 <= each <= 9.0 for each in sent)


def test_a_tick_in_a_checkbox_is_a_change_once_it_has_stayed() -> None:
    def tick(page: ImageDraw.ImageDraw) -> None:
        page.line([(202, 248), (205, 252), (212, 243)], fill=0, width=2)

    assert [each for each in times_sent(frames([appears(4.95, tick)], seconds=12)) if each] == pytest.approx([6.2])


def test_a_spinner_that_stops_as_a_tick_is_a_change() -> None:
    def loading(page: ImageDraw.ImageDraw, now: float) -> None:
        if now < 6:
            spinner(32)(page, now)
        else:
            page.text((400, 284), "Saved", fill=0, font=font(12))

    assert any(6 <= each <= 9 for each in times_sent(frames([loading], seconds=12)))


@pytest.mark.parametrize("per_second", [5, 10, 30])
def test_a_page_that_scrolls_is_sent_once_a_second(per_second: int) -> None:
    background = np.asarray(page())

    def scrolled() -> Iterator[tuple[float, ScreenFrame]]:
        for number in range(10 * per_second):
            image = Image.fromarray(np.roll(background, -5 * number, axis=0))
            yield number / per_second, frame(image)

    sent = times_sent(scrolled())
    assert 9 <= len(sent) <= 10
    assert min(after - before for before, after in pairwise(sent)) >= 1 - 1e-6


def test_a_pointer_that_moves_is_no_change_through_the_codec() -> None:
    pictures: list[Rgb] = []
    for number in range(25):
        image = page()
        arrow(ImageDraw.Draw(image), 100 + min(number, 15) * 14, 240 + min(number, 15) * 3)
        pictures.append(np.asarray(image.convert("RGB")))
    screen = Deduplicator()
    received = list(coded(pictures, bitrate=600_000))
    screen.offer(received[4])
    screen.mark_sent(received[4], 0.8)
    for number, each in enumerate(received[5:], 5):
        screen.offer(each)
        assert screen.reason_to_send(number / 5) is None


class FrameLog:
    """An engine that records when frames came, and their numbers."""

    def __init__(self) -> None:
        self.is_ready = True
        self.received: list[tuple[float, EncodedFrame]] = []

    def push_frame(self, frame: EncodedFrame) -> None:
        self.received.append((asyncio.get_running_loop().time(), frame))

    def stop_screen_share(self) -> None:
        raise AssertionError("The screen can be seen all the time.")


@in_virtual_time
async def test_a_dialog_is_sent_within_300_ms_of_its_frame_and_a_video_keeps_to_the_newest() -> None:
    events: list[Event] = []
    errors: list[MediaError] = []
    engine = FrameLog()
    share = ScreenShare(engine, max_side=WIDTH, send_event=events.append, on_error=errors.append)
    running = asyncio.create_task(share.run())
    peer = cast(Peer, object())
    dialog = appears(4.0, CHANGES["dialog"])
    for _, each in frames([spinner(24), dialog], seconds=8, per_second=30):
        share.push_frame(peer, each)
        await asyncio.sleep(1 / 30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    times = [at for at, _ in engine.received]
    assert len([at for at in times if 3.99 <= at <= 4.3]) == 1
    assert len(times) <= 3
    assert all(at - frame.arrived < 0.15 for at, frame in engine.received)
    assert [type(event) for event in events] == [ScreenFrameSent] * len(times)
    assert not errors
