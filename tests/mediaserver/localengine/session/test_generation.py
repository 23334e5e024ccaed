"""How an answer leaves: in which order, how fast, and what becomes of it when it is cut; time is virtual."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mediaserver.localengine.protocol.messages import (
    GenerationComplete,
    InputTranscription,
    OutputTranscription,
    ServerMessage,
    Setup,
    SpokenAudio,
    ToolCall,
)
from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Speech
from mediaserver.localengine.session.generation import Generation
from tests.support.virtual_time import run_fast

ALL = Setup("models/local", transcribe_input=True, transcribe_output=True)
SPOKEN = Question(bytes(32_000), None, None)


class Answer:
    """A responder that gives the same pieces to every question."""

    def __init__(self, *pieces: Recognition | Speech | Call | float):
        self.is_closed = False
        self._pieces = pieces

    def new_memory(self) -> Memory:
        return Memory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        try:
            for piece in self._pieces:
                if isinstance(piece, float):
                    await asyncio.sleep(piece)
                else:
                    yield piece
        finally:
            self.is_closed = True


class Wire:
    """What was sent, with the time of each message."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, ServerMessage]] = []

    async def send(self, message: ServerMessage) -> None:
        self.sent.append((asyncio.get_running_loop().time(), message))

    def call(self, call: Call) -> ToolCall | None:
        return ToolCall("c1", call.name, call.args) if call.name == "known" else None

    async def answered(self, call: ToolCall) -> None:
        """Nothing is waited for."""

    @property
    def messages(self) -> list[ServerMessage]:
        return [message for _, message in self.sent]


def speech(seconds: float, *words: tuple[int, str]) -> Speech:
    return Speech(b"\1\1" * round(seconds * 24_000), words)


async def answered(wire: Wire, *pieces: Recognition | Speech | Call | float, setup: Setup = ALL) -> Generation:
    generation = Generation(SPOKEN, setup, send=wire.send, call=wire.call, answered=wire.answered)
    responder = Answer(*pieces)
    await generation.run(responder, responder.new_memory())
    assert responder.is_closed
    return generation


def test_what_was_rejected_is_shown_as_such_and_is_not_remembered() -> None:
    wire = Wire()
    generation = run_fast(answered(wire, Recognition("", 0.1, is_rejected=True)))
    assert wire.messages == [InputTranscription("[not understood]", 0.1, is_final=True), GenerationComplete()]
    assert generation._memory is not None
    assert not generation._memory.history


def test_a_transcript_takes_its_confidence_along() -> None:
    wire = Wire()
    run_fast(answered(wire, Recognition("stop", 0.84)))
    assert wire.messages[0] == InputTranscription("stop", 0.84)


def test_audio_leaves_at_least_twice_as_fast_as_it_plays() -> None:
    wire = Wire()
    run_fast(answered(wire, speech(10.0)))
    audio = [(time, message.pcm) for time, message in wire.sent if isinstance(message, SpokenAudio)]
    assert sum(len(pcm) for _, pcm in audio) == 480_000
    position = 0.0
    for time, pcm in audio:
        assert time <= position / 2
        position += len(pcm) / 48_000
    assert audio[-1][0] > 1.0  # and not all at once


def test_a_turn_lasts_until_its_speech_has_been_played() -> None:
    async def duration() -> float:
        await answered(Wire(), speech(2.0), 5.0, speech(3.0))
        return asyncio.get_running_loop().time()

    # 2 s leave within 0.4 s, 5 s pass, and 3 s are played after that.
    assert run_fast(duration()) == pytest.approx(8.4, abs=0.01)


def test_generation_is_complete_before_playback_is() -> None:
    wire = Wire()
    run_fast(answered(wire, speech(4.0)))
    time, last = wire.sent[-1]
    assert last == GenerationComplete()
    assert time < 1.0


def test_words_come_just_before_the_audio_they_begin_with() -> None:
    wire = Wire()
    run_fast(answered(wire, Recognition("hi"), speech(0.4, (0, "One "), (4_800, "two "))))
    assert wire.messages == [
        InputTranscription("hi"),
        OutputTranscription("One "),
        SpokenAudio(b"\1\1" * 4_800),
        OutputTranscription("two "),
        SpokenAudio(b"\1\1" * 4_800),
        GenerationComplete(),
    ]


def test_transcriptions_come_only_if_asked_for() -> None:
    wire = Wire()
    run_fast(answered(wire, Recognition("hi"), speech(0.2, (0, "One "), (2_400, "two ")), setup=Setup("models/local")))
    assert wire.messages == [SpokenAudio(b"\1\1" * 4_800), GenerationComplete()]


def test_nothing_understood_is_no_transcription() -> None:
    wire = Wire()
    run_fast(answered(wire, Recognition("")))
    assert wire.messages == [GenerationComplete()]


def test_speech_goes_on_after_a_call_and_an_unknown_function_is_not_called() -> None:
    wire = Wire()
    run_fast(answered(wire, Call("known", {"a": 1}), Call("unknown", {}), speech(0.2)))
    assert wire.messages == [ToolCall("c1", "known", {"a": 1}), SpokenAudio(b"\1\1" * 4_800), GenerationComplete()]


def test_usage_counts_what_was_heard_and_what_was_sent() -> None:
    wire = Wire()
    usage = run_fast(answered(wire, Call("known", {"a": 1}), speech(2.0))).usage
    assert usage.prompt == {"AUDIO": 25}
    assert usage.response == {"AUDIO": 50, "TEXT": 4}


def test_a_cut_answer_sends_nothing_more_even_if_its_responder_does_not_stop() -> None:
    class Stubborn(Answer):
        async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                yield speech(0.2)

    async def cut() -> list[ServerMessage]:
        wire, responder = Wire(), Stubborn()
        generation = Generation(SPOKEN, ALL, send=wire.send, call=wire.call, answered=wire.answered)
        task = asyncio.create_task(generation.run(responder, responder.new_memory()))
        await asyncio.sleep(0.1)
        generation.interrupt()
        task.cancel()
        await task
        return wire.messages

    assert run_fast(cut()) == []


def test_cancelling_while_audio_waits_to_leave_closes_the_answer() -> None:
    async def cancelled() -> bool:
        wire, responder = Wire(), Answer(speech(60.0))
        task = asyncio.create_task(
            Generation(SPOKEN, ALL, send=wire.send, call=wire.call, answered=wire.answered).run(
                responder, responder.new_memory()
            )
        )
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return responder.is_closed

    assert run_fast(cancelled())
