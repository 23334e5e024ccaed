"""Floor control among several peers, also when one leaves or the engine fails meanwhile."""

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
async def slow_picture(harness: ConversationHarness, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Event]:
    """Delay the frame of a question until the event is set."""
    made = asyncio.Event()

    async def show_for_turn(_: ScreenShare) -> None:
        await made.wait()

    with monkeypatch.context() as slow:
        slow.setattr(ScreenShare, "send_for_turn", show_for_turn)
        yield made
        made.set()
        await harness.settle()


def push_speech(conversation: Conversation, peer: FakePeer, pcm: bytes, since: float = 0.0) -> None:
    for start in range(0, len(pcm), 640):
        conversation.push_audio(peer, AudioChunk(pcm[start : start + 640], 16_000, since + start / 32_000))


async def test_only_one_has_the_floor_at_a_time() -> None:
    harness = await enter()
    other = FakePeer()
    harness.conversation.attach(other)
    words = speech()[: 2 * 32_000]
    push_speech(harness.conversation, harness.peer, words)
    await harness.until(lambda: "start 1" in harness.engine.up)
    push_speech(harness.conversation, other, words)
    await harness.settle()
    push_speech(harness.conversation, harness.peer, SILENCE, since=2.0)
    await harness.until(lambda: "end" in harness.engine.up)
    assert [act for act in harness.engine.up if act != "audio"] == ["start 1", "end"]
    assert harness.conversation.speaker(1) is harness.peer
    await harness.leave()


async def test_it_is_known_for_a_while_whose_voice_began_a_turn() -> None:
    harness = await enter()
    for turn in range(1, MAX_KNOWN_SPEAKERS + 2):
        push_speech(harness.conversation, harness.peer, speech())
        await harness.until(lambda turn=turn: harness.engine.up.count("end") == turn)  # type: ignore[misc]
    known = [turn for turn in range(MAX_KNOWN_SPEAKERS + 3) if harness.conversation.speaker(turn) is harness.peer]
    assert known == list(range(2, MAX_KNOWN_SPEAKERS + 2))
    await harness.leave()


async def test_a_fatal_fault_of_a_microphone_ends_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = await enter()

    def fails(*_: object) -> list[object]:
        raise MediaError(FaultCode.INTERNAL_ERROR, "The detector is gone.", where="vad")

    monkeypatch.setattr(SileroVad, "push", fails)
    push_speech(harness.conversation, harness.peer, bytes(640))
    assert await harness.task is EndReason.ERROR
    assert [(event.code, event.fatal) for event in harness.peer.events if isinstance(event, Fault)] == [
        (FaultCode.INTERNAL_ERROR, True)
    ]


async def test_who_leaves_while_their_first_words_wait_behind_a_question_never_has_the_floor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = await enter()
    other = FakePeer()
    harness.conversation.attach(other)
    async with slow_picture(harness, monkeypatch):
        harness.conversation.submit(harness.peer, TextInput("one"))
        await harness.settle()
        harness.conversation.push_audio(other, AudioChunk(speech()[: 2 * 32_000], 16_000, 0.0))
        await harness.settle()
        harness.conversation.detach(other)
    assert harness.peer.states[-1] == "thinking"
    harness.conversation.submit(harness.peer, TextInput("two"))
    await harness.settle()
    assert [act for act in harness.engine.up if act.startswith(("start", "ask"))] == ["ask 1 one", "ask 2 two"]
    assert not harness.task.done()
    await harness.leave()


async def test_what_is_typed_while_somebody_speaks_ends_what_they_say_and_is_asked_after_it() -> None:
    harness = await enter()
    words = speech()[: 2 * 32_000]
    push_speech(harness.conversation, harness.peer, words)
    await harness.until(lambda: "start 1" in harness.engine.up)
    writer = FakePeer()
    harness.conversation.attach(writer)
    harness.conversation.submit(writer, TextInput("and this"))
    await harness.until(lambda: any(act.startswith("ask") for act in harness.engine.up))
    assert [act for act in harness.engine.up if act != "audio"] == ["start 1", "end", "ask 2 and this"]
    harness.engine.reply(2)
    harness.frame_clock.tick(80)
    assert {frame.turn for frame in harness.peer.frames} == {2}
    await harness.leave()


async def test_a_fault_while_the_picture_of_an_utterance_is_made_drops_that_utterance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harness = await enter()
    async with slow_picture(harness, monkeypatch):
        push_speech(harness.conversation, harness.peer, speech())
        await harness.until(lambda: "start 1" in harness.engine.up)
        harness.conversation.end_audio(harness.peer)
        await harness.settle()
        harness.conversation.report_error(AudioError("The microphone's decoder failed.", where="test"))
    assert [act for act in harness.engine.up if act != "audio"] == ["start 1", "cancel"]
    assert harness.peer.states[-1] == "idle"
    await harness.leave()


async def test_a_question_typed_over_a_reply_survives_the_loss_of_that_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = await enter()
    harness.conversation.push_frame(harness.peer, picture())
    await harness.until(lambda: bool(harness.engine.stills))
    harness.conversation.submit(harness.peer, TextInput("one"))
    await harness.settle()
    harness.engine.emit(ReplyText(1, "It is "))
    harness.engine.emit(ReplyAudio(1, AudioChunk(bytes(4_800), 24_000, 0.0)))
    async with slow_picture(harness, monkeypatch):
        harness.conversation.submit(harness.peer, TextInput("two"))
        await harness.settle()
        harness.engine.emit(EngineUnavailable(make_engine_error(FaultCode.ENGINE_NETWORK), is_turn_lost=True))
        harness.engine.emit(EngineReady("fake"))
    assert harness.engine.up[-1] == "ask 2 two"
    harness.engine.reply(2)
    harness.frame_clock.tick(80)
    assert {frame.turn for frame in harness.peer.frames} == {2}
    assert [event.turn for event in harness.peer.events if isinstance(event, Interrupted)] == [1]
    assert [event.code for event in harness.peer.events if isinstance(event, Fault)] == [FaultCode.ENGINE_NETWORK]
    assert [event.text for event in harness.peer.events if isinstance(event, Transcript) and event.role == "user"] == [
        "one",
        "two",
    ]
    await harness.leave()
