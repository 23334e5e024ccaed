"""Turn detection: the start and end of an utterance, and the audio that is sent of it."""

import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.turn_detector import TurnDetector, TurnSignal
from pipeline.audio.vad import WINDOW_SECONDS, SileroVad, VadModel, Window
from pipeline.config import TurnSettings
from pipeline.events import SpeechEnded, SpeechStarted
from pipeline.media import AudioChunk

VOICE = Path(__file__).parents[2] / "data" / "go-forward-ten-meters.wav"

SPEECH, MAYBE, QUIET = 0.9, 0.4, 0.05  # MAYBE is between the end threshold (0.35) and the threshold (0.5)


def windows(*probabilities: float, pts: float = 0.0) -> list[Window]:
    # Every window holds its own number, so that audio can be traced.
    return [
        Window(i.to_bytes(2, "little") * 512, pts + i * WINDOW_SECONDS, probability)
        for i, probability in enumerate(probabilities)
    ]


def heard(detector: TurnDetector, stream: list[Window], *, audible: bool = False) -> list[TurnSignal]:
    return [out for window in stream for out in detector.push(window, audible=audible)]


def boundaries(out: list[TurnSignal]) -> list[SpeechStarted | SpeechEnded]:
    return [item for item in out if isinstance(item, SpeechStarted | SpeechEnded)]


def audio(out: list[TurnSignal]) -> bytes:
    return b"".join(item.pcm for item in out if isinstance(item, AudioChunk))


def test_192_ms_of_speech_start_an_utterance() -> None:
    detector = TurnDetector()
    assert heard(detector, windows(*[SPEECH] * 5)) == []
    assert not detector.is_open
    out = heard(TurnDetector(), windows(*[SPEECH] * 6))
    assert boundaries(out) == [SpeechStarted(0.0)]


def test_the_pre_roll_comes_first_and_holds_the_last_400_ms_with_the_speech() -> None:
    stream = windows(*[QUIET] * 20, *[SPEECH] * 6)
    started, pre_roll = heard(TurnDetector(), stream)
    assert started == SpeechStarted(stream[20].pts)
    assert isinstance(pre_roll, AudioChunk)
    assert pre_roll.pcm == b"".join(window.pcm for window in stream[-13:])  # 416 ms: whole windows
    assert pre_roll.pts == stream[-13].pts


def test_without_pre_roll_the_speech_that_starts_the_utterance_is_still_sent() -> None:
    stream = windows(*[QUIET] * 20, *[SPEECH] * 6)
    out = heard(TurnDetector(TurnSettings(pre_roll=0.0)), stream)
    assert audio(out) == b"".join(window.pcm for window in stream[20:])


def test_an_utterance_ends_500_ms_after_its_last_speech_and_all_of_it_goes_up() -> None:
    stream = windows(*[SPEECH] * 10, *[QUIET] * 40)
    detector = TurnDetector()
    out = heard(detector, stream)
    assert boundaries(out) == [SpeechStarted(0.0), SpeechEnded(stream[10].pts)]
    assert audio(out) == b"".join(window.pcm for window in stream[: 10 + 16])  # 16 windows: the first 512 ms >= 500
    assert isinstance(out[-1], SpeechEnded)
    assert not detector.is_open


def test_a_pause_shorter_than_the_silence_does_not_end_it() -> None:
    stream = windows(*[SPEECH] * 10, *[QUIET] * 15, SPEECH, *[QUIET] * 15)
    detector = TurnDetector()
    assert boundaries(heard(detector, stream)) == [SpeechStarted(0.0)]
    assert detector.is_open


def test_between_the_thresholds_speech_goes_on() -> None:
    detector = TurnDetector()
    heard(detector, windows(*[SPEECH] * 6, *[MAYBE] * 40))
    assert detector.is_open


