from collections.abc import Iterator

import pytest

from mediaserver.rtc.inbound.preconnect_audio import MAX_SECONDS, MAX_WAIT, PreConnectAudio
from pipeline.errors import AudioError
from pipeline.media import AudioChunk


def chunk(level: int, pts: float = 0.0) -> AudioChunk:
    return AudioChunk(bytes([level]) * 1_920, 48_000, pts)


class Heard:
    """Records what is passed on."""

    def __init__(self) -> None:
        self.chunks: list[AudioChunk] = []
        self.ends: list[int] = []
        self.audio = PreConnectAudio(on_chunk=self.chunks.append, on_end=lambda: self.ends.append(len(self.chunks)))

    @property
    def levels(self) -> list[int]:
        return [each.pcm[0] for each in self.chunks]


async def test_live_audio_waits_for_the_recording_before_it() -> None:
    heard = Heard()
    heard.audio.expect_recording()
    heard.audio.push(chunk(3), 10.0)
    heard.audio.push(chunk(4), 10.02)
    assert heard.chunks == []

    await heard.audio.prepend([chunk(1), None, chunk(2), None])
    heard.audio.push(chunk(5), 10.5)

    assert heard.levels == [1, 2, 3, 4, 5]
    assert [round(each.pts, 2) for each in heard.chunks] == [0.0, 0.02, 0.04, 0.06, 0.08]


def test_live_audio_does_not_wait_for_ever() -> None:
    heard = Heard()
    heard.audio.expect_recording()
    heard.audio.check_timeout(1_000.0)  # nothing is held yet
    assert heard.audio.is_waiting
    heard.audio.push(chunk(1), 1_010.0)

    heard.audio.push(chunk(2), 1_010.0 + MAX_WAIT)

    assert heard.levels == [1, 2]
    assert not heard.audio.is_waiting


def test_live_audio_that_stops_does_not_wait_for_ever() -> None:
    heard = Heard()
    heard.audio.expect_recording()
    heard.audio.push(chunk(1), 10.0)
    heard.audio.end()

    heard.audio.check_timeout(10.0 + MAX_WAIT)

    assert heard.levels == [1]
    assert heard.ends == [0, 1]


async def test_live_audio_waits_for_the_end_of_a_recording_that_has_begun() -> None:
    heard = Heard()

    def recording() -> Iterator[AudioChunk]:
        yield chunk(1)
        heard.audio.push(chunk(3), 10.0 + MAX_WAIT)
        heard.audio.check_timeout(10.0 + MAX_WAIT)
        assert not heard.audio.is_waiting
        yield chunk(2)

    heard.audio.expect_recording()
    heard.audio.push(chunk(3), 10.0)
    await heard.audio.prepend(recording())

    assert heard.levels == [1, 2, 3, 3]


async def test_the_rest_of_a_recording_that_is_too_long_is_dropped() -> None:
    heard = Heard()
    heard.audio.expect_recording()
    heard.audio.push(chunk(2), 10.0)

    await heard.audio.prepend(chunk(1) for _ in range(3_000))

    assert sum(each.duration for each in heard.chunks) == pytest.approx(MAX_SECONDS, abs=0.1)
    assert heard.levels[-1] == 2


async def test_live_audio_goes_on_after_a_recording_that_raises() -> None:
    heard = Heard()

    def recording() -> Iterator[AudioChunk]:
        yield chunk(1)
        raise AudioError("cannot be decoded", where="test")

    heard.audio.expect_recording()
    heard.audio.push(chunk(2), 10.0)
    with pytest.raises(AudioError):
        await heard.audio.prepend(recording())

    assert heard.levels == [1, 2]


def test_a_new_track_goes_on_where_the_old_one_was() -> None:
    heard = Heard()
    heard.audio.push(chunk(1, pts=7.0), 0.0)

    heard.audio.push(chunk(2, pts=0.0), 0.0)

    assert heard.chunks[-1].pts == 0.02
