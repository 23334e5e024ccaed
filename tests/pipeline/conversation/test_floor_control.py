"""Who asks when several are there, and what becomes of it when somebody leaves or the engine breaks meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pipeline.audio.vad import SileroVad
from pipeline.conversation.conversation import Conversation
from pipeline.conversation.floor_control import MAX_KNOWN_SPEAKERS
from pipeline.engine import EngineReady, EngineUnavailable, ReplyAudio, ReplyText
from pipeline.errors import AudioError, FaultCode, MediaError
from pipeline.events import EndReason, Fault, Interrupted, TextInput, Transcript
from pipeline.gemini.sdk_errors import make_engine_error
from pipeline.media import AudioChunk
from pipeline.screen.screen_share import ScreenShare
from tests.support.conversation_harness import ConversationHarness, FakePeer, enter, picture, speech

SILENCE = bytes(32_000)


@asynccontextmanager
async def slow_picture(room: ConversationHarness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    """While this lasts, the picture for a question is not made until the event is set."""
    made = asyncio.Event()

    async def show_for_turn(_: ScreenShare) -> None:
        await made.wait()

    with monkeypatch.context() as slow:
        slow.setattr(ScreenShare, "send_for_turn", show_for_turn)
        yield made
        made.set()
        await room.settle()


def hear(conversation: Conversation, peer: FakePeer, pcm: bytes, since: float = 0.0) -> None:
    for start in range(0, len(pcm), 640):
        conversation.push_audio(peer, AudioChunk(pcm[start : start + 640], 16_000, since + start / 32_000))


async def test_only_one_has_the_floor_at_a_time() -> None:
    room = await enter()
    other = FakePeer()
    room.conversation.attach(other)
    words = speech()[: 2 * 32_000]
    hear(room.conversation, room.peer, words)
    await room.until(lambda: "start 1" in room.engine.up)
    hear(room.conversation, other, words)
    await room.settle()
    hear(room.conversation, room.peer, SILENCE, since=2.0)
    await room.until(lambda: "end" in room.engine.up)
    assert [act for act in room.engine.up if act != "audio"] == ["start 1", "end"]
    assert room.conversation.speaker(1) is room.peer
    await room.leave()


async def test_it_is_known_for_a_while_whose_voice_began_a_turn() -> None:
    room = await enter()
    for turn in range(1, MAX_KNOWN_SPEAKERS + 2):
        hear(room.conversation, room.peer, speech())
        await room.until(lambda turn=turn: room.engine.up.count("end") == turn)  # type: ignore[misc]
    known = [turn for turn in range(MAX_KNOWN_SPEAKERS + 3) if room.conversation.speaker(turn) is room.peer]
    assert known == list(range(2, MAX_KNOWN_SPEAKERS + 2))
    await room.leave()


async def test_a_fatal_fault_of_a_microphone_ends_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    room = await enter()

    def fails(*_: object) -> list[object]:
        raise MediaError(FaultCode.INTERNAL_ERROR, "The detector is gone.", where="vad")

    monkeypatch.setattr(SileroVad, "push", fails)
    hear(room.conversation, room.peer, bytes(640))
    assert await room.task is EndReason.ERROR
    assert [(event.code, event.fatal) for event in room.peer.events if isinstance(event, Fault)] == [
        (FaultCode.INTERNAL_ERROR, True)
    ]


async def test_who_leaves_while_their_first_words_wait_behind_a_question_never_has_the_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = await enter()
    other = FakePeer()
    room.conversation.attach(other)
    async with slow_picture(room, monkeypatch):
        room.conversation.submit(room.peer, TextInput("one"))
        await room.settle()
        room.conversation.push_audio(other, AudioChunk(speech()[: 2 * 32_000], 16_000, 0.0))
        await room.settle()
        room.conversation.detach(other)
    assert room.peer.states[-1] == "thinking"
    room.conversation.submit(room.peer, TextInput("two"))
    await room.settle()
    assert [act for act in room.engine.up if act.startswith(("start", "ask"))] == ["ask 1 one", "ask 2 two"]
    assert not room.task.done()
    await room.leave()


async def test_what_is_typed_while_somebody_speaks_ends_what_they_say_and_is_asked_after_it() -> None:
    room = await enter()
    words = speech()[: 2 * 32_000]
    hear(room.conversation, room.peer, words)
    await room.until(lambda: "start 1" in room.engine.up)
    writer = FakePeer()
    room.conversation.attach(writer)
    room.conversation.submit(writer, TextInput("and this"))
    await room.until(lambda: any(act.startswith("ask") for act in room.engine.up))
    assert [act for act in room.engine.up if act != "audio"] == ["start 1", "end", "ask 2 and this"]
    room.engine.reply(2)
    room.ticker.tick(80)
    assert {frame.turn for frame in room.peer.frames} == {2}
    await room.leave()


async def test_a_fault_while_the_picture_of_an_utterance_is_made_drops_that_utterance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = await enter()
    async with slow_picture(room, monkeypatch):
        hear(room.conversation, room.peer, speech())
        await room.until(lambda: "start 1" in room.engine.up)
        room.conversation.end_audio(room.peer)
        await room.settle()
        room.conversation.report_error(AudioError("The microphone's decoder failed.", where="test"))
    assert [act for act in room.engine.up if act != "audio"] == ["start 1", "cancel"]
    assert room.peer.states[-1] == "idle"
    await room.leave()


async def test_a_question_typed_over_a_reply_survives_the_loss_of_that_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    room = await enter()
    room.conversation.push_frame(room.peer, picture())
    await room.until(lambda: bool(room.engine.stills))
    room.conversation.submit(room.peer, TextInput("one"))
    await room.settle()
    room.engine.tell(ReplyText(1, "It is "))
    room.engine.tell(ReplyAudio(1, AudioChunk(bytes(4_800), 24_000, 0.0)))
    async with slow_picture(room, monkeypatch):
        room.conversation.submit(room.peer, TextInput("two"))
        await room.settle()
        room.engine.tell(EngineUnavailable(make_engine_error(FaultCode.ENGINE_NETWORK), is_cut=True))
        room.engine.tell(EngineReady("fake"))
    assert room.engine.up[-1] == "ask 2 two"
    room.engine.reply(2)
    room.ticker.tick(80)
    assert {frame.turn for frame in room.peer.frames} == {2}
    assert [event.turn for event in room.peer.events if isinstance(event, Interrupted)] == [1]
    assert [event.code for event in room.peer.events if isinstance(event, Fault)] == [FaultCode.ENGINE_NETWORK]
    assert [event.text for event in room.peer.events if isinstance(event, Transcript) and event.role == "user"] == [
        "one",
        "two",
    ]
    await room.leave()
