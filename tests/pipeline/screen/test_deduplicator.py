from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from pipeline.events import SeenReason
from pipeline.media import Plane, ScreenFrame
from pipeline.screen.change_detector import ChangeDetector
from pipeline.screen.deduplicator import Deduplicator
from pipeline.screen.frame_signature import TURN_TOLERANCE

Rgb = NDArray[np.uint8]

BLACK, WHITE = 16, 235  # of limited range
WORDS = [
    "Save",
    "Cancel",
    "Invoice",
    "total",
    "due",
    "next Monday",
    "report",
    "settings",
    "about",
    "customers",
    "12.50",
]


def plain(luma: int, width: int = 64, height: int = 48, *, full_range: bool = False) -> ScreenFrame:
    chroma = np.full(((height + 1) // 2, (width + 1) // 2), 128, np.uint8)
    return ScreenFrame(np.full((height, width), luma, np.uint8), chroma, chroma.copy(), full_range, arrived=0.0)


def with_area(frame: ScreenFrame, luma: int, *, x: int, y: int, width: int, height: int) -> ScreenFrame:
    changed = frame.y.copy()
    changed[y : y + height, x : x + width] = luma
    return ScreenFrame(changed, frame.u, frame.v, frame.full_range, frame.arrived)


def drawing(
    *, dark: bool = False, word: str = "", button: str = "#2563eb", width: int = 1280, height: int = 720
) -> Rgb:
    """A page full of small text and a button, and perhaps one more word."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    order = np.random.default_rng(7)
    for row in range(20, height - 80, 18):
        draw.text((20, row), " ".join(order.choice(WORDS, 16)), fill="#222222", font=ImageFont.load_default(12))
    draw.rounded_rectangle((700, height - 70, 760, height - 46), 5, fill=button)
    draw.text((714, height - 66), "Save", fill="white", font=ImageFont.load_default(14))
    draw.text((100, height - 60), word, fill="black", font=ImageFont.load_default(14))
    pixels = np.asarray(image)
    return 255 - pixels if dark else pixels


def planes(picture: av.VideoFrame) -> list[Plane]:
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in picture.planes
    ]


def coded(pictures: list[Rgb], *, bitrate: int, keyframe_every: int = 1000) -> Iterator[ScreenFrame]:
    """What arrives of these pictures after VP8 at 5 frames per second, with libwebrtc's limit of the quantizer."""
    height, width, _ = pictures[0].shape
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size = Fraction(1, 5), Fraction(5), keyframe_every
    encoder.bit_rate = bitrate
    encoder.thread_count = 1  # more would spin while they wait for one another
    encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "qmax": "56"}
    decoder = av.CodecContext.create("vp8", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    for number, pixels in enumerate(pictures):
        picture = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p", dst_color_range="MPEG")
        picture.pts = number
        for packet in encoder.encode(picture):
            for decoded in decoder.decode(av.Packet(bytes(packet))):
                y, u, v = planes(decoded)
                yield ScreenFrame(y, u, v, full_range=False, arrived=number / 5)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("keyframe_every", [1000, 7])
@pytest.mark.parametrize("bitrate", [60_000, 300_000, 2_000_000])
def test_a_static_screen_never_changes_whatever_the_codec_does_to_it(
    bitrate: int, keyframe_every: int, dark: bool
) -> None:
    frames = list(coded([drawing(dark=dark)] * 20, bitrate=bitrate, keyframe_every=keyframe_every))
    assert len({frame.y.tobytes() for frame in frames}) > 5  # or this would prove nothing
    for sent in (frames[0], frames[8]):
        detector = ChangeDetector()
        detector.remember(sent)
        assert not any(detector.has_changed(frame) for frame in frames)


@pytest.mark.parametrize("bitrate", [60_000, 300_000, 2_000_000])
@pytest.mark.parametrize(
    "after",
    [drawing(word="Done"), drawing(button="#16a34a"), drawing(button="#1d3fb0")],
    ids=["a word appears", "a button turns green", "a button turns darker"],
)
def test_a_small_change_is_seen_through_the_codec(after: Rgb, bitrate: int) -> None:
    frames = list(coded([drawing()] * 10 + [after] * 5, bitrate=bitrate))
    detector = ChangeDetector()
    detector.remember(frames[9])
    assert detector.has_changed(frames[-1])


@given(x=st.integers(0, 1240), y=st.integers(0, 704))
def test_an_area_of_40_by_16_pixels_is_seen_wherever_it_lies(x: int, y: int) -> None:
    page = plain(WHITE, 1280, 720)
    detector = ChangeDetector()
    detector.remember(page)
    assert detector.has_changed(with_area(page, WHITE - 16, x=x, y=y, width=40, height=16))


def test_a_change_of_a_few_levels_is_none() -> None:
    detector = ChangeDetector()
    detector.remember(plain(100))
    assert not detector.has_changed(plain(108))
    assert not detector.has_changed(plain(92))
    assert detector.has_changed(plain(109))
    assert detector.has_changed(plain(91))


def test_a_change_of_size_is_a_change() -> None:
    detector = ChangeDetector()
    detector.remember(plain(WHITE, 64, 48))
    assert detector.has_changed(plain(WHITE, 64, 46))
    assert detector.has_changed(plain(WHITE, 63, 48))


def test_with_nothing_remembered_everything_differs() -> None:
    detector = ChangeDetector()
    assert detector.is_empty
    assert detector.has_changed(plain(WHITE))
    detector.remember(plain(WHITE))
    assert not detector.is_empty
    detector.forget()
    assert detector.is_empty
    assert detector.has_changed(plain(WHITE))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 9), (2, 300), (1366, 768), (1281, 721)])
