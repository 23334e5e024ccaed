"""One SSRC's packets as sound."""

from collections.abc import Iterable

import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mediaserver.rtc.inbound.decoded_audio import DecodedAudio
from mediaserver.rtc.inbound.opus_stream import OpusStream
from pipeline.errors import AudioError
from pipeline.media import INPUT_SAMPLE_RATE
from pipeline.playout.opus_encoder import SILENCE_PACKET

WRAP = 2**32
GARBAGE = b"\xff\xff\xff"


def packets(
    seconds: float, *, frame: int = 20, channels: int = 1, gains: tuple[float, ...] = (1.0, 1.0)
) -> list[bytes]:
    """A 400 Hz tone as browsers send it: SILK with in-band FEC; `gains` of the left and the right channel."""
    codec = CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48_000, "mono" if channels == 1 else "stereo", "s16"
    codec.bit_rate = 24_000
    codec.options = {"application": "voip", "frame_duration": str(frame), "fec": "1", "packet_loss": "20"}
    codec.open()
    size, out = 48 * frame, []
    for at in range(0, int(48_000 * seconds), size):
        pcm = (8_000 * np.sin(2 * np.pi * 400 * (np.arange(size) + at) / 48_000)).astype("<i2")
        audio = AudioFrame("s16", codec.layout.name, size)
        audio.sample_rate = 48_000
        audio.planes[0].update(np.outer(pcm, gains[:channels]).astype("<i2").tobytes())
        out += [bytes(packet) for packet in codec.encode(audio)]
    return out


def feed(
    source: OpusStream, sent: Iterable[tuple[int, int, bytes]], spacing: float = 0.02
) -> list[DecodedAudio | AudioError]:
    """Push packets (sequence number, timestamp, payload), some time (s) apart; then wait for what is missing."""
    out: list[DecodedAudio | AudioError] = []
    now = 0.0
    for sequence, timestamp, payload in sent:
        while source.due is not None and source.due <= now:
            out += source.expire(source.due)
        out += source.push(sequence % 65_536, timestamp % WRAP, payload, now)
        now += spacing
    while source.due is not None:
        out += source.expire(source.due)
    return out


def sounds(out: list[DecodedAudio | AudioError]) -> list[DecodedAudio]:
    return [item for item in out if isinstance(item, DecodedAudio)]


def joined(out: list[DecodedAudio | AudioError]) -> NDArray[np.float64]:
    """All that was heard, which must be without a gap."""
    for before, after in zip(sounds(out), sounds(out)[1:], strict=False):
        assert after.stamp == before.stamp + len(before.pcm) // 2
    return np.frombuffer(b"".join(sound.pcm for sound in sounds(out)), "<i2").astype(float)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frame", [10, 20, 40, 60])
def test_packets_of_any_length_become_gapless_16_khz(frame: int, channels: int) -> None:
    step = 48 * frame
    sent = [(at, at * step, data) for at, data in enumerate(packets(1.2, frame=frame, channels=channels))]
    heard = joined(feed(OpusStream(), sent))
    assert len(heard) == 1.2 * INPUT_SAMPLE_RATE
    assert np.argmax(np.abs(np.fft.rfft(heard[1_600:]))) * INPUT_SAMPLE_RATE / len(heard[1_600:]) == pytest.approx(
        400, abs=2
    )


def test_time_goes_on_where_sequence_numbers_and_stamps_wrap() -> None:
    sent = [(65_530 + at, WRAP - 5_000 + at * 960, data) for at, data in enumerate(packets(0.5))]
    assert len(joined(feed(OpusStream(), sent))) == INPUT_SAMPLE_RATE // 2


