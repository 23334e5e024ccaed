"""The promise of error-driven silence: after a fault nothing is heard until a new turn, and it is told exactly once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.vad import SileroVad
from pipeline.engine import EngineReady, EngineUnavailable, ReplyAudio, ReplyEnded, ReplyGenerated, ReplyText
from pipeline.errors import AudioError, EngineError, FaultCode, MediaError, Severity
from pipeline.events import EndReason, Event, Fault, Interrupt, SessionEnded, TextInput, TurnEnded, TurnStarted, Usage
from pipeline.media import AudioChunk, SpeechFrame
from tests.support.conversation_harness import SECOND_OF_TONE, ConversationHarness, enter, picture, speech

pytestmark = pytest.mark.one_python

Step = Callable[[ConversationHarness], Awaitable[None]]


async def speak(room: ConversationHarness) -> None:
    room.say(speech())
    await room.settle()


async def finish_speaking(room: ConversationHarness) -> None:
    await room.until(lambda: not len(room.conversation._floor._microphones))
    await room.settle()


async def ask(room: ConversationHarness) -> None:
    before = room.conversation._dialogue.turn
    room.conversation.submit(room.peer, TextInput("where is save?"))
    # A picture that is being made for the question before goes first.
    await room.until(lambda: room.conversation._dialogue.turn > before)
    await room.settle()


async def share(room: ConversationHarness) -> None:
    room.conversation.push_frame(room.peer, picture())
    await room.settle()


async def begin_reply(room: ConversationHarness) -> None:
    room.engine.tell(ReplyText(room.conversation._dialogue.turn, "It is "))
    room.engine.tell(ReplyAudio(room.conversation._dialogue.turn, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))


async def end_reply(room: ConversationHarness) -> None:
    room.engine.tell(ReplyGenerated(room.conversation._dialogue.turn))
    room.engine.tell(ReplyEnded(room.conversation._dialogue.turn, Usage(), None))


async def listen(room: ConversationHarness) -> None:
    room.ticker.tick(7)


async def interrupt(room: ConversationHarness) -> None:
    room.conversation.submit(room.peer, Interrupt())
    await room.settle()


STEPS: list[Step] = [speak, finish_speaking, ask, share, begin_reply, end_reply, listen, interrupt]
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
    room = await enter()
    for step in script:
        await step(room)
    return room


@settings(max_examples=80)
@given(scripts, st.sampled_from(TURN_CODES), st.booleans())
def test_a_turn_fault_at_any_step_is_silent_told_once_and_the_next_turn_is_heard(
    script: list[Step], code: FaultCode, is_engine: bool
) -> None:
    async def scene() -> None:
        room = await play(script)
        since = len(room.peer.log)
        error = EngineError(code, "It broke.", where="test")
        if is_engine:
            room.engine.tell(EngineUnavailable(error, is_cut=True))
        else:
            room.conversation.report_error(error)
        # What the engine still sends of the old turn, and what the user was still saying, must not be heard.
        room.engine.tell(ReplyAudio(room.conversation._dialogue.turn, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))
        room.ticker.tick(60)
        await room.settle()
        after = room.peer.log[since:]
        assert_silent(frames_before_the_next_turn(after))
        assert [fault.code for fault in faults_in(after)] == [code]
        assert not faults_in(after)[0].fatal

        if is_engine:
            room.engine.tell(EngineReady("fake"))
        await ask(room)
        turn = room.conversation._dialogue.turn
        room.engine.reply(turn)
        room.ticker.tick(80)
        assert any(isinstance(item, TurnEnded) and item.turn == turn for item in room.peer.log)
        assert await room.leave() is EndReason.CLIENT

    asyncio.run(scene())


@settings(max_examples=80)
@given(scripts, st.sampled_from([*FATAL_CODES, None]))
def test_a_fatal_fault_at_any_step_is_silent_told_once_and_closes(script: list[Step], code: FaultCode | None) -> None:
    async def scene() -> None:
        room = await play(script)
        since = len(room.peer.log)
        error = EngineError(code, "It broke.", where="test") if code else ZeroDivisionError("a bug")
        assert room.engine.fails is not None
        room.engine.fails.set_exception(error)
        assert await room.task is EndReason.ERROR
        room.engine.tell(ReplyAudio(room.conversation._dialogue.turn, AudioChunk(SECOND_OF_TONE, 24_000, 0.0)))
        room.ticker.tick(60)
        after = room.peer.log[since:]
        assert_silent(frames_before_the_next_turn(after))
        assert [(fault.code, fault.fatal) for fault in faults_in(after)] == [(code or FaultCode.INTERNAL_ERROR, True)]
        assert after[-1] == SessionEnded(EndReason.ERROR)

    asyncio.run(scene())


@settings(max_examples=30)
@given(st.sampled_from(REPORT_CODES))
def test_a_report_goes_on_audibly(code: FaultCode) -> None:
    async def scene() -> None:
        room = await play([ask, begin_reply, listen])
        since = len(room.peer.log)
        room.conversation.report_error(MediaError(code, "Something small.", where="test"))
        room.ticker.tick(5)
        after = room.peer.log[since:]
        assert len([item for item in after if isinstance(item, SpeechFrame)]) == 5
        assert [fault.code for fault in faults_in(after)] == [code]
        await room.leave()

    asyncio.run(scene())


async def test_a_failing_vad_is_a_fault_and_not_no_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    room = await enter()
    await ask(room)
    room.engine.reply(room.conversation._dialogue.turn, seconds=2)
    room.ticker.tick(5)

    def fails(*_: object) -> list[object]:
        raise AudioError("The voice detector failed.", where="vad")

    since = len(room.peer.log)
    with monkeypatch.context() as broken:
        broken.setattr(SileroVad, "push", fails)
        room.say(bytes(640))
        await room.settle()
    room.ticker.tick(20)
    assert_silent(frames_before_the_next_turn(room.peer.log[since:]))
    assert [fault.code for fault in faults_in(room.peer.log[since:])] == [FaultCode.AUDIO_PROCESSING_ERROR]
    await room.leave()
