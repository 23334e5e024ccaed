import zlib
from collections.abc import Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from livekit.protocol.models import DataPacket, DataStream

from mediaserver.livekit.protocol.data_packet import MAX_PACKET, parse_packet, user_packet
from mediaserver.livekit.protocol.data_streams import (
    CHUNK_BYTES,
    MAX_AGE,
    MAX_BYTES,
    UNPACKED_RATE,
    Assembler,
    Received,
    TextWriter,
    split_utf8,
    text_stream,
)
from pipeline.errors import FaultCode, ProtocolError


def assemble(packets: Iterable[DataPacket], assembler: Assembler | None = None) -> list[Received]:
    assembler = assembler or Assembler({"t": 100_000})
    return [stream for packet in packets if (stream := assembler.push(packet, 0.0)) is not None]


def header(name: str = "s", **said: object) -> DataPacket:
    said = {"topic": "t", "text_header": DataStream.TextHeader()} | said
    return DataPacket(stream_header=DataStream.Header(stream_id=name, **said), participant_identity="ada")  # type: ignore[arg-type]


def chunk(content: bytes, index: int = 0, name: str = "s") -> DataPacket:
    return DataPacket(stream_chunk=DataStream.Chunk(stream_id=name, chunk_index=index, content=content))


def trailer(name: str = "s", reason: str = "", **attributes: str) -> DataPacket:
    return DataPacket(stream_trailer=DataStream.Trailer(stream_id=name, reason=reason, attributes=attributes))


@given(st.text(max_size=20_000))
def test_what_is_written_is_read_again(text: str) -> None:
    (stream,) = assemble(text_stream("t", text, {"a": "b"}))

    assert stream.text == text
    assert (stream.topic, stream.attributes, stream.is_text) == ("t", {"a": "b"}, True)


def test_a_long_text_is_cut_into_packets_that_clients_take() -> None:
    packets = list(text_stream("t", "é" * 40_000, {}))

    assert len(packets) > 5
    assert all(len(packet.SerializeToString()) < 16_000 for packet in packets)
    assert all(len(packet.stream_chunk.content) <= CHUNK_BYTES for packet in packets)


@given(st.text(), st.integers(4, 9))
def test_every_piece_of_a_text_is_a_text(text: str, most: int) -> None:
    pieces = list(split_utf8(text.encode(), most))

    assert "".join(piece.decode() for piece in pieces) == text
    assert all(0 < len(piece) <= most for piece in pieces)


def test_a_text_can_be_written_as_it_comes() -> None:
    writer = TextWriter("t", {"final": "false"})
    packets = [writer.begin(), *writer.write("Hel"), *writer.write("lo"), writer.end({"final": "true"})]

    (stream,) = assemble(packets)

    assert stream.text == "Hello"
    assert stream.attributes == {"final": "true"}
    assert not packets[0].stream_header.HasField("total_length")


def test_a_stream_says_who_sent_it() -> None:
    (stream,) = assemble([header(), chunk(b"x"), trailer()])

    assert stream.sender == "ada"


def test_a_short_stream_may_come_in_its_header_alone() -> None:
    (stream,) = assemble([header(inline_content=b"hello", total_length=5)])

    assert stream.text == "hello"


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def test_a_packed_stream_is_unpacked() -> None:
    (stream,) = assemble([header(inline_content=deflated(b"hello" * 99), compression=DataStream.DEFLATE_RAW)])

    assert stream.text == "hello" * 99


def test_a_chunk_that_comes_twice_counts_once() -> None:
    (stream,) = assemble([header(), chunk(b"a"), chunk(b"a"), chunk(b"b", 1), trailer()])

    assert stream.content == b"ab"


def test_other_topics_pass_unread() -> None:
    assert assemble([header(topic="other"), chunk(b"x", 7), trailer()]) == []


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        ([header(), chunk(b"x", 1)], "lacks its chunk 0"),
        ([header(total_length=3), chunk(b"xy"), trailer()], "was to have 3 bytes and has 2"),
        ([header(), header()], "begun twice"),
        ([header(), trailer(reason="no more")], "no more"),
        ([header(inline_content=b"\xff\xff", compression=DataStream.DEFLATE_RAW)], "unpacked"),
        ([header(inline_content=deflated(bytes(99))[:-2], compression=DataStream.DEFLATE_RAW)], "cut off"),
        ([header(inline_content=deflated(bytes(2000)), compression=DataStream.DEFLATE_RAW)], "more than 1000 bytes"),
        ([header(inline_content=b"", compression=9)], "unknown compression"),
    ],
)
def test_a_malformed_stream_is_refused_with_the_reason(packets: list[DataPacket], expected: str) -> None:
    with pytest.raises(ProtocolError, match=expected):
        assemble(packets, Assembler({"t": 1000}, max_bytes=1000))


