"""Audio from clients: every format, cut anywhere, damaged in every way."""

import struct
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.resampler import Resampler
from pipeline.codecs import audio_decoder as decode
from pipeline.codecs.audio_decoder import AudioDecoder, AudioFormat
from pipeline.errors import AudioError, FaultCode, MediaError, ProtocolError
from pipeline.media import AudioChunk
from tests.support.recordings import recorded, speech

# container, codec, rate, layout, called
FILES = [
    ("webm", "libopus", 48_000, "mono", "webm"),
    ("webm", "libopus", 48_000, "stereo", "opus"),
    ("webm", "vorbis", 48_000, "stereo", "webm"),
    ("ogg", "libopus", 48_000, "mono", "ogg"),
    ("ogg", "libopus", 16_000, "stereo", "opus"),
    ("ogg", "vorbis", 44_100, "stereo", "ogg"),
    ("mp3", "libmp3lame", 44_100, "stereo", "mp3"),
    ("mp3", "libmp3lame", 24_000, "mono", "mp3"),
    ("mp3", "libmp3lame", 8_000, "mono", "mp3"),
    ("wav", "pcm_u8", 8_000, "mono", "wav"),
    ("wav", "pcm_s16le", 44_100, "stereo", "wav"),
    ("wav", "pcm_s24le", 16_000, "stereo", "wav"),
    ("wav", "pcm_s32le", 16_000, "mono", "wav"),
    ("wav", "pcm_f32le", 48_000, "mono", "wav"),
    ("wav", "pcm_f64le", 16_000, "mono", "wav"),
    ("wav", "pcm_alaw", 8_000, "mono", "wav"),
    ("wav", "pcm_mulaw", 8_000, "mono", "wav"),
]
FORMATS = [("webm", "libopus"), ("ogg", "libopus"), ("ogg", "vorbis"), ("mp3", "libmp3lame"), ("wav", "pcm_s24le")]


def take(decoder: AudioDecoder, data: bytes, called: str = "wav", **fields: int) -> list[AudioChunk]:
    pushed = decoder.push(data, audio_format=AudioFormat(called), **fields)
    return [chunk for chunk in pushed if chunk is not None]


def decode_all(messages: Sequence[bytes], called: str = "wav", **fields: int) -> list[AudioChunk]:
    decoder = AudioDecoder()
    return [chunk for message in messages for chunk in take(decoder, message, called, **fields)]


def pcm(chunks: Sequence[AudioChunk]) -> bytes:
    return b"".join(chunk.pcm for chunk in chunks)


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise([0, *sorted(at), len(data)])]


def likeness(chunks: Sequence[AudioChunk]) -> float:
    """How well the loudness of 20 ms pieces follows the recording's: 1 is perfectly."""
    resampler = Resampler()
    heard = np.frombuffer(b"".join(out.pcm for chunk in chunks for out in resampler.push(chunk)), "<i2")
    recorded = loudness(speech())
    # Codecs delay, by up to 210 ms.
    return max(float(np.corrcoef(loudness(heard[lag:]), recorded)[0, 1]) for lag in range(0, 4_000, 40))


def loudness(samples: NDArray[np.int16]) -> NDArray[np.float64]:
    pieces = samples[: 120 * 320].astype(np.float64).reshape(-1, 320)
    result: NDArray[np.float64] = np.sqrt((pieces**2).mean(axis=1))
    return result


def code(messages: Sequence[bytes], called: str = "wav", **fields: int) -> FaultCode:
    with pytest.raises(MediaError) as refused:
        decode_all(messages, called, **fields)
    return refused.value.code


def small(container: str, codec: str) -> bytes:
    layout = "stereo" if codec == "vorbis" else "mono"
    return recorded(container, codec, 48_000 if codec != "pcm_s24le" else 16_000, layout, 0.12)


@pytest.mark.parametrize(("container", "codec", "rate", "layout", "called"), FILES)
def test_a_file_says_what_was_recorded(container: str, codec: str, rate: int, layout: str, called: str) -> None:
    chunks = decode_all([recorded(container, codec, rate, layout)], called)
    assert likeness(chunks) > 0.97
    assert sum(chunk.duration for chunk in chunks) == pytest.approx(len(speech()) / 16_000, abs=0.25)
    assert all(0 < chunk.duration <= decode.MAX_CHUNK for chunk in chunks)
    for before, after in pairwise(chunks):
        assert after.pts == pytest.approx(before.pts + before.duration)