def test_between_the_thresholds_silence_goes_on_too() -> None:
    stream = windows(*[SPEECH] * 6, QUIET, *[MAYBE] * 15)
    assert boundaries(heard(TurnDetector(), stream))[-1] == SpeechEnded(stream[6].pts)


def test_while_the_assistant_is_audible_speech_must_be_surer() -> None:
    echo = windows(*[0.6] * 20)
    assert heard(TurnDetector(), echo, audible=True) == []
    assert boundaries(heard(TurnDetector(), echo, audible=False)) == [SpeechStarted(0.0)]
    assert boundaries(heard(TurnDetector(), windows(*[0.7] * 6), audible=True)) == [SpeechStarted(0.0)]


def test_a_dip_of_two_windows_does_not_start_the_count_again_but_three_do() -> None:
    short = windows(SPEECH, SPEECH, SPEECH, QUIET, QUIET, SPEECH, SPEECH, SPEECH)
    long = windows(SPEECH, SPEECH, SPEECH, QUIET, QUIET, QUIET, SPEECH, SPEECH, SPEECH)
    assert boundaries(heard(TurnDetector(), short)) == [SpeechStarted(0.0)]
    assert heard(TurnDetector(), long) == []


def test_a_start_slowed_by_dips_is_sent_from_its_first_speech() -> None:
    stream = windows(*[QUIET] * 10, *[SPEECH, QUIET, QUIET] * 5, SPEECH)
    started, *rest = heard(TurnDetector(), stream)
    assert started == SpeechStarted(stream[10].pts)
    assert audio(rest) == b"".join(window.pcm for window in stream[10:])


def test_what_was_said_before_the_microphone_paused_is_no_pre_roll() -> None:
    detector = TurnDetector()
    heard(detector, windows(*[SPEECH] * 5))
    out = heard(detector, windows(*[SPEECH] * 6, pts=30.0))
    assert boundaries(out) == [SpeechStarted(30.0)]
    assert len(audio(out)) == 6 * 1_024


def test_the_next_utterance_does_not_repeat_audio_of_the_last() -> None:
    stream = windows(*[SPEECH] * 10, *[QUIET] * 20, *[SPEECH] * 6)
    out = heard(TurnDetector(), stream)
    assert [type(item) for item in boundaries(out)] == [SpeechStarted, SpeechEnded, SpeechStarted]
    assert audio(out) == b"".join(window.pcm for window in stream)  # 4 windows between them, under the pre-roll


def test_close_ends_an_open_utterance_where_its_last_window_ended() -> None:
    stream = windows(*[SPEECH] * 8)
    detector = TurnDetector()
    heard(detector, stream)
    assert list(detector.close()) == [SpeechEnded(stream[-1].end)]
    assert not detector.is_open
    assert list(detector.close()) == []


def test_close_in_a_pause_ends_the_utterance_where_speech_ended() -> None:
    stream = windows(*[SPEECH] * 8, *[QUIET] * 5)
    detector = TurnDetector()
    heard(detector, stream)
    assert list(detector.close()) == [SpeechEnded(stream[8].pts)]


def test_close_sends_an_utterance_too_short_to_have_started() -> None:
    stream = windows(*[QUIET] * 4, *[SPEECH] * 3, *[QUIET] * 4)
    detector = TurnDetector()
    assert heard(detector, stream) == []
    started, chunk, ended = detector.close()
    assert started == SpeechStarted(stream[4].pts)
    assert isinstance(chunk, AudioChunk)
    assert chunk.pcm == b"".join(window.pcm for window in stream)
    assert ended == SpeechEnded(stream[6].end)
    assert list(detector.close()) == []


def test_close_drops_less_than_96_ms_of_speech() -> None:
    detector = TurnDetector()
    heard(detector, windows(QUIET, SPEECH, SPEECH, QUIET))
    assert list(detector.close()) == []


def test_close_of_nothing_is_nothing() -> None:
    assert list(TurnDetector().close()) == []


