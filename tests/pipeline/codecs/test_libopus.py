"""libopus: lossless round trips, concealment of lost packets, and harmless handling of any packet."""

import random
import threading
from pathlib import Path

import numpy as np
import pytest
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.codecs.libopus import MAX_PACKET, Decoder, Encoder, find
from pipeline.errors import AudioError, FaultCode

RATE = 16_000


def encoder() -> Encoder:
    return Encoder(rate=RATE, bitrate=32_000, complexity=5, packet_loss=0)


def tone(seconds: float, rate: int = RATE, hertz: float = 440.0) -> bytes:
    time = np.arange(round(rate * seconds)) / rate
    return (8_000 * np.sin(2 * np.pi * hertz * time)).astype("<i2").tobytes()


def as_browsers_send(pcm: bytes, *, frame: int = 20, channels: int = 1, fec: bool = True) -> list[bytes]:
    """Packets of 48 kHz PCM from FFmpeg's encoder: SILK with in-band FEC, which the one under test cannot make."""
    codec = CodecContext.create("libopus", "w")
    assert isinstance(codec, AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = 48_000, "mono" if channels == 1 else "stereo", "s16"
    codec.bit_rate = 24_000 * channels
    codec.options = {
        "application": "voip",
        "frame_duration": str(frame),
        "fec": str(int(fec)),
        "packet_loss": "20" if fec else "0",
    }
    codec.open()
    size, packets = 48 * frame, []
    for at in range(0, len(pcm) // 2 - size + 1, size):
        piece = np.frombuffer(pcm, "<i2")[at : at + size]
        audio = AudioFrame("s16", codec.layout.name, size)
        audio.sample_rate = 48_000
        audio.planes[0].update(np.repeat(piece, channels).tobytes())
        packets += [bytes(packet) for packet in codec.encode(audio)]
    return packets


def samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, "<i2").astype(float)


def loudest(pcm: bytes) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples(pcm)))) * RATE / (len(pcm) // 2))


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frame", [10, 20, 40, 60])
def test_packets_of_any_length_and_channels_become_16_khz_mono(frame: int, channels: int) -> None:
    decoder = Decoder(rate=RATE)
    pieces = [decoder.decode(packet) for packet in as_browsers_send(tone(1.2, 48_000), frame=frame, channels=channels)]
    assert {len(piece) for piece in pieces} == {2 * RATE * frame // 1_000}
    heard = b"".join(pieces)[RATE // 2 :]
    assert loudest(heard) == pytest.approx(440, abs=3)
    assert 6_000 < np.abs(samples(heard)).max() < 10_000


def test_a_packet_of_120_ms_is_the_longest() -> None:
    packet = bytes.fromhex("d8fffe")
    longest = bytes([packet[0] | 0b11, 6]) + packet[1:] * 6  # RFC 6716 section 3.2.5: six frames of one size
    assert len(Decoder(rate=RATE).decode(longest)) == 2 * RATE * 12 // 100
    with pytest.raises(AudioError):
        Decoder(rate=RATE).decode(bytes([packet[0] | 0b11, 7]) + packet[1:] * 7)


def swell(count: int) -> bytes:
    """A voice at 48 kHz whose pitch goes up by 40 Hz with each of `count` frames of 20 ms."""
    pitch = np.repeat(150 + 40 * np.arange(count), 960)
    phase = 2 * np.pi * np.cumsum(pitch) / 48_000
    voice: NDArray[np.float64] = np.sum([np.sin(k * phase) / k for k in range(1, 8)], axis=0)
    return (2_500 * voice).astype("<i2").tobytes()


def error_after_loss(*, fec: bool) -> float:
    """How far what `recover` gives for a lost packet is from the truth, in parts of the loudness."""
    packets = as_browsers_send(swell(20), fec=fec)
    whole, lossy = Decoder(rate=RATE), Decoder(rate=RATE)
    for packet in packets[:12]:
        whole.decode(packet)
        lossy.decode(packet)
    truth, made_up = samples(whole.decode(packets[12])), samples(lossy.recover(packets[13], 320))
    assert len(made_up) == 320
    spectra = [np.abs(np.fft.rfft(signal * np.hanning(320))) for signal in (truth, made_up)]
    return float(np.linalg.norm(spectra[0] - spectra[1]) / np.linalg.norm(spectra[0]))


def test_a_lost_packet_is_made_of_what_the_next_one_repeats_of_it() -> None:
    assert error_after_loss(fec=True) < 0.5 * error_after_loss(fec=False)


def test_without_a_repetition_what_was_heard_goes_on_and_fades() -> None:
    packets = as_browsers_send(tone(1.0, 48_000), fec=False)
    decoder = Decoder(rate=RATE)
    for packet in packets[:20]:
        decoder.decode(packet)
    made_up = decoder.recover(packets[26], 6 * 320)
    assert len(made_up) == 2 * 6 * 320
    assert loudest(made_up[:1_280]) == pytest.approx(440, abs=60)
    assert samples(made_up[-640:]).std() < 0.8 * samples(made_up[:640]).std()
    decoder.decode(packets[26])


@pytest.mark.parametrize(("asked", "given_"), [(-5, 0), (0, 0), (39, 0), (40, 40), (330, 320), (9_999_999, 1_920)])
def test_what_is_made_up_is_bounded_and_of_whole_steps(asked: int, given_: int) -> None:
    decoder = Decoder(rate=RATE)
    assert len(decoder.recover(bytes.fromhex("d8fffe"), asked)) == 2 * given_


@pytest.mark.parametrize("packet", [b"", b"\xff" * (MAX_PACKET + 1)], ids=["empty", "too long"])
def test_a_packet_of_impossible_length_is_refused_before_libopus_sees_it(packet: bytes) -> None:
    decoder = Decoder(rate=RATE)
    with pytest.raises(AudioError, match="1 to 65535 bytes"):
        decoder.decode(packet)
    with pytest.raises(AudioError, match="1 to 65535 bytes"):
        decoder.recover(packet, 320)


def test_a_malformed_packet_is_an_audio_error_that_says_so() -> None:
    with pytest.raises(AudioError, match="corrupted stream") as raised:
        Decoder(rate=RATE).decode(b"\xff\xff\xff")
    assert raised.value.code is FaultCode.AUDIO_PROCESSING_ERROR


def test_ten_thousand_random_packets_are_audio_or_an_audio_error() -> None:
    dice, decoder, refused = random.Random(7), Decoder(rate=RATE), 0
    for _ in range(10_000):
        packet = dice.randbytes(dice.choice((1, 2, 3, 10, 60, 200, 1_500)))
        try:
            if dice.random() < 0.3:
                assert len(decoder.recover(packet, dice.randrange(3_000))) <= 2 * 1_920
            assert 0 < len(decoder.decode(packet)) <= 2 * 1_920
        except AudioError:
            refused += 1
    assert 1_000 < refused < 9_000
    assert len(decoder.decode(bytes.fromhex("d8fffe"))) == 640


@given(st.lists(st.binary(max_size=200), max_size=10))
@example([b""])
@example([b"\xff" * 5])
@example([b"\x00"])
def test_any_bytes_do_not_spoil_what_follows(packets: list[bytes]) -> None:
    decoder = Decoder(rate=RATE)
    for packet in packets:
        try:
            decoder.decode(packet)
        except AudioError:
            continue
    assert len(decoder.decode(bytes.fromhex("d8fffe"))) == 640


@given(st.binary(max_size=2_000))
def test_any_length_of_speech_is_a_packet_or_an_audio_error(pcm: bytes) -> None:
    try:
        assert 0 < len(encoder().encode(pcm)) <= 1_276
    except AudioError:
        assert len(pcm) // 2 not in (40, 80, 160, 320, 640, 960)


def test_loud_noise_at_the_highest_rate_fits_a_packet() -> None:
    noise = random.Random(1).randbytes(1_920)
    assert len(Encoder(rate=48_000, bitrate=510_000, complexity=0, packet_loss=0).encode(noise)) <= 1_276


def test_what_libopus_does_not_take_is_an_audio_error() -> None:
    with pytest.raises(AudioError, match="invalid argument"):
        Encoder(rate=44_100, bitrate=32_000, complexity=5, packet_loss=0)
    with pytest.raises(AudioError, match="invalid argument"):
        Encoder(rate=24_000, bitrate=32_000, complexity=11, packet_loss=0)
    with pytest.raises(AudioError, match="invalid argument"):
        Decoder(rate=44_100)


def test_codecs_start_no_thread() -> None:
    before = len(list(Path("/proc/self/task").iterdir()))
    voice, far_end = encoder(), Decoder(rate=RATE)
    assert far_end.decode(voice.encode(bytes(640)))
    assert len(list(Path("/proc/self/task").iterdir())) == before


def test_many_codecs_in_many_threads_do_not_meet() -> None:
    alone = [encoder().encode(tone(0.02))] * 50
    results: list[list[bytes]] = []
    threads = [
        threading.Thread(target=lambda: results.append([encoder().encode(tone(0.02)) for _ in range(50)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [alone] * 4


@pytest.mark.parametrize(
    "place", ["av.libs/libopus-1a2b.so.0.11.1", "av.libs/libopus-1a2b.dll", "av/.dylibs/libopus.0.dylib"]
)
def test_the_library_in_the_wheel_is_taken_first(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).touch()
    assert find(tmp_path / "av") == str(tmp_path / place)


def test_else_the_systems_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: f"lib{name}.so.0")
    assert find(tmp_path / "av") == "libopus.so.0"


def test_without_libopus_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(ImportError, match="apt install libopus0"):
        find(tmp_path / "av")
