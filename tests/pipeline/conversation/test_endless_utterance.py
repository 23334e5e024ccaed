"""A turn that never pauses: it is ended and told, and the conversation can be used meanwhile."""

import time

import pytest

from pipeline.config import TurnSettings
from pipeline.errors import FaultCode
from pipeline.events import AudioEnd, EndReason, Fault, Interrupt, TextInput
from tests.support.conversation_harness import ConversationHarness, enter, speech
from tests.support.virtual_time import in_virtual_time

TELEVISION = speech()[50_000:100_000] * 8
"""Twelve seconds of a person without a pause."""


async def hear(harness: ConversationHarness, pcm: bytes) -> None:
    for start in range(0, len(pcm), 96_000):  # no more than the microphones' queue takes
        harness.say(pcm[start : start + 96_000])
        await harness.settle()
        await harness.until(lambda: not len(harness.conversation._floor_control._microphones))
        await harness.settle()


def turns(harness: ConversationHarness) -> list[str]:
    return [act for act in harness.engine.up if act != "audio"]


async def test_it_is_ended_told_and_answered_and_the_rest_does_not_interrupt_the_answer() -> None:
    harness = await enter(turns=TurnSettings(max_utterance=5.0))
    await hear(harness, TELEVISION)
    assert turns(harness) == ["start 1", "end"]
    assert sum(chunk.duration for chunk in harness.engine.audio) < 5.6
    (fault,) = [event for event in harness.peer.events if isinstance(event, Fault)]
    assert (fault.code, fault.fatal) == (FaultCode.UTTERANCE_TOO_LONG, False)
    harness.engine.reply(1, seconds=1)
    await hear(harness, TELEVISION[:96_000])
    harness.frame_clock.tick(60)
    assert harness.peer.states[-2:] == ["speaking", "idle"]
    assert turns(harness) == ["start 1", "end"]
    await harness.leave()


async def test_it_is_heard_again_after_a_pause() -> None:
    harness = await enter(turns=TurnSettings(max_utterance=5.0))
    await hear(harness, TELEVISION + speech())
    assert turns(harness) == ["start 1", "end", "start 2", "end"]
    await harness.leave()


async def test_a_question_typed_meanwhile_is_answered() -> None:
    harness = await enter()
    await hear(harness, TELEVISION[:96_000])
    harness.conversation.submit(harness.peer, TextInput("where is save?"))
    await harness.settle()
    harness.engine.reply(2, seconds=1)
    await hear(harness, TELEVISION)
    harness.frame_clock.tick(60)
    assert turns(harness) == ["start 1", "end", "ask 2 where is save?"]
    assert harness.peer.states[-1] == "idle"
    await harness.leave()


async def test_audio_end_meanwhile_ends_it_and_the_rest_does_not_interrupt_the_answer() -> None:
    harness = await enter()
    await hear(harness, TELEVISION)
    harness.conversation.submit(harness.peer, AudioEnd())
    await hear(harness, bytes(640))
    harness.engine.reply(1, seconds=1)
    await hear(harness, TELEVISION)
    assert turns(harness) == ["start 1", "end"]
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()
    assert turns(harness) == ["start 1", "end", "stop"]
    await harness.leave()


@in_virtual_time
async def test_it_is_no_activity_for_ever() -> None:
    harness = await enter(turns=TurnSettings(max_utterance=5.0), idle=60.0)
    await hear(harness, TELEVISION)
    harness.engine.reply(1, seconds=1)
    harness.frame_clock.tick(60)
    began = time.monotonic()
    await hear(harness, TELEVISION)
    assert await harness.task is EndReason.IDLE
    assert time.monotonic() - began == pytest.approx(60.0, abs=1.0)
