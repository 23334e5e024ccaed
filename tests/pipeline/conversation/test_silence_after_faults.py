"""Error-driven silence: after a fault nothing is played until a new turn, and it is reported exactly once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.vad import SileroVad
from pipeline.engine import EngineReady, EngineUnavailable, ReplyAudio, ReplyEnded, ReplyGenerated, ReplyText, UserText
from pipeline.errors import AudioError, EngineError, FaultCode, MediaError, Severity
from pipeline.events import EndReason, Event, Fault, Interrupt, SessionEnded, TextInput, TurnEnded, TurnStarted, Usage
from pipeline.media import AudioChunk, SpeechFrame
from tests.support.conversation_harness import SECOND_OF_TONE, ConversationHarness, enter, picture, speech

pytestmark = pytest.mark.one_python

Step = Callable[[ConversationHarness], Awaitable[None]]


async def speak(harness: ConversationHarness) -> None:
    harness.say(speech())
    await harness.settle()


async def finish_speaking(harness: ConversationHarness) -> None:
    await harness.until(lambda: not len(harness.conversation._floor_control._microphones))
    await harness.settle()


async def ask(harness: ConversationHarness) -> None:
    before = harness.conversation._dialogue.turn
    harness.conversation.submit(harness.peer, TextInput("where is save?"))
    # A picture that is being made for the question before goes first.
    await harness.until(lambda: harness.conversation._dialogue.turn > before)
    await harness.settle()


async def share(harness: ConversationHarness) -> None:
    harness.conversation.push_frame(harness.peer, picture())
    await harness.settle()


async def begin_reply(harness: ConversationHarness) -> None:
    harness.engine.emit(ReplyText(harness.conversation._dialogue.turn, "It is "))
    harness.engine.emit(ReplyAudio(harness.conversation._dialogue.turn, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))


async def end_reply(harness: ConversationHarness) -> None:
    harness.engine.emit(ReplyGenerated(harness.conversation._dialogue.turn))
    harness.engine.emit(ReplyEnded(harness.conversation._dialogue.turn, Usage(), None))


async def listen(harness: ConversationHarness) -> None:
    harness.frame_clock.tick(7)


async def interject(harness: ConversationHarness) -> None:
    harness.say(speech()[48_000:72_000] + bytes(20_000))
    await harness.settle()


async def murmur(harness: ConversationHarness) -> None:
    harness.engine.emit(UserText(harness.conversation._dialogue.turn, "mhm", is_final=True))


async def interrupt(harness: ConversationHarness) -> None:
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()


STEPS: list[Step] = [speak, finish_speaking, ask, share, begin_reply, end_reply, listen, interrupt, interject, murmur]
TURN_CODES = [code for code in FaultCode if code.severity is Severity.TURN]
FATAL_CODES = [code for code in FaultCode if code.severity is Severity.FATAL]
REPORT_CODES = [code for code in FaultCode if code.severity is Severity.REPORT]

scripts = st.lists(st.sampled_from(STEPS), max_size=9)


def frames_before_the_next_turn(log: list[Event | SpeechFrame]) -> list[SpeechFrame]:
    frames: list[SpeechFrame] = []
    for item in log:
        if isinstance(item, TurnStarted):
            break
        if isinstance(item, SpeechFrame):
            frames.append(item)
    return frames


def assert_silent(frames: list[SpeechFrame]) -> None:
    assert not frames, "something was heard after the fault"


def faults_in(log: list[Event | SpeechFrame]) -> list[Fault]:
    return [item for item in log if isinstance(item, Fault)]


async def play(script: list[Step]) -> ConversationHarness:
    harness = await enter()
    for step in script:
        await step(harness)
    return harness


@given(scripts, st.sampled_from(TURN_CODES), st.booleans())
def test_a_turn_fault_at_any_step_is_silent_told_once_and_the_next_turn_is_heard(
    script: list[Step], code: FaultCode, is_engine: bool
) -> None:
    async def scene() -> None:
        harness = await play(script)
        since = len(harness.peer.log)
        error = EngineError(code, "It broke.", where="test")
        if is_engine:
            harness.engine.emit(EngineUnavailable(error, is_turn_lost=True))
        else:
            harness.conversation.report_error(error)
        # What the engine still sends of the old turn, and what the user was still saying, must not be heard.
        # Nor does it help that what cut the old reply was nothing.
        harness.engine.emit(ReplyAudio(harness.conversation._dialogue.turn, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))
        await murmur(harness)
        harness.frame_clock.tick(60)
        await harness.settle()
        after = harness.peer.log[since:]
        assert_silent(frames_before_the_next_turn(after))
        assert [fault.code for fault in faults_in(after)] == [code]
        assert not faults_in(after)[0].fatal

        if is_engine:
            harness.engine.emit(EngineReady("fake"))
        await ask(harness)
        turn = harness.conversation._dialogue.turn
        harness.engine.reply(turn)
        harness.frame_clock.tick(80)
        assert any(isinstance(item, TurnEnded) and item.turn == turn for item in harness.peer.log)
        assert await harness.leave() is EndReason.CLIENT

    asyncio.run(scene())


@given(scripts, st.sampled_from([*FATAL_CODES, None]))
def test_a_fatal_fault_at_any_step_is_silent_told_once_and_closes(script: list[Step], code: FaultCode | None) -> None:
    async def scene() -> None:
        harness = await play(script)
        since = len(harness.peer.log)
        error = EngineError(code, "It broke.", where="test") if code else ZeroDivisionError("a bug")
        assert harness.engine.fails is not None
        harness.engine.fails.set_exception(error)
        assert await harness.task is EndReason.ERROR
        harness.engine.emit(ReplyAudio(harness.conversation._dialogue.turn, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))
        harness.frame_clock.tick(60)
        after = harness.peer.log[since:]
        assert_silent(frames_before_the_next_turn(after))
        assert [(fault.code, fault.fatal) for fault in faults_in(after)] == [(code or FaultCode.INTERNAL_ERROR, True)]
        assert after[-1] == SessionEnded(EndReason.ERROR)

    asyncio.run(scene())


@settings(max_examples=30)
@given(st.sampled_from(REPORT_CODES))
def test_a_report_goes_on_audibly(code: FaultCode) -> None:
    async def scene() -> None:
        harness = await play([ask, begin_reply, listen])
        since = len(harness.peer.log)
        harness.conversation.report_error(MediaError(code, "Something small.", where="test"))
        harness.frame_clock.tick(5)
        after = harness.peer.log[since:]
        assert len([item for item in after if isinstance(item, SpeechFrame)]) == 5
        assert [fault.code for fault in faults_in(after)] == [code]
        await harness.leave()

    asyncio.run(scene())


async def test_a_failing_vad_is_a_fault_and_not_no_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = await enter()
    await ask(harness)
    harness.engine.reply(harness.conversation._dialogue.turn, seconds=2)
    harness.frame_clock.tick(5)

    def fails(*_: object) -> list[object]:
        raise AudioError("The voice detector failed.", where="vad")

    since = len(harness.peer.log)
    with monkeypatch.context() as broken:
        broken.setattr(SileroVad, "push", fails)
        harness.say(bytes(640))
        await harness.settle()
    harness.frame_clock.tick(20)
    assert_silent(frames_before_the_next_turn(harness.peer.log[since:]))
    assert [fault.code for fault in faults_in(harness.peer.log[since:])] == [FaultCode.AUDIO_PROCESSING_ERROR]
    await harness.leave()


@pytest.mark.parametrize("code", TURN_CODES)
async def test_a_reply_that_was_cut_is_not_taken_up_again_after_a_fault(code: FaultCode) -> None:
    harness = await play([ask, begin_reply, listen, interject])
    assert harness.conversation._dialogue._cut is not None
    since = len(harness.peer.log)
    harness.conversation.report_error(EngineError(code, "It broke.", where="test"))
    await murmur(harness)
    harness.frame_clock.tick(60)
    assert_silent(frames_before_the_next_turn(harness.peer.log[since:]))
    await harness.leave()
