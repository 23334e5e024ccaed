"""The end of a turn by a model's verdict, in a whole conversation."""

from pipeline.config import TurnModel, TurnSettings
from tests.support.conversation_harness import FakeEndOfTurnModel, enter, speech

SMART = TurnSettings(model=TurnModel.SMART_TURN)
PAUSED = 81_600
"""Bytes of the recording up to 270 ms after its last word."""


async def test_a_verdict_ends_the_turn_before_silence_would() -> None:
    model = FakeEndOfTurnModel()
    harness = await enter(turns=SMART, end_of_turn=model)
    harness.say(speech()[: 32_000 + PAUSED])
    await harness.until(lambda: bool(model.pauses))
    assert "end" not in harness.engine.up
    model.pauses[0][1](0.95)
    harness.say(bytes(5_120))
    await harness.until(lambda: "end" in harness.engine.up)
    await harness.leave()


async def test_a_speaker_who_is_not_finished_is_waited_for() -> None:
    model = FakeEndOfTurnModel()
    harness = await enter(turns=SMART, end_of_turn=model)
    harness.say(speech()[: 32_000 + PAUSED])
    await harness.until(lambda: bool(model.pauses))
    model.pauses[0][1](0.1)
    harness.say(bytes(32_000))
    await harness.until(lambda: not len(harness.conversation._floor_control._microphones))
    assert "end" not in harness.engine.up
    harness.say(bytes(16_000))
    await harness.until(lambda: "end" in harness.engine.up)
    await harness.leave()


async def test_the_model_is_loaded_when_somebody_joins_who_needs_it() -> None:
    model = FakeEndOfTurnModel()
    harness = await enter(end_of_turn=model)
    assert not model.is_warm
    harness.conversation.update_turn_settings(harness.peer, SMART)
    assert model.is_warm
    await harness.leave()


async def test_silence_alone_asks_no_model() -> None:
    model = FakeEndOfTurnModel()
    harness = await enter(end_of_turn=model)
    harness.say(speech())
    await harness.until(lambda: "end" in harness.engine.up)
    assert not model.pauses
    await harness.leave()