def test_reset_forgets_an_open_utterance_and_a_pending_one() -> None:
    detector = TurnDetector()
    heard(detector, windows(*[SPEECH] * 8))
    detector.reset()
    assert not detector.is_open
    heard(detector, windows(*[SPEECH] * 5))
    detector.reset()
    assert heard(detector, windows(SPEECH)) == []
    assert list(detector.close()) == []


def test_an_utterance_without_a_pause_ends_after_its_longest_length() -> None:
    detector = TurnDetector(TurnSettings(max_utterance=3.2))
    out = heard(detector, windows(*[QUIET] * 10, *[SPEECH] * 300))
    started, ended = boundaries(out)
    assert isinstance(ended, SpeechEnded)
    assert ended.is_too_long
    assert ended.pts - started.pts == pytest.approx(3.2)


def test_what_goes_on_after_the_longest_utterance_is_nothing_until_there_was_a_pause() -> None:
    detector = TurnDetector(TurnSettings(max_utterance=3.2))
    heard(detector, windows(*[SPEECH] * 300))
    assert heard(detector, windows(*[QUIET] * 15, *[SPEECH] * 10, pts=9.6)) == []
    again = heard(detector, windows(*[QUIET] * 16, *[SPEECH] * 10, pts=10.4))
    assert isinstance(again[0], SpeechStarted)


def test_the_client_cannot_begin_an_utterance_in_what_goes_on() -> None:
    detector = TurnDetector(TurnSettings(max_utterance=3.2))
    heard(detector, windows(*[SPEECH] * 300))
    assert list(detector.close()) == []
    assert heard(detector, windows(*[SPEECH] * 20, pts=9.6)) == []


@pytest.mark.parametrize(
    ("seconds", "awaits_pause", "is_new"), [(2, False, True), (2, True, False), (11, False, False)]
)
def test_what_goes_on_after_the_client_ended_an_utterance(seconds: int, awaits_pause: bool, is_new: bool) -> None:
    detector = TurnDetector()
    heard(detector, windows(*[SPEECH] * round(seconds / WINDOW_SECONDS)))
    assert isinstance(next(iter(detector.close(awaits_pause=awaits_pause))), SpeechEnded)
    assert bool(heard(detector, windows(*[SPEECH] * 10, pts=float(seconds)))) is is_new


@given(
    stream=st.lists(st.tuples(st.floats(min_value=0.0, max_value=1.0), st.booleans()), max_size=200),
    silence=st.sampled_from([0.1, 0.5]),
    pre_roll=st.sampled_from([0.0, 0.4]),
)
def test_boundaries_alternate_and_audio_stands_between_them_once_and_in_order(
    stream: list[tuple[float, bool]], silence: float, pre_roll: float
) -> None:
    detector = TurnDetector(TurnSettings(silence=silence, pre_roll=pre_roll))
    out: list[TurnSignal] = []
    for window, (_, audible) in zip(windows(*[value for value, _ in stream]), stream, strict=True):
        out += detector.push(window, audible=audible)
    out += detector.close()
    is_open, clock = False, -1.0
    for item in out:
        match item:
            case SpeechStarted():
                assert not is_open
                is_open = True
            case SpeechEnded():
                assert is_open
                is_open = False
            case AudioChunk():
                assert is_open
                assert item.pts >= clock - 1e-9
                clock = item.pts + item.duration
    assert not is_open


def test_a_recorded_sentence_is_one_utterance() -> None:
    with wave.open(str(VOICE)) as recording:
        pcm = recording.readframes(recording.getnframes())
    stream = SileroVad(VadModel()).push(AudioChunk(bytes(32_000) + pcm + bytes(32_000), 16_000, 0.0))
    started, ended = boundaries(heard(TurnDetector(), list(stream), audible=True))
    assert isinstance(started, SpeechStarted)
    assert started.pts == pytest.approx(1.5, abs=0.1)
    assert isinstance(ended, SpeechEnded)
    assert ended.pts == pytest.approx(3.27, abs=0.1)
