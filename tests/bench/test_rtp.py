"""RTP by hand agrees with aiortc's, and nothing that comes in breaks the reader."""

import pytest
from aiortc.codecs.vpx import VpxPayloadDescriptor
from aiortc.rtp import RtcpPacket, RtcpPsfbPacket, RtcpRrPacket, RtcpSrPacket, RtpPacket
from hypothesis import example, given
from hypothesis import strategies as st

from bench.rtp import (
    MAX_PAYLOAD,
    ReceivedRtp,
    RtpError,
    Stream,
    has_picture_loss,
    is_rtcp,
    parse_rtp,
    vp8_payloads,
)


def test_packets_of_a_stream_are_numbered_and_read_by_others() -> None:
    stream = Stream(payload_type=111, ssrc=7)
    first, second = stream.packet(b"one", 960), stream.packet(b"two", 1920, marker=True)
    read = [RtpPacket.parse(first), RtpPacket.parse(second)]
    assert [(one.sequence_number, one.timestamp, one.marker, one.payload) for one in read] == [
        (0, 960, 0, b"one"),
        (1, 1920, 1, b"two"),
    ]
    assert {(one.ssrc, one.payload_type) for one in read} == {(7, 111)}


def test_time_wraps_with_rtp() -> None:
    stream = Stream(payload_type=111, ssrc=7)
    assert parse_rtp(stream.packet(b"", (1 << 32) + 5)).timestamp == 5


def test_a_packet_with_extension_sources_and_padding_is_read() -> None:
    packet = RtpPacket(payload_type=96, sequence_number=9, timestamp=90, ssrc=1, payload=b"abc")
    packet.csrc = [1, 2]
    packet.padding_size = 4
    plain = packet.serialize()
    extended = bytes([plain[0] | 0x10]) + plain[1:20] + b"\xbe\xde\x00\x01\x10\x30\x00\x00" + plain[20:]
    assert parse_rtp(plain) == parse_rtp(extended) == ReceivedRtp(96, 9, 90, b"abc")


@given(st.binary(max_size=64))
@example(b"\x90" + bytes(11))
@example(b"\xb0" + bytes(11) + b"\xff\xff\xff\xff")
@example(b"\xa0" + bytes(11) + b"\xff")
def test_reading_anything_gives_a_packet_or_the_documented_error(data: bytes) -> None:
    try:
        packet = parse_rtp(data)
    except RtpError:
        return
    assert packet.payload in data


@pytest.mark.parametrize("data", [b"", bytes(11), bytes(12), b"\x8f" + bytes(11)])
def test_what_is_no_packet_is_refused(data: bytes) -> None:
    with pytest.raises(RtpError):
        parse_rtp(data)


def test_a_sender_report_counts_what_was_sent() -> None:
    stream = Stream(payload_type=111, ssrc=7)
    stream.packet(b"four", 960)
    stream.packet(b"four", 1920)
    data = stream.report(wall=0.5)
    [report] = RtcpPacket.parse(data)
    assert isinstance(report, RtcpSrPacket)
    info = report.sender_info
    assert (report.ssrc, info.packet_count, info.octet_count, info.rtp_timestamp) == (7, 2, 8, 1920)
    assert info.ntp_timestamp == (2_208_988_800 << 32) + (1 << 31)
    assert is_rtcp(data)
    assert not is_rtcp(stream.packet(b"", 0))


def test_a_request_for_a_key_frame_is_found_behind_other_reports() -> None:
    receiver = bytes(RtcpRrPacket(ssrc=1))
    request = bytes(RtcpPsfbPacket(fmt=1, ssrc=1, media_ssrc=2))
    assert has_picture_loss(receiver + request)
    assert not has_picture_loss(receiver + bytes(RtcpPsfbPacket(fmt=15, ssrc=1, media_ssrc=2)))


@given(st.binary(max_size=64))
def test_any_bytes_are_searched_for_a_request(data: bytes) -> None:
    assert has_picture_loss(data) in (False, True)


@pytest.mark.parametrize("size", [1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 5 * MAX_PAYLOAD])
def test_a_picture_is_whole_after_the_way(size: int) -> None:
    picture = bytes(place % 251 for place in range(size))
    parsed = [VpxPayloadDescriptor.parse(payload) for payload in vp8_payloads(picture, 0x8005)]
    assert b"".join(rest for _, rest in parsed) == picture
    assert [descriptor.partition_start for descriptor, _ in parsed] == [1] + [0] * (len(parsed) - 1)
    assert {descriptor.picture_id for descriptor, _ in parsed} == {5}