@pytest.mark.parametrize(("container", "codec", "rate", "layout", "called"), FILES)
def test_a_file_sent_byte_by_byte_says_the_same(
    container: str, codec: str, rate: int, layout: str, called: str
) -> None:
    data = recorded(container, codec, rate, layout, 0.5)
    assert pcm(decode_all([data[at : at + 1] for at in range(len(data))], called)) == pcm(decode_all([data], called))


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_a_cut_at_any_byte_changes_nothing(container: str, codec: str) -> None:
    data = small(container, codec)
    whole = pcm(decode_all([data], container))
    for at in range(1, len(data)):
        assert pcm(decode_all([data[:at], data[at:]], container)) == whole


@pytest.mark.parametrize(("container", "codec", "rate", "layout", "called"), FILES)
def test_a_complete_file_may_follow_another(container: str, codec: str, rate: int, layout: str, called: str) -> None:
    data = recorded(container, codec, rate, layout, 0.5)
    once = sum(chunk.duration for chunk in decode_all([data], called))
    for messages in ([data, data, data], [data + data + data]):
        chunks = decode_all(messages, called)
        assert sum(chunk.duration for chunk in chunks) == pytest.approx(3 * once, abs=0.03)
        assert chunks[-1].pts + chunks[-1].duration == pytest.approx(3 * once, abs=0.03)


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_a_complete_file_may_follow_one_that_was_cut_short(container: str, codec: str) -> None:
    data = recorded(container, codec, 16_000 if codec == "pcm_s24le" else 48_000, "stereo", 1.0)
    whole = sum(chunk.duration for chunk in decode_all([data], container))
    chunks = decode_all([data[: len(data) * 2 // 3], data], container)
    assert sum(chunk.duration for chunk in chunks[-int(whole / 0.1) - 60 :]) >= whole - 0.03


def test_the_format_may_change_between_messages() -> None:
    decoder = AudioDecoder()
    chunks = [
        *take(decoder, recorded("webm", "libopus", 48_000, "mono", 0.5), "opus"),
        *take(decoder, recorded("ogg", "libopus", 48_000, "mono", 0.5), "opus"),
        *take(decoder, recorded("wav", "pcm_u8", 8_000, "mono", 0.5), "wav"),
        *take(decoder, bytes(8_820), "pcm", rate=44_100),
    ]
    for before, after in pairwise(chunks):
        assert after.pts == pytest.approx(before.pts + before.duration)


def test_bare_opus_is_one_packet_in_each_message() -> None:
    packet = bytes.fromhex("d8fffe")
    chunks = decode_all([packet, packet, packet], "opus")
    assert [(chunk.rate, chunk.duration) for chunk in chunks] == [(16_000, 0.02)] * 3


# WAV and PCM


def header(
    data_bytes: int, *, tag: int = 1, rate: int = 16_000, channels: int = 1, bits: int = 16, extra: bytes = b""
) -> bytes:
    align = channels * bits // 8
    fmt = struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits) + extra
    return (
        b"RIFF"
        + struct.pack("<I", min(36 + data_bytes, 0xFFFFFFFF))
        + b"WAVEfmt "
        + struct.pack("<I", len(fmt))
        + fmt
        + b"data"
        + struct.pack("<I", data_bytes)
    )


SOME = np.arange(-800, 800, dtype="<i2").tobytes()


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, len(SOME)])
def test_a_streamed_wav_goes_on_whatever_size_its_header_claims(size: int) -> None:
    assert pcm(decode_all([header(size), SOME, SOME[:1], SOME[1:]])) == SOME * 2
    assert pcm(decode_all([header(size) + SOME, SOME])) == SOME * 2


def test_a_header_is_believed_over_the_fields() -> None:
    chunks = decode_all([header(len(SOME), rate=8_000) + SOME], rate=48_000, channels=2)
    assert {chunk.rate for chunk in chunks} == {8_000}
    assert pcm(chunks) == SOME


def test_chunks_around_the_data_are_passed_over() -> None:
    junk = b"LIST" + struct.pack("<I", 5) + b"INFO!\0"
    head = header(len(SOME))
    data = head[:12] + junk + head[12:] + SOME + junk + junk
    assert pcm(decode_all([data])) == SOME
    assert pcm(decode_all([data[at : at + 7] for at in range(0, len(data), 7)])) == SOME


