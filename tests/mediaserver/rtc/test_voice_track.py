"""The assistant's track."""

import asyncio

import pytest
from aiortc.mediastreams import MediaStreamError

from mediaserver.rtc.voice_track import CAPACITY, FRAME, SAMPLES, TAIL, Timeline, VoiceTrack
from pipeline.playout.opus_encoder import SILENCE_PACKET
from tests.support.virtual_time import in_virtual_time


@in_virtual_time
async def test_frames_are_given_in_order_and_stamped_20_ms_apart() -> None:
    track = VoiceTrack(clock=lambda: 5.0)
    track.push(b"one")
    track.push(b"two")
    packets = [await track.recv(), await track.recv()]
    assert [bytes(packet) for packet in packets] == [b"one", b"two"]
    assert [packet.pts for packet in packets] == [0, SAMPLES]


@in_virtual_time
async def test_speech_is_followed_by_a_short_silence_and_then_by_nothing() -> None:
    track = VoiceTrack()
    track.push(b"word")
    packets = [bytes(await track.recv()) for _ in range(1 + TAIL)]
    assert packets == [b"word"] + [SILENCE_PACKET] * TAIL
    after = asyncio.create_task(track.recv())
    done, _ = await asyncio.wait([after], timeout=10 * FRAME)
    assert not done
    track.push(b"next")
    assert bytes(await after) == b"next"


@in_virtual_time
async def test_a_flush_drops_what_waits_and_silence_follows() -> None:
    track = VoiceTrack()
    track.push(b"heard")
    assert bytes(await track.recv()) == b"heard"
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    track.push(b"unheard")
    track.flush()
    assert bytes(await waiting) == SILENCE_PACKET


@in_virtual_time
async def test_nothing_is_sent_after_a_flush_when_nothing_was_said() -> None:
    track = VoiceTrack()
    track.flush()
    waiting = asyncio.create_task(track.recv())
    done, _ = await asyncio.wait([waiting], timeout=4 * FRAME)
    assert not done
    track.stop()
    with pytest.raises(MediaStreamError):
        await waiting


@in_virtual_time
async def test_while_nothing_is_sent_only_the_newest_speech_is_kept() -> None:
    track = VoiceTrack()
    for number in range(CAPACITY + 5):
        track.push(bytes([number]))
    assert bytes(await track.recv()) == bytes([5])


@in_virtual_time
async def test_a_stopped_track_raises_what_ends_the_sender() -> None:
    track = VoiceTrack()
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


def test_late_packets_keep_even_steps() -> None:
    timeline = Timeline()
    moments = [0.0, 0.021, 0.055, 0.061, 0.11]
    assert [timeline.stamp(now) for now in moments] == [at * SAMPLES for at in range(5)]


def test_after_a_pause_time_follows_the_clock() -> None:
    timeline = Timeline()
    timeline.stamp(0.0)
    timeline.stamp(0.02)
    assert timeline.stamp(3.001) == 150 * SAMPLES
    assert timeline.stamp(3.02) == 151 * SAMPLES


def test_a_burst_never_makes_time_go_back() -> None:
    timeline = Timeline()
    stamps = [timeline.stamp(now) for now in (0.0, 0.5, 0.5, 0.5, 0.5, 0.52)]
    assert stamps == sorted(set(stamps))
