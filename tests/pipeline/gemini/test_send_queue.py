import asyncio

from pipeline.gemini.pending_input import MAX_PENDING_SECONDS
from pipeline.gemini.send_queue import MAX_QUEUED_SECONDS, ActivityEnd, ActivityStart, Item, SendQueue, Text
from pipeline.media import AudioChunk, EncodedFrame
from tests.support.fake_engine import speech, still


def drain(uplink: SendQueue) -> list[Item]:
    items = []
    while (item := uplink.pop()) is not None:
        items.append(item)
    return items


def kinds(items: list[Item]) -> list[str]:
    return [f"frame {item.number}" if isinstance(item, EncodedFrame) else type(item).__name__ for item in items]


def settled() -> SendQueue:
    """A link whose first rush is over."""
    uplink = SendQueue()
    uplink.push_control(Text("hello"))
    drain(uplink)
    return uplink


def seconds(items: list[Item]) -> float:
    return sum(item.duration for item in items if isinstance(item, AudioChunk))


def test_short_chunks_are_gathered_and_the_rest_goes_with_the_end() -> None:
    uplink = settled()
    uplink.push_control(ActivityStart())
    for number in range(5):
        uplink.push_audio(speech(0.032, pts=number * 0.032))
    uplink.push_control(ActivityEnd())
    _, first, second, third, _ = drain(uplink)
    assert isinstance(first, AudioChunk)
    assert isinstance(third, AudioChunk)
    assert (first.duration, first.pts) == (0.064, 0.0)
    assert (third.duration, third.pts) == (0.032, 0.128)
    assert seconds([first, second, third]) == 0.16


def test_audio_outside_a_window_is_not_sent() -> None:
    uplink = settled()
    uplink.push_audio(speech())
    uplink.push_control(ActivityStart())
    uplink.push_control(ActivityEnd())
    uplink.push_audio(speech())
    assert kinds(drain(uplink)) == ["ActivityStart", "ActivityEnd"]


def test_a_window_opens_with_audio_whatever_was_shown_first() -> None:
    uplink = settled()
    uplink.push_control(ActivityStart())
    assert kinds(drain(uplink)) == ["ActivityStart"]
    uplink.push_frame(still(1))
    assert drain(uplink) == []
    uplink.push_frame(still(2))
    uplink.push_audio(speech())
    uplink.push_control(ActivityEnd())
    assert kinds(drain(uplink)) == ["AudioChunk", "frame 2", "ActivityEnd"]


def test_a_window_without_audio_gets_its_frame_after_the_end() -> None:
    uplink = settled()
    uplink.push_control(ActivityStart())
    uplink.push_frame(still(1))
    uplink.push_control(ActivityEnd())
    assert kinds(drain(uplink)) == ["ActivityStart", "ActivityEnd", "frame 1"]


def test_only_the_newest_frame_waits_but_an_utterance_keeps_its_own() -> None:
    uplink = settled()
    uplink.push_frame(still(1))
    uplink.push_frame(still(2))
    uplink.push_control(ActivityStart())
    uplink.push_audio(speech())
    uplink.push_frame(still(3))
    uplink.push_audio(speech())
    uplink.push_frame(still(4))
    uplink.push_control(ActivityEnd())
    uplink.push_frame(still(5))
    uplink.push_frame(still(6))
    expected = ["frame 2", "ActivityStart", "AudioChunk", "AudioChunk", "frame 4", "ActivityEnd", "frame 6"]
    assert kinds(drain(uplink)) == expected


def test_a_stuck_socket_loses_the_oldest_audio_and_no_control() -> None:
    uplink = settled()
    uplink.push_control(ActivityStart())
    uplink.push_frame(still(1))
    most = int(MAX_QUEUED_SECONDS)
    for number in range(most + 7):
        uplink.push_audio(speech(1.0, pts=float(number)))
    uplink.push_control(ActivityEnd())
    uplink.push_control(Text("still there?"))
    items = drain(uplink)
    voice = ["AudioChunk"] * (most - 1)
    assert kinds(items) == ["ActivityStart", "AudioChunk", "frame 1", *voice, "ActivityEnd", "Text"]
    assert [item.pts for item in items if isinstance(item, AudioChunk)] == [number + 7.0 for number in range(most)]
    assert uplink.dropped_seconds == 7.0


def test_all_that_is_kept_while_there_is_no_connection_fits() -> None:
    uplink = SendQueue()
    uplink.push_control(ActivityStart())
    uplink.push_audio(speech(MAX_PENDING_SECONDS))
    uplink.push_audio(speech(1.0))
    assert uplink.dropped_seconds == 0


async def test_the_next_item_is_waited_for() -> None:
    uplink = settled()
    waiting = asyncio.ensure_future(uplink.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    uplink.push_control(Text("hello"))
    assert await waiting == Text("hello")