def test_an_extensible_wav_is_read() -> None:
    guid = struct.pack("<HHIH", 22, 16, 4, 1) + bytes.fromhex("000000001000800000aa00389b71")
    assert pcm(decode_all([header(len(SOME), tag=0xFFFE, extra=guid) + SOME])) == SOME


def test_an_odd_size_is_padded() -> None:
    data = header(3, rate=8_000, bits=8) + b"\x80\x90\xa0\0" + header(1, rate=8_000, bits=8) + b"\xff\0"
    heard = np.frombuffer(pcm(decode_all([data])), "<i2")
    assert list(heard) == [0, 0x1000, 0x2000, 0x7F00]


def test_float_beyond_full_scale_is_bounded_and_no_number_is_silence() -> None:
    data = np.array([0.0, 2.0, -2.0, np.nan, np.inf], "<f4").tobytes()
    heard = np.frombuffer(pcm(decode_all([header(len(data), tag=3, bits=32) + data])), "<i2")
    assert list(heard) == [0, 32_767, -32_767, 0, 32_767]


def test_two_channels_are_mixed() -> None:
    both = np.array([[100, 300], [-32_768, -32_768]], "<i2").tobytes()
    assert list(np.frombuffer(pcm(decode_all([both], "pcm", channels=2)), "<i2")) == [200, -32_768]


def test_pcm_may_be_cut_inside_a_sample() -> None:
    assert pcm(decode_all([SOME[:7], SOME[7:8], SOME[8:]], "pcm")) == SOME
    assert pcm(decode_all([SOME[:1601], SOME[1601:]], "pcm", channels=2)) == pcm(decode_all([SOME], "pcm", channels=2))


# Refused files


