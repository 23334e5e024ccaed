"""The turn settings of a session: what the client, its user and the server ask for."""

import pytest

from mediaserver.session_factory import SessionOptions, _turn_settings
from pipeline.config import TurnModel, TurnSettings

SMART, SILENCE = TurnModel.SMART_TURN, TurnModel.SILENCE


@pytest.mark.parametrize(
    ("server", "options", "model"),
    [
        (SMART, SessionOptions(), SMART),
        (SILENCE, SessionOptions(), SILENCE),
        (SILENCE, SessionOptions(turn_model=SMART), SMART),
        (SMART, SessionOptions(turn_model=SILENCE), SILENCE),
        (SMART, SessionOptions(silence_ms=700), SILENCE),
        (SMART, SessionOptions(silence_ms=700, turn_model=SMART), SMART),
    ],
)
def test_a_silence_that_is_asked_for_ends_turns_unless_the_model_is_asked_for_too(
    server: TurnModel, options: SessionOptions, model: TurnModel
) -> None:
    turns = _turn_settings(TurnSettings(model=server), options)
    assert turns.model is model
    assert turns.silence == (0.5 if options.silence_ms is None else 0.7)