@pytest.mark.parametrize("frame", [10, 20, 40, 60])
def test_one_lost_packet_is_not_heard(frame: int) -> None:
    step = 48 * frame
    sent = [(at, at * step, data) for at, data in enumerate(packets(0.9, frame=frame))]
    lost = len(sent) // 2
    whole, lossy = joined(feed(OpusStream(), sent)), joined(feed(OpusStream(), sent[:lost] + sent[lost + 1 :]))
    assert len(lossy) == len(whole)
    there = slice(lost * step // 3, (lost + 1) * step // 3)
    assert lossy[there].std() == pytest.approx(whole[there].std(), rel=0.35)


def test_swapped_packets_sound_as_if_they_had_come_in_order() -> None:
    sent = [(at, at * 960, data) for at, data in enumerate(packets(0.5))]
    swapped = list(sent)
    swapped[10], swapped[11] = sent[11], sent[10]
    assert feed(OpusStream(), swapped, spacing=0.01) == feed(OpusStream(), sent)


def test_a_pause_of_the_sender_is_not_filled_with_sound() -> None:
    voice = packets(0.4)
    sent = [(at, at * 960 + (40_000 if at >= 10 else 0), data) for at, data in enumerate(voice)]
    out = sounds(feed(OpusStream(), sent))
    assert len(out) == len(voice)
    assert out[10].stamp - out[9].stamp == 320 + 40_000 // 3


def test_more_than_120_ms_are_not_made_up() -> None:
    voice = packets(1.0)
    sent = [(at, at * 960, data) for at, data in enumerate(voice) if not 20 <= at < 27]
    assert len(sounds(feed(OpusStream(), sent))) == len(voice) - 7
    sent = [(at, at * 960, data) for at, data in enumerate(voice) if not 20 <= at < 26]
    assert len(joined(feed(OpusStream(), sent))) == INPUT_SAMPLE_RATE


def test_packets_without_payload_are_no_sound_and_hide_no_loss() -> None:
    voice = packets(0.4)
    sent = [(at, at * 960, data) for at, data in enumerate(voice)]
    padded = [*sent[:5], (5, 5 * 960, b""), *((number + 1, stamp, data) for number, stamp, data in sent[5:])]
    assert feed(OpusStream(), padded) == feed(OpusStream(), sent)
    lossy = [*sent[:5], (6, 6 * 960, b""), *((number + 1, stamp, data) for number, stamp, data in sent[6:])]
    assert len(joined(feed(OpusStream(), lossy))) == 0.4 * INPUT_SAMPLE_RATE


@pytest.mark.parametrize("payload", [GARBAGE, b"\xff" * 1_200, b"\x03\x3f"])
def test_a_malformed_packet_is_told_and_what_follows_is_heard(payload: bytes) -> None:
    sent = [(at, at * 960, data) for at, data in enumerate(packets(0.4))]
    sent[7] = (7, 7 * 960, payload)
    out = feed(OpusStream(), sent)
    assert [at for at, item in enumerate(out) if isinstance(item, AudioError)] == [7]
    assert len(sounds(out)) == 19


def test_a_malformed_packet_after_a_loss_is_told_once() -> None:
    sent = [(at, at * 960, data) for at, data in enumerate(packets(0.4)) if at != 6]
    sent[6] = (7, 7 * 960, GARBAGE)
    out = feed(OpusStream(), sent)
    assert sum(isinstance(item, AudioError) for item in out) == 1
    assert len(joined([item for item in out if isinstance(item, DecodedAudio)])) == 0.4 * INPUT_SAMPLE_RATE


@given(
    st.lists(
        st.tuples(st.integers(-40, 40), st.integers(-(2**31), 2**31), st.binary(max_size=40) | st.just(SILENCE_PACKET)),
        max_size=40,
    )
)
def test_anything_may_come(steps: list[tuple[int, int, bytes]]) -> None:
    source, sequence, timestamp = OpusStream(), 0, 0
    sent = []
    for step, jump, payload in steps:
        sequence, timestamp = sequence + step, timestamp + jump
        sent.append((sequence, timestamp, payload))
    for item in feed(source, sent):
        assert isinstance(item, AudioError) or len(item.pcm) <= 2 * 1_920


@pytest.mark.parametrize(
    ("gains", "loudness"),
    [((1.0, 1.0), 5_650), ((1.0, -1.0), 5_650), ((-0.5, 0.5), 2_830), ((1.0, 0.0), 2_830), ((0.0, 1.0), 2_830)],
)
def test_both_channels_are_heard_also_where_one_is_inverted(gains: tuple[float, float], loudness: float) -> None:
    sent = [(at, at * 960, data) for at, data in enumerate(packets(1.0, channels=2, gains=gains))]
    heard = joined(feed(OpusStream(), sent))
    # Opus itself takes some of a difference between the channels.
    assert 0.6 * loudness < heard[8_000:].std() < 1.2 * loudness
