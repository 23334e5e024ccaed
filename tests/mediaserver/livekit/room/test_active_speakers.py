import numpy as np

from mediaserver.livekit.room.active_speakers import HOLD, ActiveSpeakers, level_of
from pipeline.media import AudioChunk


def tone(amplitude: float) -> AudioChunk:
    wave = amplitude * 32767 * np.sin(np.arange(480) / 5)
    return AudioChunk(wave.astype("<i2").tobytes(), 48_000, 0.0)


def test_a_level_is_between_silence_and_full_scale() -> None:
    assert level_of(AudioChunk(bytes(960), 48_000, 0.0)) == 0.0
    assert level_of(AudioChunk(b"", 48_000, 0.0)) == 0.0
    assert 0.3 < level_of(tone(0.1)) < level_of(tone(0.9)) <= 1.0


def test_who_begins_to_speak_is_told_once() -> None:
    speakers = ActiveSpeakers()
    speakers.push_level("PA_1", 0.5, 1.0)

    (begun,) = speakers.changes(1.0)
    speakers.push_level("PA_1", 0.52, 1.5)

    assert (begun.sid, begun.active, round(begun.level, 1)) == ("PA_1", True, 0.5)
    assert list(speakers.changes(1.5)) == []


def test_who_stops_is_told_after_a_moment_of_quiet() -> None:
    speakers = ActiveSpeakers()
    speakers.push_level("PA_1", 0.5, 1.0)
    list(speakers.changes(1.0))
    speakers.push_level("PA_1", 0.0, 1.3)

    assert all(change.active for change in speakers.changes(1.3))
    (ended,) = speakers.changes(1.0 + HOLD + 0.1)
    assert (ended.sid, ended.active, ended.level) == ("PA_1", False, 0.0)
    assert list(speakers.changes(9.0)) == []


def test_noise_is_no_speech() -> None:
    speakers = ActiveSpeakers()
    speakers.push_level("PA_1", 0.01, 1.0)

    assert list(speakers.changes(1.0)) == []


def test_a_removed_speaker_stops_at_once() -> None:
    speakers = ActiveSpeakers()
    speakers.push_level("PA_1", 0.5, 1.0)
    list(speakers.changes(1.0))

    speakers.remove("PA_1")

    assert [change.active for change in speakers.changes(1.0)] == [False]