@pytest.mark.parametrize(
    ("data", "called"),
    [
        (b"no audio at all, really", "wav"),
        (b"RIFF\0\0\0\0AVI data", "wav"),
        (b"RIFF\0\0\0\0WAVEdata\4\0\0\0\0\0\0\0", "wav"),
        (header(4, tag=2) + SOME, "wav"),
        (header(4, rate=96_000) + SOME, "wav"),
        (header(4, rate=4_000) + SOME, "wav"),
        (header(4, channels=6) + SOME, "wav"),
        (header(4, bits=0) + SOME, "wav"),
        (b"RIFF\0\0\0\0WAVEfmt \4\0\0\0\1\0\1\0", "wav"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\0", "wav"),
        (b"no audio at all, really", "webm"),
        (b"no audio at all, really", "ogg"),
        (b"no audio at all, really", "mp3"),
        (b"OggS" + bytes(22) + b"\1\4" + b"FLAC", "ogg"),
        (b"OggS\0\2" + bytes(20) + b"\1\4" + b"FLAC", "ogg"),
    ],
)
def test_what_is_not_understood_is_unsupported(data: bytes, called: str) -> None:
    if data.startswith(b"OggS\0\0"):
        assert decode_all([data], called) == []  # no beginning: nothing to judge yet
    else:
        assert code([data], called) is FaultCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(("rate", "channels"), [(96_000, 1), (4_000, 1), (16_000, 3)])
def test_pcm_has_8_to_48_khz_and_one_or_two_channels(rate: int, channels: int) -> None:
    assert code([SOME], "pcm", rate=rate, channels=channels) is FaultCode.UNSUPPORTED_FORMAT


def test_surround_sound_is_unsupported() -> None:
    for container, codec in (("ogg", "libopus"), ("webm", "libopus")):
        data = recorded(container, codec, 48_000, "5.1", 0.2, "mapping_family=1")
        assert code([data], container) is FaultCode.UNSUPPORTED_FORMAT


def test_webm_without_audio_that_is_taken_is_unsupported() -> None:
    assert code([recorded("matroska", "flac", 48_000, "mono", 0.2)], "webm") is FaultCode.UNSUPPORTED_FORMAT


def test_good_audio_is_heard_after_bad() -> None:
    decoder = AudioDecoder()
    for bad in (b"nonsense" * 10, b"RIFF\0\0\0\0AVI nonsense"):
        with pytest.raises(ProtocolError):
            take(decoder, bad)
        assert pcm(take(decoder, header(len(SOME)) + SOME)) == SOME


def test_damage_in_webm_is_told_and_the_next_cluster_heard() -> None:
    data = bytearray(recorded("webm", "libopus", 48_000, "mono"))
    inside = data.index(b"\x1f\x43\xb6\x75") + 6
    data[inside : inside + 12] = bytes(12)
    decoder = AudioDecoder()
    with pytest.raises(AudioError):
        take(decoder, bytes(data), "webm")
    again = recorded("webm", "libopus", 48_000, "mono", 0.5)
    rest = take(decoder, again[again.index(b"\x1f\x43\xb6\x75") :], "webm")
    assert sum(chunk.duration for chunk in rest) == pytest.approx(0.5, abs=0.05)


def test_no_message_holds_more_than_twenty_minutes() -> None:
    # 120 ms in three bytes: as dense as audio gets.
    packet = b"\xff\x06"
    page = bytearray(b"OggS\0\0" + bytes(8) + b"\1\0\0\0" + bytes(8) + bytes([255]) + b"\2" * 255 + packet * 255)
    head = recorded("ogg", "libopus", 48_000, "mono", 0.1)
    second = head.index(b"OggS", 4)
    third = head.index(b"OggS", second + 4)
    page[14:18] = head[14:18]
    seconds: list[float] = []
    decoded = AudioDecoder().push(head[:third] + bytes(page) * 100, audio_format=AudioFormat.OGG)
    with pytest.raises(ProtocolError) as refused:
        seconds.extend(chunk.duration for chunk in decoded if chunk)
    assert refused.value.code is FaultCode.PAYLOAD_TOO_LARGE
    assert decode.MAX_SECONDS - 1 < sum(seconds) <= decode.MAX_SECONDS


def test_what_says_nothing_still_lets_others_have_their_turn() -> None:
    data = recorded("webm", "libopus", 48_000, "mono", 0.1) + b"\xec\x80" * 100_000  # empty Void elements
    pauses = [chunk for chunk in AudioDecoder().push(data, audio_format=AudioFormat.WEBM) if chunk is None]
    assert len(pauses) >= len(data) // decode.READ_BYTES


# Lacing


def with_lacing(kind: int, content: bytes) -> bytes:
    """A WebM whose only block is laced."""
    data = recorded("webm", "libopus", 48_000, "mono", 0.1)
    block = b"\x81\0\0" + bytes([0x80 | kind << 1]) + content
    return data[: data.index(b"\x1f\x43\xb6\x75")] + b"\x1f\x43\xb6\x75\xff\xa3" + bytes([0x80 | len(block)]) + block


PACKET = bytes.fromhex("d8fffe")


@pytest.mark.parametrize(
    ("kind", "content"),
    [(1, b"\2\3\3" + PACKET * 3), (2, b"\2" + PACKET * 3), (3, b"\2\x83\xbf" + PACKET * 3)],
)
def test_laced_blocks_are_taken_apart(kind: int, content: bytes) -> None:
    assert sum(chunk.duration for chunk in decode_all([with_lacing(kind, content)], "webm")) == pytest.approx(0.06)


@pytest.mark.parametrize(
    ("kind", "content"),
    [(1, b""), (1, b"\2\3"), (1, b"\2\xff"), (1, b"\1\x09" + PACKET), (3, b"\2\x83"), (3, b"\2\x81\x80" + PACKET)],
)
def test_wrong_lacing_is_damage(kind: int, content: bytes) -> None:
    assert code([with_lacing(kind, content)], "webm") is FaultCode.AUDIO_PROCESSING_ERROR


# Anything


def listen(messages: Sequence[bytes], called: str) -> None:
    decoder = AudioDecoder()
    for message in messages:
        with suppress(AudioError, ProtocolError):
            for chunk in decoder.push(message, audio_format=AudioFormat(called)):
                assert chunk is None or (chunk.pcm and chunk.duration <= decode.MAX_CHUNK)


@given(st.sampled_from(list(AudioFormat)), st.lists(st.binary(max_size=300), max_size=4))
def test_any_bytes_are_audio_or_a_named_error(called: AudioFormat, messages: list[bytes]) -> None:
    listen(messages, called)


@given(
    st.sampled_from(FORMATS),
    st.lists(st.integers(0, 5_000), max_size=4),
    st.lists(st.tuples(st.integers(0, 5_000), st.binary(min_size=1, max_size=8)), max_size=4),
    st.booleans(),
)
def test_damaged_files_are_audio_or_a_named_error(
    which: tuple[str, str], cuts: list[int], damage: list[tuple[int, bytes]], is_repeated: bool
) -> None:
    data = bytearray(small(*which))
    for at, what in damage:
        start = at % len(data)
        data[start : start + len(what)] = what
    messages = cut(bytes(data), [at % len(data) for at in cuts])
    listen([*messages, *messages] if is_repeated else messages, which[0])


# MP3


def test_tags_and_garbage_between_frames_are_passed_over() -> None:
    data = recorded("mp3", "libmp3lame", 24_000, "mono", 0.5)
    tag = b"ID3\4\0\0\0\0\2\0" + bytes(256)
    frames = data[data.index(b"\xff\xf3") :] if b"\xff\xf3" in data else data
    clean = sum(chunk.duration for chunk in decode_all([frames, frames], "mp3"))
    dirty = decode_all([tag + frames + b"TAG" + b"\xff" * 125 + bytes(200), frames], "mp3")
    assert sum(chunk.duration for chunk in dirty) == pytest.approx(clean, abs=0.05)


def test_mp3_that_turns_into_something_else_is_told() -> None:
    data = recorded("mp3", "libmp3lame", 24_000, "mono", 0.5)
    assert code([data, bytes(200_000)], "mp3") is FaultCode.UNSUPPORTED_FORMAT


def test_mp3_that_cannot_be_decoded_is_a_fault() -> None:
    # Frames of the right size with nothing sensible inside: layer III of 64 kb/s at 24 kHz has 192 bytes.
    frame = b"\xff\xf3\x84\xc4" + b"\xff" * 188
    assert code([frame * 40], "mp3") is FaultCode.AUDIO_PROCESSING_ERROR


# Ogg


def page(flags: int, serial: int, *packets: bytes) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) for packet in packets)
    head = b"OggS\0" + bytes([flags]) + bytes(8) + serial.to_bytes(4, "little") + bytes(8) + bytes([len(lacing)])
    return head + lacing + b"".join(packets)


