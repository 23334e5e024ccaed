"""False interruptions: what is nothing lets the answer go on, everything else ends it as ever."""

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
import pytest

from pipeline.audio.pause_rule import BRIEF
from pipeline.conversation.interruption import RESUME_WITHIN
from pipeline.engine import EngineUnavailable, ReplyAudio, ReplyEnded, ReplyText, ToolCall, UserText
from pipeline.errors import EngineError, FaultCode, MediaError
from pipeline.events import Fault, Interrupt, Interrupted, Resumed, Role, TextInput, Transcript, TurnEnded, Usage
from pipeline.media import AudioChunk, SpeechFrame
from tests.support.conversation_harness import SECOND_OF_TONE, ConversationHarness, enter, speech
from tests.support.virtual_time import in_virtual_time

SHORT = speech()[48_000:72_000]
"""Three quarters of a second of a person."""

PLAYED = 50
"""Frames (a second) of the answer before it is cut."""


async def hear(harness: ConversationHarness, pcm: bytes) -> None:
    harness.say(pcm)
    await harness.settle()


async def cut(harness: ConversationHarness, *, seconds: int = 4, voice: bytes = SHORT) -> None:
    """Let somebody speak over an answer, and end what they say."""
    harness.conversation.submit(harness.peer, TextInput("where is save?"))
    await harness.settle()
    harness.engine.reply(1, "I can see a page.", seconds=seconds)
    harness.frame_clock.tick(PLAYED)
    await hear(harness, bytes(16_000) + voice)
    assert any(isinstance(event, Interrupted) for event in harness.peer.events)
    assert "end" not in harness.engine.up
    await hear(harness, bytes(20_000))
    assert "end" in harness.engine.up


def voiced(harness: ConversationHarness) -> list[SpeechFrame]:
    return [frame for frame in harness.peer.frames if np.frombuffer(frame.pcm, "<i2").any()]


def resumed(harness: ConversationHarness) -> list[Resumed]:
    return [event for event in harness.peer.events if isinstance(event, Resumed)]


NOTHING: list[list[UserText | ReplyEnded]] = [
    [UserText(2, "Mhm.")],
    [UserText(2, "", is_final=True)],
    [UserText(2, "[coughs]", is_final=True)],
    [ReplyEnded(2, Usage(), None)],
]


@pytest.mark.parametrize("events", NOTHING)
@in_virtual_time
async def test_what_was_nothing_lets_the_answer_go_on_where_it_was(events: list[UserText | ReplyEnded]) -> None:
    harness = await enter()
    await cut(harness)
    silent = len(harness.peer.frames)
    harness.frame_clock.tick(20)
    assert len(harness.peer.frames) == silent
    for event in events:
        harness.engine.emit(event)
    assert resumed(harness) == [Resumed(1, 800)], "200 ms of it are heard again"
    assert harness.peer.states[-1] == "speaking"
    assert harness.engine.up[-1] == "stop"
    harness.frame_clock.tick(200)
    rest = harness.peer.frames[silent:]
    assert {frame.turn for frame in rest} == {1}
    assert sum(1 for frame in rest if np.frombuffer(frame.pcm, "<i2").any()) == pytest.approx(160, abs=1)
    ended = next(event for event in harness.peer.events if isinstance(event, TurnEnded))
    assert (ended.turn, ended.heard_ms) == (1, 4_000)
    assert harness.engine.remembered[-1] == (1, "assistant", "I can see a page.")
    assert harness.peer.states[-1] == "idle"
    await harness.leave()


@in_virtual_time
async def test_it_goes_on_without_a_click() -> None:
    harness = await enter()
    await cut(harness)
    before = len(harness.peer.frames)
    harness.engine.emit(UserText(2, "mhm"))
    harness.frame_clock.tick(1)
    first = np.frombuffer(harness.peer.frames[before].pcm, "<i2").astype(int)
    assert abs(first[0]) < 100
    assert np.abs(np.diff(first)).max() < 2_000
    await harness.leave()


@in_virtual_time
async def test_the_engines_answer_to_nothing_is_not_heard() -> None:
    harness = await enter()
    await cut(harness)
    harness.engine.emit(ReplyText(2, "Pardon?"))
    harness.engine.emit(ReplyAudio(2, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))
    harness.engine.emit(UserText(2, "uh-huh"))
    harness.engine.emit(ReplyAudio(2, AudioChunk(SECOND_OF_TONE, 24_000, 1.0)))
    harness.engine.emit(ReplyEnded(2, Usage(), None))
    harness.frame_clock.tick(300)
    assert {frame.turn for frame in harness.peer.frames} == {1}
    assert Transcript(2, Role.USER, "uh-huh", final=True) in harness.peer.events
    assert all("Pardon" not in getattr(event, "text", "") for event in harness.peer.events)
    await harness.leave()


@pytest.mark.parametrize("words", ["Stop.", "Wait.", "No.", "where is it", "mhm, but"])
@in_virtual_time
async def test_real_words_end_the_answer_and_are_answered(words: str) -> None:
    harness = await enter()
    await cut(harness)
    harness.engine.emit(UserText(2, words, is_final=True))
    harness.engine.reply(2, "All right.", seconds=1)
    silent = len(harness.peer.frames)
    harness.frame_clock.tick(80)
    assert not resumed(harness)
    assert {frame.turn for frame in harness.peer.frames[silent:]} == {2}
    await harness.leave()


