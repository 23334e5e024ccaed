"""The assistant's speech as Opus: one packet per frame, and silence for free."""

import numpy as np
import pytest

from pipeline.codecs.libopus import Decoder
from pipeline.errors import AudioError, FaultCode
from pipeline.playout.opus_encoder import SILENCE_PACKET, OpusEncoder
from pipeline.playout.playout_buffer import SILENCE


def tone(frames: int, hertz: float = 440.0) -> list[bytes]:
    time = np.arange(480 * frames) / 24_000
    pcm = (8_000 * np.sin(2 * np.pi * hertz * time)).astype("<i2").tobytes()
    return [pcm[start : start + 960] for start in range(0, len(pcm), 960)]


def decoded(packets: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    decoder = Decoder(rate=48_000)
    pcm = b"".join(decoder.decode(packet) for packet in packets)
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def loudness(samples: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def test_every_frame_gives_one_packet_of_20_ms_at_once() -> None:
    encoder, decoder = OpusEncoder(), Decoder(rate=48_000)
    for frame in tone(50):
        packet = encoder.encode(frame)
        assert packet[0] & 0b11 == 0  # RFC 6716 section 3.1: code 0, one frame in the packet
        assert len(decoder.decode(packet)) == 2 * 960


def test_a_tone_survives_the_way_out_and_in() -> None:
    encoder = OpusEncoder()
    heard = decoded([encoder.encode(frame) for frame in tone(50)])[4_800:]
    assert loudness(heard) == pytest.approx(8_000 / np.sqrt(2), rel=0.05)
    pitch = np.argmax(np.abs(np.fft.rfft(heard))) * 48_000 / len(heard)
    assert pitch == pytest.approx(440, abs=2)


def test_speech_is_48_kilobits_a_second() -> None:
    encoder, noise = OpusEncoder(), np.random.default_rng(1)
    frames = [noise.integers(-3_000, 3_000, 480).astype("<i2").tobytes() for _ in range(100)]
    assert sum(len(encoder.encode(frame)) for frame in frames) * 8 / 2.0 == pytest.approx(48_000, rel=0.1)


def test_the_silence_packet_is_what_the_encoder_itself_makes_of_silence() -> None:
    packet = OpusEncoder().encode(SILENCE)
    assert packet == SILENCE_PACKET
    assert not decoded([packet] * 5).any()


def test_lasting_silence_is_not_encoded() -> None:
    encoder = OpusEncoder()
    for frame in tone(5):
        encoder.encode(frame)
    packets = [encoder.encode(SILENCE) for _ in range(50)]
    assert packets[0] != SILENCE_PACKET  # the end of the speech
    assert all(packet is SILENCE_PACKET for packet in packets[20:])


def test_speech_after_silence_is_as_it_would_be_had_the_silence_been_encoded() -> None:
    class Diligent(OpusEncoder):
        def encode(self, pcm: bytes) -> bytes:
            self._is_settled = False
            return super().encode(pcm)

    frames = tone(20) + [SILENCE] * 50 + tone(20, hertz=1_000)
    lazy, diligent = OpusEncoder(), Diligent()
    packets, others = [lazy.encode(frame) for frame in frames], [diligent.encode(frame) for frame in frames]
    assert packets[:70] == others[:70]
    one, other = decoded(packets), decoded(others)
    assert loudness(one - other) < 0.02 * loudness(other)


@pytest.mark.parametrize("is_reset", [False, True])
def test_speech_is_itself_again_one_frame_after_silence_that_the_encoder_was_not_given(is_reset: bool) -> None:
    before, after = tone(20, hertz=1_000), tone(10)
    encoder = OpusEncoder()
    packets = [encoder.encode(frame) for frame in before] + [SILENCE_PACKET] * 5
    if is_reset:
        encoder.reset()
    packets += [encoder.encode(frame) for frame in after]
    heard = decoded(packets)[25 * 960 :]
    assert loudness(heard[960 : 2 * 960]) == pytest.approx(8_000 / np.sqrt(2), rel=0.2)
    assert np.abs(heard).max() < 10_000


def test_the_end_of_speech_is_not_cut_off_by_the_silence_after_it() -> None:
    encoder = OpusEncoder()
    heard = decoded([encoder.encode(frame) for frame in [*tone(10), SILENCE, SILENCE]])
    # The encoder looks 6.5 ms ahead, so the end of the speech is in the first silent frame.
    assert np.abs(heard[9_600 : 9_600 + 200]).max() > 4_000


def test_reset_begins_a_new_stream() -> None:
    encoder, fresh = OpusEncoder(), OpusEncoder()
    for frame in tone(10, hertz=2_000):
        encoder.encode(frame)
    encoder.reset()
    assert [encoder.encode(frame) for frame in tone(5)] == [fresh.encode(frame) for frame in tone(5)]


@pytest.mark.parametrize("size", [0, 958, 961, 1_920])
def test_a_frame_of_another_length_is_an_audio_error(size: int) -> None:
    with pytest.raises(AudioError) as raised:
        OpusEncoder().encode(b"\1" * size)
    assert raised.value.code is FaultCode.AUDIO_PROCESSING_ERROR