OPUS_HEAD = b"OpusHead\1\1" + bytes(2) + (48_000).to_bytes(4, "little") + bytes(3)


def test_other_streams_in_an_ogg_are_passed_over() -> None:
    data = page(2, 1, b"\x80theora") + page(2, 2, OPUS_HEAD) + page(2, 3, b"fishead\0")
    data += page(0, 2, b"OpusTags") + page(0, 1, b"video") + page(0, 2, PACKET, PACKET) + page(0, 1, b"more")
    assert sum(chunk.duration for chunk in decode_all([data], "ogg")) == pytest.approx(0.04)


def test_a_comment_with_a_picture_in_it_is_passed_over() -> None:
    tags = page(0, 2, b"OpusTags" + bytes(60_000))
    assert decode_all([page(2, 2, OPUS_HEAD) + tags + page(0, 2, PACKET)], "ogg")


def test_a_packet_whose_beginning_is_lost_is_not_decoded() -> None:
    start = page(2, 2, OPUS_HEAD) + page(0, 2, b"OpusTags")
    assert decode_all([start + page(1, 2, b"\xff\xff\xff", PACKET)], "ogg") == decode_all(
        [start + page(0, 2, PACKET)], "ogg"
    )


@pytest.mark.parametrize("head", [b"OpusHead\1\1", OPUS_HEAD[:9] + b"\6" + OPUS_HEAD[10:]])
def test_a_wrong_opus_header_is_unsupported(head: bytes) -> None:
    assert code([page(2, 2, head) + page(0, 2, b"OpusTags")], "ogg") is FaultCode.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("setup", [b"", b"\5vorbis nonsense"])
def test_a_wrong_vorbis_header_is_unsupported(setup: bytes) -> None:
    head = b"\1vorbis" + bytes(4) + b"\1" + (48_000).to_bytes(4, "little") + bytes(12) + b"\xb8\1"
    for identification in (head, head[:20]):
        data = page(2, 2, identification) + page(0, 2, b"\3vorbis", setup)
        assert code([data], "ogg") is FaultCode.UNSUPPORTED_FORMAT