def test_frames_of_any_size_are_compared_to_their_edges(width: int, height: int) -> None:
    detector = ChangeDetector()
    page = plain(BLACK, width, height)
    detector.remember(page)
    assert not detector.has_changed(plain(BLACK, width, height))
    assert detector.has_changed(with_area(page, WHITE, x=max(0, width - 9), y=max(0, height - 9), width=9, height=9))


def test_strided_planes_are_compared_like_any() -> None:
    wide = np.full((48, 128), 99, np.uint8)
    wide[:, :64] = WHITE
    chroma = np.full((24, 32), 128, np.uint8)
    detector = ChangeDetector()
    detector.remember(plain(WHITE))
    assert not detector.has_changed(ScreenFrame(wide[:, :64], chroma, chroma, full_range=False, arrived=0.0))


def test_a_picture_that_becomes_sharp_differs_for_a_question_only() -> None:
    frames = list(coded([drawing()] * 20, bitrate=60_000))
    detector = ChangeDetector()
    detector.remember(frames[0])
    assert not detector.has_changed(frames[-1])
    assert detector.has_changed(frames[-1], tolerance=TURN_TOLERANCE)
    detector.remember(frames[-2])
    assert not detector.has_changed(frames[-1], tolerance=TURN_TOLERANCE)


# Frames sent, and their times

DARK, GREY, LIGHT = plain(40), plain(120), plain(200)


def send(screen: Deduplicator, now: float) -> None:
    assert screen.latest is not None
    screen.mark_sent(screen.latest, now)


def test_without_a_frame_nothing_is_due() -> None:
    screen = Deduplicator()
    assert screen.latest is None
    assert screen.reason_to_send(100.0) is None
    assert screen.reason_for_turn() is None


def test_the_first_frame_of_a_share_goes_at_once() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    assert screen.reason_to_send(0.0) is SeenReason.FIRST


def test_a_frame_like_the_last_sent_one_never_goes() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    send(screen, 0.0)
    screen.offer(plain(41))
    assert screen.reason_to_send(60.0) is None
    assert screen.reason_for_turn() is None


def test_slow_drift_is_compared_with_what_was_sent_and_not_with_the_frame_before() -> None:
    screen = Deduplicator()
    screen.offer(plain(40))
    send(screen, 0.0)
    for luma in range(41, 49):
        screen.offer(plain(luma))
        assert screen.reason_to_send(60.0) is None
    screen.offer(plain(50))
    assert screen.reason_to_send(60.0) is SeenReason.CHANGED


def test_only_the_newest_frame_is_kept() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    screen.offer(LIGHT)
    assert screen.latest is LIGHT


def test_a_screen_that_always_changes_goes_up_once_a_second() -> None:
    screen = Deduplicator()
    times = []
    for tick in range(100):
        now = tick / 10
        screen.offer(LIGHT if tick % 2 else DARK if tick % 4 else GREY)
        if screen.reason_to_send(now):
            send(screen, now)
            times.append(now)
    assert times == [float(second) for second in range(10)]


def test_a_question_does_not_wait_for_the_timer_and_the_timer_waits_for_it() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    send(screen, 0.0)
    screen.offer(LIGHT)
    assert screen.reason_to_send(0.4) is None
    assert screen.reason_for_turn() is SeenReason.TURN
    send(screen, 0.4)
    screen.offer(GREY)
    assert screen.reason_to_send(1.3) is None
    assert screen.reason_to_send(1.4) is SeenReason.CHANGED


def test_a_question_about_the_frame_that_was_sent_sends_nothing() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    send(screen, 0.0)
    assert screen.reason_for_turn() is None


def test_a_second_question_within_a_second_gets_the_current_frame_too() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    send(screen, 0.0)
    screen.offer(LIGHT)
    send(screen, 0.4)
    screen.offer(GREY)
    assert screen.reason_for_turn() is SeenReason.TURN


def test_a_question_before_any_frame_went_up_sends_the_first() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    assert screen.reason_for_turn() is SeenReason.FIRST


@given(st.lists(st.tuples(st.floats(0.0, 0.7), st.booleans()), max_size=200))
def test_without_a_question_no_frame_follows_another_within_a_second(asked: list[tuple[float, bool]]) -> None:
    screen = Deduplicator()
    now, last = 0.0, float("-inf")
    for number, (pause, is_question) in enumerate(asked):
        now += pause
        screen.offer((DARK, GREY, LIGHT)[number % 3])
        if screen.reason_for_turn() if is_question else screen.reason_to_send(now):
            assert is_question or now - last >= 1 - 1e-9
            send(screen, now)
            last = now


def test_a_fresh_connection_gets_the_current_frame_again() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    send(screen, 0.0)
    screen.forget_sent()
    assert screen.latest is DARK
    assert screen.reason_to_send(5.0) is SeenReason.FIRST


def test_a_new_share_starts_afresh() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    send(screen, 0.0)
    screen.clear()
    assert screen.latest is None
    assert screen.reason_to_send(5.0) is None
    assert screen.reason_for_turn() is None
    screen.offer(DARK)
    assert screen.reason_to_send(5.0) is SeenReason.FIRST


def test_a_frame_that_arrives_while_another_is_encoded_is_compared_with_that_one() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    screen.offer(LIGHT)
    screen.mark_sent(DARK, 0.0)
    assert screen.reason_to_send(1.0) is SeenReason.CHANGED


def test_frames_are_counted_as_seen_sent_and_dropped() -> None:
    screen = Deduplicator()
    screen.offer(DARK)
    screen.offer(GREY)
    send(screen, 0.0)
    screen.offer(LIGHT)
    screen.clear()
    screen.clear()
    assert (screen.offered_frames, screen.sent_frames, screen.dropped_frames) == (3, 1, 2)
