import asyncio

from pipeline.gemini.pending_input import MAX_PENDING_SECONDS
from pipeline.gemini.send_queue import MAX_QUEUED_SECONDS, ActivityEnd, ActivityStart, Item, SendQueue, Text
from pipeline.media import AudioChunk, EncodedFrame
from tests.support.fake_engine import encoded_frame, speech


def drain(queue: SendQueue) -> list[Item]:
    items = []
    while (item := queue.pop()) is not None:
        items.append(item)
    return items


def kinds(items: list[Item]) -> list[str]:
    return [f"frame {item.number}" if isinstance(item, EncodedFrame) else type(item).__name__ for item in items]


def settled() -> SendQueue:
    """A link whose first rush is over."""
    queue = SendQueue()
    queue.push_control(Text("hello"))
    drain(queue)
    return queue


def seconds(items: list[Item]) -> float:
    return sum(item.duration for item in items if isinstance(item, AudioChunk))


def test_short_chunks_are_gathered_and_the_rest_goes_with_the_end() -> None:
    queue = settled()
    queue.push_control(ActivityStart())
    for number in range(5):
        queue.push_audio(speech(0.032, pts=number * 0.032))
    queue.push_control(ActivityEnd())
    _, first, second, third, _ = drain(queue)
    assert isinstance(first, AudioChunk)
    assert isinstance(third, AudioChunk)
    assert (first.duration, first.pts) == (0.064, 0.0)
    assert (third.duration, third.pts) == (0.032, 0.128)
    assert seconds([first, second, third]) == 0.16


def test_audio_outside_a_window_is_not_sent() -> None:
    queue = settled()
    queue.push_audio(speech())
    queue.push_control(ActivityStart())
    queue.push_control(ActivityEnd())
    queue.push_audio(speech())
    assert kinds(drain(queue)) == ["ActivityStart", "ActivityEnd"]


def test_a_window_opens_with_audio_whatever_was_shown_first() -> None:
    queue = settled()
    queue.push_control(ActivityStart())
    assert kinds(drain(queue)) == ["ActivityStart"]
    queue.push_frame(encoded_frame(1))
    assert drain(queue) == []
    queue.push_frame(encoded_frame(2))
    queue.push_audio(speech())
    queue.push_control(ActivityEnd())
    assert kinds(drain(queue)) == ["AudioChunk", "frame 2", "ActivityEnd"]


def test_a_window_without_audio_gets_its_frame_after_the_end() -> None:
    queue = settled()
    queue.push_control(ActivityStart())
    queue.push_frame(encoded_frame(1))
    queue.push_control(ActivityEnd())
    assert kinds(drain(queue)) == ["ActivityStart", "ActivityEnd", "frame 1"]


def test_only_the_newest_frame_waits_but_an_utterance_keeps_its_own() -> None:
    queue = settled()
    queue.push_frame(encoded_frame(1))
    queue.push_frame(encoded_frame(2))
    queue.push_control(ActivityStart())
    queue.push_audio(speech())
    queue.push_frame(encoded_frame(3))
    queue.push_audio(speech())
    queue.push_frame(encoded_frame(4))
    queue.push_control(ActivityEnd())
    queue.push_frame(encoded_frame(5))
    queue.push_frame(encoded_frame(6))
    expected = ["frame 2", "ActivityStart", "AudioChunk", "AudioChunk", "frame 4", "ActivityEnd", "frame 6"]
    assert kinds(drain(queue)) == expected


def test_a_stuck_socket_loses_the_oldest_audio_and_no_control() -> None:
    queue = settled()
    queue.push_control(ActivityStart())
    queue.push_frame(encoded_frame(1))
    most = int(MAX_QUEUED_SECONDS)
    for number in range(most + 7):
        queue.push_audio(speech(1.0, pts=float(number)))
    queue.push_control(ActivityEnd())
    queue.push_control(Text("still there?"))
    items = drain(queue)
    voice = ["AudioChunk"] * (most - 1)
    assert kinds(items) == ["ActivityStart", "AudioChunk", "frame 1", *voice, "ActivityEnd", "Text"]
    assert [item.pts for item in items if isinstance(item, AudioChunk)] == [number + 7.0 for number in range(most)]
    assert queue.dropped_seconds == 7.0


def test_all_that_is_kept_while_there_is_no_connection_fits() -> None:
    queue = SendQueue()
    queue.push_control(ActivityStart())
    queue.push_audio(speech(MAX_PENDING_SECONDS))
    queue.push_audio(speech(1.0))
    assert queue.dropped_seconds == 0


async def test_the_next_item_is_waited_for() -> None:
    queue = settled()
    waiting = asyncio.ensure_future(queue.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.push_control(Text("hello"))
    assert await waiting == Text("hello")