@pytest.mark.parametrize(
    "packets", [[header(total_length=1001)], [header(), chunk(bytes(600)), header("z"), chunk(bytes(600), name="z")]]
)
def test_more_bytes_than_may_be_open_are_refused(packets: list[DataPacket]) -> None:
    with pytest.raises(ProtocolError) as refused:
        assemble(packets, Assembler({"t": 1000}, max_bytes=1000))

    assert refused.value.code is FaultCode.PAYLOAD_TOO_LARGE


@pytest.mark.parametrize(
    "packets",
    [
        [header(total_length=1001)],
        [header(inline_content=bytes(1001))],
        [header(inline_content=deflated(bytes(1001)), compression=DataStream.DEFLATE_RAW)],
        [header(inline_content=deflated(bytes(4_000_000)), compression=DataStream.DEFLATE_RAW)],
        [header(), chunk(bytes(600)), chunk(bytes(600), 1)],
    ],
)
def test_a_stream_longer_than_its_topic_takes_is_refused(packets: list[DataPacket]) -> None:
    with pytest.raises(ProtocolError, match="more than 1000 bytes") as refused:
        assemble(packets, Assembler({"t": 1000, "long": 1_000_000}))

    assert refused.value.code is FaultCode.PAYLOAD_TOO_LARGE


def test_a_small_stream_unpacks_to_a_byte_more_than_its_topic_takes() -> None:
    assembler = Assembler({"t": 1000})

    with pytest.raises(ProtocolError):
        assemble([header(inline_content=deflated(bytes(4_000_000)), compression=DataStream.DEFLATE_RAW)], assembler)

    assert assembler._unpacked._left == MAX_BYTES - 1 - 1001


def test_unpacked_bytes_are_limited_over_time() -> None:
    assembler = Assembler({"t": 1_000_000})
    packet = header(inline_content=deflated(bytes(1_000_000)), compression=DataStream.DEFLATE_RAW)
    for _ in range(4):
        assert assembler.push(packet, 0.0) is not None

    for _ in range(2):
        with pytest.raises(ProtocolError, match="500000 bytes a second") as refused:
            assembler.push(packet, 0.0)
        assert refused.value.code is FaultCode.RATE_LIMITED

    assert assembler.push(header("z", inline_content=b"plain"), 0.0) is not None
    assert assembler.push(packet, 100 / UNPACKED_RATE) is not None


def test_more_streams_than_may_be_open_are_refused_and_the_others_go_on() -> None:
    assembler = Assembler({"t": 1000}, max_open=2)
    assemble([header("a"), header("b")], assembler)

    with pytest.raises(ProtocolError, match="2 that may be open"):
        assemble([header("c")], assembler)

    assert (
        assemble([chunk(b"x", name="c"), chunk(b"y", name="a"), trailer("a"), trailer("c")], assembler)[0].text == "y"
    )


def test_a_stream_that_never_ends_is_forgotten() -> None:
    assembler = Assembler({"t": 1000}, max_open=1)
    assembler.push(header("a"), 0.0)

    assembler.push(header("b"), MAX_AGE + 1)

    assert assembler.push(trailer("a"), MAX_AGE + 1) is None
    assert assembler.push(trailer("b"), MAX_AGE + 1) is not None


def test_a_text_that_is_not_utf8_is_refused() -> None:
    (stream,) = assemble([header(inline_content=b"\xff")])

    with pytest.raises(ProtocolError, match="UTF-8"):
        assert stream.text


@given(st.binary())
def test_any_message_is_a_packet_or_refused(data: bytes) -> None:
    with suppress(ProtocolError):
        assert isinstance(parse_packet(data), DataPacket)


def test_an_overlong_message_is_refused_unread() -> None:
    with pytest.raises(ProtocolError, match="64000"):
        parse_packet(bytes(MAX_PACKET + 1))


def test_a_user_packet_names_its_recipients_as_old_and_new_clients_read_them() -> None:
    packet = parse_packet(user_packet(b"x", "events", to=("ada",)).SerializeToString())

    assert (packet.user.payload, packet.user.topic) == (b"x", "events")
    assert list(packet.destination_identities) == list(packet.user.destination_identities) == ["ada"]


PACKETS = st.one_of(
    st.builds(header, st.sampled_from("ab"), total_length=st.integers(0, 2000), topic=st.sampled_from("tu")),
    st.builds(header, st.sampled_from("ab"), inline_content=st.binary(), compression=st.integers(0, 3)),
    st.builds(chunk, st.binary(max_size=800), st.integers(0, 3), st.sampled_from("ab")),
    st.builds(trailer, st.sampled_from("ab"), st.sampled_from(["", "x"])),
)


@given(st.lists(PACKETS))
def test_any_packets_are_put_together_or_refused(packets: list[DataPacket]) -> None:
    assembler = Assembler({"t": 1000}, max_bytes=1000)
    for packet in packets:
        with suppress(ProtocolError):
            stream = assembler.push(packet, 0.0)
            assert stream is None or len(stream.content) <= 1000
