from mediaserver.livekit.agent.preconnect_audio import MAX_WAIT, PreConnectAudio
from pipeline.media import AudioChunk


def chunk(level: int, pts: float = 0.0) -> AudioChunk:
    return AudioChunk(bytes([level]) * 1_920, 48_000, pts)


def levels(chunks: list[AudioChunk]) -> list[int]:
    return [each.pcm[0] for each in chunks]


def test_live_audio_waits_for_the_recording_before_it() -> None:
    voice = PreConnectAudio()
    voice.expect_recording(10.0)
    heard = [*voice.push(chunk(3), 10.0), *voice.push(chunk(4), 10.02)]
    assert heard == []

    heard = [*voice.prepend_recording([chunk(1), chunk(2)]), *voice.release(), *voice.push(chunk(5), 10.5)]

    assert levels(heard) == [1, 2, 3, 4, 5]
    assert [round(each.pts, 2) for each in heard] == [0.0, 0.02, 0.04, 0.06, 0.08]


def test_live_audio_does_not_wait_for_ever() -> None:
    voice = PreConnectAudio()
    voice.expect_recording(10.0)
    list(voice.push(chunk(1), 10.0))

    heard = list(voice.push(chunk(2), 10.0 + MAX_WAIT))

    assert levels(heard) == [1, 2]
    assert not voice.is_waiting


def test_a_new_track_goes_on_where_the_old_one_was() -> None:
    voice = PreConnectAudio()
    list(voice.push(chunk(1, pts=7.0), 0.0))

    (heard,) = voice.push(chunk(2, pts=0.0), 0.0)

    assert heard.pts == 0.02
