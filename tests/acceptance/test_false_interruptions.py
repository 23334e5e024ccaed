"""Forty noises and backchannels, and forty real interruptions, over an answer of a whole conversation."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from pipeline.config import TurnModel, TurnSettings
from pipeline.engine import UserText
from pipeline.events import Interrupted, Resumed, TextInput, TurnEnded
from pipeline.media import AudioChunk, SpeechFrame
from tests.support.conversation_harness import ConversationHarness, FakeEndOfTurnModel, enter
from tests.support.interruption_set import RATE, Sound, sounds
from tests.support.virtual_time import run_fast

pytestmark = pytest.mark.acceptance

FRAME = 0.02
FRAME_BYTES = round(RATE * FRAME) * 2
TRANSCRIPTION = 0.35
"""Seconds that the engine takes to transcribe an utterance."""


@dataclass(frozen=True, slots=True)
class Outcome:
    sound: Sound
    was_cut: bool
    was_played: bool
    frames_after_cut: int
    duck_delay: float | None
    """Seconds from the first loud sample to the end of the first frame of a lower voice; None if it was not lowered."""


async def interrupted_by(sound: Sound) -> Outcome:
    model = FakeEndOfTurnModel()
    harness = await enter(turns=TurnSettings(model=TurnModel.SMART_TURN), end_of_turn=model)
    harness.conversation.submit(harness.peer, TextInput("where is save?"))
    await harness.settle()
    harness.engine.reply(1, "I can see a page.", seconds=8)
    engine = asyncio.create_task(transcribe(harness, sound))
    lead = bytes(RATE)
    pcm = lead + sound.pcm + bytes(2 * 12 * RATE - len(sound.pcm))
    since = 0.5 + _first_loud(sound.pcm)
    ducked: float | None = None
    for number, start in enumerate(range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)):
        heard = number * FRAME
        harness.conversation.push_audio(harness.peer, AudioChunk(pcm[start : start + FRAME_BYTES], RATE, heard))
        await asyncio.sleep(FRAME)
        before = len(harness.peer.frames)
        harness.frame_clock.tick()
        if ducked is None and since <= heard < since + 0.5 and _is_low(harness.peer.frames[before:]):
            ducked = heard + FRAME - since
    engine.cancel()
    events = harness.peer.log
    cuts = [index for index, item in enumerate(events) if isinstance(item, Interrupted)]
    after = events[cuts[0] :] if cuts else []
    until_resumed = [item for item in after[: _resumption(after)] if isinstance(item, SpeechFrame) and item.turn == 1]
    was_played = any(isinstance(item, TurnEnded) and item.turn == 1 for item in events)
    await harness.leave()
    return Outcome(sound, bool(cuts), was_played, len(until_resumed), ducked)


async def transcribe(harness: ConversationHarness, sound: Sound) -> None:
    turn = 1
    while True:
        await asyncio.sleep(FRAME)
        if harness.engine.up.count("end") >= turn:
            turn += 1
            await asyncio.sleep(TRANSCRIPTION)
            harness.engine.emit(UserText(turn, sound.words, is_final=True))
            harness.engine.reply(turn, "Pardon?")


def _first_loud(pcm: bytes) -> float:
    return float(np.argmax(np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 500)) / RATE


def _is_low(frames: list[SpeechFrame]) -> bool:
    return any(np.abs(np.frombuffer(frame.pcm, "<i2").astype(int)).max() < 8_500 for frame in frames)


def _resumption(log: Sequence[object]) -> int:
    return next((index for index, item in enumerate(log) if isinstance(item, Resumed)), len(log))


def test_what_is_nothing_never_ends_an_answer_and_what_is_meant_always_does() -> None:
    outcomes = [run_fast(interrupted_by(sound)) for sound in sounds()]
    nothing = [outcome for outcome in outcomes if not outcome.sound.is_real]
    real = [outcome for outcome in outcomes if outcome.sound.is_real]
    assert len(nothing) == len(real) == 40
    assert [outcome.sound.name for outcome in nothing if not outcome.was_played] == []
    assert [outcome.sound.name for outcome in real if outcome.was_played or not outcome.was_cut] == []
    assert max(outcome.frames_after_cut for outcome in outcomes) * FRAME <= 0.2
    # Words that begin with a hiss, such as "stop", are speech to the detector only once the hiss is over.
    delays = [outcome.duck_delay for outcome in real]
    assert None not in delays
    assert float(np.median(np.array(delays, float))) <= 0.08