@in_virtual_time
async def test_an_answer_that_came_before_the_words_is_heard_once_they_are_known() -> None:
    harness = await enter()
    await cut(harness)
    harness.engine.reply(2, "All right.", seconds=1)
    silent = len(harness.peer.frames)
    harness.frame_clock.tick(10)
    assert len(harness.peer.frames) == silent
    harness.engine.emit(UserText(2, "stop"))
    harness.frame_clock.tick(80)
    assert {frame.turn for frame in harness.peer.frames[silent:]} == {2}
    await harness.leave()


@in_virtual_time
async def test_without_words_the_answer_has_ended_after_a_while_and_the_next_one_is_heard() -> None:
    harness = await enter()
    await cut(harness)
    harness.engine.reply(2, "All right.", seconds=1)
    assert harness.peer.states[-1] == "thinking"
    await asyncio.sleep(RESUME_WITHIN + 0.01)
    assert harness.peer.states[-1] == "speaking"
    harness.engine.emit(UserText(2, "mhm"))
    silent = len(harness.peer.frames)
    harness.frame_clock.tick(80)
    assert not resumed(harness)
    assert {frame.turn for frame in harness.peer.frames[silent:]} == {2}
    await harness.leave()


@in_virtual_time
async def test_speech_that_is_too_long_is_no_backchannel() -> None:
    harness = await enter()
    await cut(harness, voice=SHORT * 2)
    assert len(SHORT * 2) / 32_000 > BRIEF
    harness.engine.emit(UserText(2, "mhm", is_final=True))
    assert not resumed(harness)
    await harness.leave()


@in_virtual_time
async def test_words_that_come_late_end_the_answer_that_goes_on() -> None:
    harness = await enter()
    await cut(harness)
    harness.engine.emit(UserText(2, "Okay"))
    harness.frame_clock.tick(10)
    harness.engine.emit(UserText(2, ", stop"))
    silent = len(harness.peer.frames)
    harness.frame_clock.tick(50)
    assert len(harness.peer.frames) == silent
    assert [event.turn for event in harness.peer.events if isinstance(event, Interrupted)] == [1, 1]
    await harness.leave()


@in_virtual_time
async def test_a_function_call_answers_a_real_interruption() -> None:
    harness = await enter()
    await cut(harness)
    harness.engine.emit(ToolCall(2, "c1", "show_steps", {}))
    harness.engine.emit(UserText(2, "", is_final=True))
    assert not resumed(harness)
    await harness.leave()


async def command(harness: ConversationHarness) -> None:
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()


async def question(harness: ConversationHarness) -> None:
    harness.conversation.submit(harness.peer, TextInput("what else?"))
    await harness.settle()


async def more_speech(harness: ConversationHarness) -> None:
    await hear(harness, SHORT)


async def report(harness: ConversationHarness) -> None:
    harness.conversation.report_error(MediaError(FaultCode.HISTORY_UNAVAILABLE, "No database.", where="test"))


async def fault(harness: ConversationHarness) -> None:
    error = EngineError(FaultCode.ENGINE_NETWORK, "It broke.", where="test")
    harness.engine.emit(EngineUnavailable(error, is_turn_lost=True))


async def departure(harness: ConversationHarness) -> None:
    harness.conversation.detach(harness.peer)


@pytest.mark.parametrize("step", [command, question, more_speech, report, fault, departure])
@in_virtual_time
async def test_after_anything_else_the_answer_is_not_taken_up_again(
    step: Callable[[ConversationHarness], Awaitable[None]],
) -> None:
    harness = await enter()
    await cut(harness)
    await step(harness)
    silent = len(harness.peer.frames)
    for event in (UserText(2, "mhm", is_final=True), UserText(3, "mhm", is_final=True), ReplyEnded(2, Usage(), None)):
        harness.engine.emit(event)
    harness.frame_clock.tick(100)
    assert not resumed(harness)
    assert len(harness.peer.frames) == silent
    assert len([event for event in harness.peer.events if isinstance(event, Fault)]) == (step in (fault, report))
    await harness.leave()


@in_virtual_time
async def test_an_answer_that_goes_on_can_be_cut_again() -> None:
    harness = await enter()
    await cut(harness)
    harness.engine.emit(UserText(2, "mhm"))
    harness.frame_clock.tick(25)
    await hear(harness, SHORT)
    silent = len(harness.peer.frames)
    harness.frame_clock.tick(10)
    assert len(harness.peer.frames) == silent
    await hear(harness, bytes(20_000))
    harness.engine.emit(UserText(3, "mhm"))
    assert [event.turn for event in resumed(harness)] == [1, 1]
    harness.frame_clock.tick(300)
    assert harness.peer.states[-1] == "idle"
    await harness.leave()


@in_virtual_time
async def test_the_voice_is_lowered_before_speech_is_certain_and_raised_if_it_was_none() -> None:
    harness = await enter()
    harness.conversation.submit(harness.peer, TextInput("where is save?"))
    await harness.settle()
    harness.engine.reply(1, seconds=4)
    harness.frame_clock.tick(10)
    await hear(harness, bytes(16_000) + SHORT[:5_000])
    harness.frame_clock.tick(2)
    assert np.abs(np.frombuffer(harness.peer.frames[-1].pcm, "<i2")).max() < 3_000
    await hear(harness, bytes(16_000))
    harness.frame_clock.tick(2)
    assert np.abs(np.frombuffer(harness.peer.frames[-1].pcm, "<i2")).max() > 8_000
    assert not any(isinstance(event, Interrupted) for event in harness.peer.events)
    await harness.leave()
