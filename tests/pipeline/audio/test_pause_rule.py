"""The end of an utterance: by the model's verdict on a pause, or by silence."""

import pytest

from pipeline.audio.pause_rule import Pause, PauseRule
from pipeline.audio.turn_detector import TurnDetector
from pipeline.audio.vad import WINDOW_BYTES, WINDOW_SECONDS, Window
from pipeline.config import TurnModel, TurnSettings
from pipeline.events import SpeechEnded

SMART = TurnSettings(model=TurnModel.SMART_TURN)
SPEECH, QUIET = 0.9, 0.05


class Talk:
    """Somebody who speaks into a detector, and what the detector yields."""

    def __init__(self, settings: TurnSettings = SMART) -> None:
        self.detector = TurnDetector(settings)
        self.pauses: list[Pause] = []
        self.ended_after: float | None = None
        """Seconds of silence before the utterance ended."""
        self._windows = 0
        self._silent = 0

    def hear(self, probability: float, count: int, *, audible: bool = False) -> None:
        for _ in range(count):
            window = Window(self._windows.to_bytes(2, "little") * 512, self._windows * WINDOW_SECONDS, probability)
            self._windows += 1
            self._silent = 0 if probability == SPEECH else self._silent + 1
            for signal in self.detector.push(window, audible=audible):
                if isinstance(signal, Pause):
                    self.pauses.append(signal)
                if isinstance(signal, SpeechEnded):
                    self.ended_after = self._silent * WINDOW_SECONDS


def test_a_pause_is_to_be_judged_once_after_192_ms() -> None:
    talk = Talk()
    talk.hear(SPEECH, 10)
    talk.hear(QUIET, 5)
    assert not talk.pauses
    talk.hear(QUIET, 5)
    assert len(talk.pauses) == 1
    talk.hear(SPEECH, 2)
    talk.hear(QUIET, 6)
    assert len(talk.pauses) == 2


def test_a_pause_holds_the_utterance_with_its_pre_roll() -> None:
    talk = Talk()
    talk.hear(QUIET, 3)
    talk.hear(SPEECH, 10)
    talk.hear(QUIET, 6)
    expected = b"".join(number.to_bytes(2, "little") * 512 for number in range(19))
    assert talk.pauses[0].pcm == expected


def test_a_pause_holds_at_most_8_seconds() -> None:
    talk = Talk()
    talk.hear(SPEECH, 300)
    talk.hear(QUIET, 6)
    assert len(talk.pauses[0].pcm) == 250 * WINDOW_BYTES


@pytest.mark.parametrize(
    ("probability", "silence"), [(1.0, 0.32), (0.9, 0.32), (0.89, 0.512), (0.5, 0.512), (0.49, 1.504), (0.0, 1.504)]
)
def test_the_verdict_decides_how_long_silence_must_be(probability: float, silence: float) -> None:
    talk = Talk()
    talk.hear(SPEECH, 10)
    talk.hear(QUIET, 7)
    talk.detector.take_verdict(talk.pauses[0], probability)
    talk.hear(QUIET, 60)
    assert talk.ended_after == pytest.approx(silence)


def test_without_a_verdict_silence_decides() -> None:
    talk = Talk()
    talk.hear(SPEECH, 10)
    talk.hear(QUIET, 60)
    assert talk.ended_after == pytest.approx(0.512)


def test_a_short_silence_waits_for_a_verdict_in_time() -> None:
    talk = Talk(TurnSettings(silence=0.1, model=TurnModel.SMART_TURN))
    talk.hear(SPEECH, 10)
    talk.hear(QUIET, 60)
    assert talk.ended_after == pytest.approx(0.32)


def test_a_verdict_that_comes_late_ends_the_turn_at_the_next_window() -> None:
    talk = Talk(TurnSettings(silence=3.0, model=TurnModel.SMART_TURN))
    talk.hear(SPEECH, 10)
    talk.hear(QUIET, 30)
    talk.detector.take_verdict(talk.pauses[0], 1.0)
    talk.hear(QUIET, 1)
    assert talk.ended_after == pytest.approx(31 * WINDOW_SECONDS)


def test_a_verdict_on_an_earlier_pause_is_ignored() -> None:
    talk = Talk()
    talk.hear(SPEECH, 10)
    talk.hear(QUIET, 7)
    talk.hear(SPEECH, 1)
    talk.detector.take_verdict(talk.pauses[0], 1.0)
    talk.hear(QUIET, 12)
    assert talk.ended_after is None


def test_a_verdict_on_an_utterance_that_is_over_is_ignored() -> None:
    talk = Talk()
    talk.hear(SPEECH, 10)
    talk.hear(QUIET, 20)
    talk.hear(SPEECH, 10)
    talk.detector.take_verdict(talk.pauses[0], 1.0)
    talk.hear(QUIET, 12)
    assert talk.detector.is_open


def test_silence_alone_asks_nothing_and_keeps_no_audio() -> None:
    rule = PauseRule(TurnSettings())
    assert [rule.push(bytes(WINDOW_BYTES), number * WINDOW_SECONDS) for number in range(16)] == [None] * 16
    assert not rule.is_over
    rule.push(bytes(WINDOW_BYTES), 0.5)
    assert rule.is_over
    assert not rule._heard


@pytest.mark.parametrize(("windows", "silence"), [(20, 0.512), (60, 1.504)])
def test_brief_speech_over_the_assistant_does_not_wait_long_for_more(windows: int, silence: float) -> None:
    talk = Talk()
    talk.hear(SPEECH, windows, audible=True)
    talk.hear(QUIET, 7)
    talk.detector.take_verdict(talk.pauses[0], 0.1)
    talk.hear(QUIET, 60)
    assert talk.ended_after == pytest.approx(silence)
