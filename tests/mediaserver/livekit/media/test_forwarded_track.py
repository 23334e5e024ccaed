"""Another client's media as a track."""

import asyncio

import pytest
from aiortc.mediastreams import MediaStreamError

from mediaserver.livekit.media.forwarded_track import CAPACITY, MAX_BYTES, ForwardedTrack, RelativeTime
from tests.support.virtual_time import in_virtual_time

KEY = b"\x10\x00\x00\x9d\x01\x2a" + bytes(20)
DELTA = b"\x11\x00\x00" + bytes(20)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Sender:
    """What an RTCRtpSender does with a track."""

    def __init__(self, kind: str, codec: str):
        self.asked = 0
        self.clock = Clock()
        self.track = ForwardedTrack(kind, request_keyframe=self._ask, clock=self.clock)
        self.track.codec = codec
        self.sent: list[tuple[bytes, int | None]] = []

    def _ask(self) -> None:
        self.asked += 1

    async def take(self) -> None:
        """Take all there is."""
        while True:
            try:
                async with asyncio.timeout(0.02):
                    packet = await self.track.recv()
            except TimeoutError:
                return
            self.sent.append((bytes(packet), packet.pts))


@in_virtual_time
async def test_audio_goes_through_as_it_is_in_its_own_time() -> None:
    sender = Sender("audio", "OPUS")
    await sender.take()
    for at in range(3):
        sender.track.push("OPUS", bytes([at]), 0xFFFFFFFF - 960 + 960 * at)
    await sender.take()
    assert sender.sent == [(b"\x00", 0), (b"\x01", 960), (b"\x02", 1_920)]


@in_virtual_time
async def test_before_it_is_taken_nothing_waits() -> None:
    sender = Sender("audio", "OPUS")
    sender.track.push("OPUS", b"early", 0)
    await sender.take()
    assert not sender.sent


@in_virtual_time
async def test_of_audio_that_is_not_taken_the_newest_is_kept() -> None:
    sender = Sender("audio", "OPUS")
    await sender.take()
    for at in range(CAPACITY["audio"] + 5):
        sender.track.push("OPUS", bytes([at]), 960 * at)
    await sender.take()
    assert [data for data, _ in sender.sent] == [bytes([at]) for at in range(5, CAPACITY["audio"] + 5)]


@in_virtual_time
async def test_video_begins_with_a_key_frame_that_is_asked_for() -> None:
    sender = Sender("video", "VP8")
    await sender.take()
    assert sender.asked == 1
    sender.track.push("VP8", DELTA, 0)
    sender.clock.now += 1
    sender.track.push("VP8", DELTA, 3_000)
    assert sender.asked == 2
    sender.track.push("VP8", KEY, 6_000)
    sender.track.push("VP8", DELTA, 9_000)
    await sender.take()
    assert [data for data, _ in sender.sent] == [KEY, DELTA]


@pytest.mark.parametrize("size", [len(DELTA), MAX_BYTES // 10])
@in_virtual_time
async def test_video_that_is_not_taken_is_dropped_until_a_key_frame(size: int) -> None:
    sender = Sender("video", "VP8")
    await sender.take()
    sender.track.push("VP8", KEY, 0)
    for at in range(1, CAPACITY["video"] + 2):
        sender.track.push("VP8", DELTA.ljust(size, b"."), 3_000 * at)
    await sender.take()
    assert not sender.sent
    sender.track.push("VP8", KEY, 900_000)
    await sender.take()
    assert [data for data, _ in sender.sent] == [KEY]


@in_virtual_time
async def test_a_pause_ends_with_a_key_frame() -> None:
    sender = Sender("video", "VP8")
    await sender.take()
    sender.track.push("VP8", KEY, 0)
    sender.track.pause(True)
    sender.track.push("VP8", KEY, 3_000)
    sender.clock.now += 1
    sender.track.pause(False)
    assert sender.asked == 2
    sender.track.push("VP8", DELTA, 6_000)
    sender.track.push("VP8", KEY, 9_000)
    await sender.take()
    assert sender.sent == [(KEY, 9_000)]


@in_virtual_time
async def test_what_its_section_is_not_sent_with_is_dropped() -> None:
    sender = Sender("video", "VP8")
    await sender.take()
    sender.track.push("H264", b"\x00\x00\x00\x01\x65", 0)
    await sender.take()
    assert not sender.sent


@in_virtual_time
async def test_a_stopped_track_raises_what_ends_the_sender() -> None:
    track = ForwardedTrack("audio", request_keyframe=lambda: None)
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.stop()
    with pytest.raises(MediaStreamError):
        await waiting
    track.push("OPUS", b"late", 0)


def test_what_is_late_or_comes_twice_has_no_time() -> None:
    time = RelativeTime(48_000, Clock())
    assert [time.convert(stamp) for stamp in (960, 1_920, 1_920, 960, 2_880)] == [0, 960, None, None, 1_920]


def test_a_source_that_starts_anew_goes_on_with_the_clock() -> None:
    clock = Clock()
    time = RelativeTime(48_000, clock)
    time.convert(4_000_000_000)
    clock.now += 0.5
    assert time.convert(17) == 24_000
    assert time.convert(17 + 960) == 24_960
