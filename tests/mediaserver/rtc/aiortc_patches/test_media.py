"""What keeps the media inside aiortc in hand: routing, repair, and what a way is thought to carry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiortc import RTCPeerConnection, RTCRtpReceiver
from aiortc.codecs import CODECS
from aiortc.rate import BandwidthUsage
from aiortc.rtcrtpparameters import RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_PLI,
    RtcpPacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtpPacket,
    unpack_remb_fci,
)

from mediaserver.rtc.aiortc_patches.media import (
    MIN_BITRATE,
    START_BITRATE,
    BandwidthEstimator,
    RidRouter,
    _Control,
)
from mediaserver.rtc.aiortc_patches.transceivers import (
    MAX_PIECES,
    MAX_REASSEMBLY,
    MAX_STREAMS,
    Reassembly,
    renew_sender,
)
from mediaserver.rtc.aiortc_patches.video_tap import VideoTap, is_keyframe
from mediaserver.rtc.voice_track import VoiceTrack
from tests.support.rtc_harness import until
from tests.support.virtual_time import in_virtual_time

KEY = b"\x10\x00\x00\x9d\x01\x2a" + bytes(20)
DELTA = b"\x11\x00\x00" + bytes(20)


class Receiver:
    """What a router knows of a receiver."""

    def __init__(self) -> None:
        vars(self)["_RTCRtpReceiver__rtx_ssrc"] = {}

    def _handle_disconnect(self) -> None: ...

    async def _handle_rtcp_packet(self, packet: object) -> None: ...

    async def _handle_rtp_packet(self, packet: object, arrival_time_ms: int) -> None: ...


def routed(ssrc: int, *, mid: str | None = None, rid: str | None = None, repaired: str | None = None) -> Any:
    extensions = SimpleNamespace(mid=mid, rtp_stream_id=rid, repaired_rtp_stream_id=repaired)
    return SimpleNamespace(ssrc=ssrc, payload_type=97 if repaired else 96, extensions=extensions)


def test_retransmissions_are_linked_to_the_layer_they_repair() -> None:
    router = RidRouter()
    camera, screen = Receiver(), Receiver()
    router.register_receiver(camera, [], [96, 97], "1")
    router.register_receiver(screen, [], [96, 97], "2")
    for receiver, mid, ssrc in ((camera, "1", 10), (screen, "2", 20)):
        assert router.route_rtp(routed(ssrc + 1, mid=mid, repaired="f")) is receiver
        assert not vars(receiver)["_RTCRtpReceiver__rtx_ssrc"]
        assert router.route_rtp(routed(ssrc, mid=mid, rid="f")) is receiver
        assert router.route_rtp(routed(ssrc + 1, mid=mid, repaired="f")) is receiver
        assert vars(receiver)["_RTCRtpReceiver__rtx_ssrc"] == {ssrc + 1: ssrc}
    router.unregister_receiver(camera)
    assert {key[0] for key in router._layers} == {screen}


class Wire:
    """The transport under a receiver: remembers what it sends."""

    state = "connected"
    _stats_id = "wire"

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self._rtp_router = SimpleNamespace(ssrc_table={})

    async def _send_rtp(self, data: bytes) -> None:
        self.sent += RtcpPacket.parse(data)

    def _register_rtp_receiver(self, *_: object) -> None: ...

    def _unregister_rtp_receiver(self, *_: object) -> None: ...

    def nacked(self) -> list[list[int]]:
        return [packet.lost for packet in self.sent if isinstance(packet, RtcpRtpfbPacket)]

    def plis(self) -> int:
        return sum(isinstance(packet, RtcpPsfbPacket) and packet.fmt == RTCP_PSFB_PLI for packet in self.sent)


class Viewer:
    """One video receiver with its tap, fed by hand."""

    def __init__(self, receiver: RTCRtpReceiver, wire: Wire):
        self.wire = wire
        self.frames: list[bytes] = []
        self.tap = VideoTap(receiver, on_frame=lambda codec, data, stamp: self.frames.append(data))
        self.tap.is_decoded = False
        self.wire._rtp_router.ssrc_table[7] = receiver
        self._receiver = receiver

    async def feed(self, number: int, data: bytes, *, stamp: int | None = None, is_last: bool = True) -> None:
        """Give a packet that is a frame of its own, unless `stamp` says otherwise."""
        packet = RtpPacket(payload_type=97, sequence_number=number, timestamp=number if stamp is None else stamp)
        packet.ssrc, packet.payload, packet.marker = 7, b"\x10" + data, int(is_last)
        await self.receive(packet)

    async def receive(self, packet: RtpPacket) -> None:
        await self._receiver._handle_rtp_packet(packet, arrival_time_ms=0)


@asynccontextmanager
async def viewer() -> AsyncIterator[Viewer]:
    wire: Any = Wire()
    receiver = RTCRtpReceiver("video", wire)
    receiver._track = RemoteStreamTrack("video")
    receiver._set_rtcp_ssrc(1)
    here = Viewer(receiver, wire)
    await receiver.receive(RTCRtpReceiveParameters(codecs=CODECS["video"][:2]))
    mending = asyncio.create_task(here.tap.run_nack())
    try:
        yield here
    finally:
        mending.cancel()
        receiver._RTCRtpReceiver__decoder_queue.put(None)  # type: ignore[attr-defined]
        await receiver.stop()


@in_virtual_time
async def test_what_is_missing_is_asked_for_until_it_comes_and_nothing_stays_late() -> None:
    async with viewer() as here:
        await here.feed(1, KEY)
        for number in range(3, 8):
            await here.feed(number, DELTA)
        assert here.frames == [KEY]
        await until(lambda: len(here.wire.nacked()) >= 3)
        assert here.wire.nacked()[:3] == [[2]] * 3
        await here.feed(2, DELTA)
        count = len(here.wire.nacked())
        await asyncio.sleep(0.3)
        assert len(here.wire.nacked()) <= count + 1
        assert not here.wire.plis()
        assert here.frames == [KEY, *[DELTA] * 6]


@in_virtual_time
async def test_retransmissions_of_packets_that_came_long_ago_stop_nothing() -> None:
    async with viewer() as here:
        here.tap._repaired[8] = 7
        await here.feed(1_000, KEY)
        for number in range(1_001, 1_200):
            await here.feed(number, DELTA)
        for old in (1_010, 1_199):  # as libwebrtc probes the bandwidth
            padding = RtpPacket(payload_type=98, sequence_number=old, timestamp=old, marker=1)
            padding.ssrc, padding.payload = 8, old.to_bytes(2) + b"\x10" + DELTA
            await here.receive(padding)
        await here.feed(1_200, DELTA)
        assert len(here.frames) == 201
        await here.feed(1_202, DELTA)
        lost = RtpPacket(payload_type=98, sequence_number=1, timestamp=1_201, marker=1)
        lost.ssrc, lost.payload = 8, (1_201).to_bytes(2) + b"\x10" + DELTA
        await here.receive(lost)
        assert len(here.frames) == 203


@in_virtual_time
async def test_packets_of_another_layer_are_not_mixed_in() -> None:
    async with viewer() as here:
        await here.feed(1, KEY)
        other = RtpPacket(payload_type=97, sequence_number=2, timestamp=2, marker=1)
        other.ssrc, other.payload = 9, b"\x10" + DELTA
        await here.receive(other)
        assert here.wire.plis() == 1, "it may be larger"
        await here.feed(2, DELTA)
        assert here.frames == [KEY, DELTA]


@in_virtual_time
async def test_a_frame_is_given_when_its_last_packet_has_come_or_the_next_one_begins() -> None:
    async with viewer() as here:
        await here.feed(1, KEY, stamp=1, is_last=False)
        assert not here.frames
        await here.feed(2, b"end", stamp=1)
        assert here.frames == [KEY + b"end"]
        await here.feed(3, DELTA, is_last=False)
        assert len(here.frames) == 1
        await here.feed(4, DELTA, is_last=False)
        assert here.frames == [KEY + b"end", DELTA]


@in_virtual_time
async def test_what_never_comes_is_given_up_for_a_key_frame() -> None:
    async with viewer() as here:
        for number in (1, 2, 4):
            await here.feed(number, KEY if number == 1 else DELTA)
        await until(lambda: here.wire.plis() >= 2)
        for number in range(5, 8):
            await here.feed(number, DELTA)
        assert here.frames == [KEY, DELTA]
        await here.feed(3, DELTA)  # too late
        for number in range(8, 11):
            await here.feed(number, KEY if number == 8 else DELTA)
        assert here.frames == [KEY, DELTA, KEY, DELTA, DELTA]
        count = here.wire.plis()
        await asyncio.sleep(0.6)
        assert here.wire.plis() <= count + 1


@in_virtual_time
async def test_a_key_frame_with_a_hole_is_mended_too() -> None:
    async with viewer() as here:
        for number in (1, 2, 4):
            await here.feed(number, KEY if number == 1 else DELTA)
        await until(lambda: here.wire.plis() > 0)
        await here.feed(5, KEY, stamp=5, is_last=False)
        await here.feed(7, b"end", stamp=5)
        before = len(here.wire.nacked())
        await until(lambda: len(here.wire.nacked()) > before + 1)
        assert here.wire.nacked()[-1] == [6]
        await here.feed(6, b"middle", stamp=5, is_last=False)
        assert here.frames == [KEY, DELTA, KEY + b"middleend"]


@in_virtual_time
async def test_after_a_frame_that_cannot_be_decoded_nothing_passes_before_a_key_frame() -> None:
    async with viewer() as here:
        await here.feed(1, KEY)
        here._receiver._RTCRtpReceiver__decoder_error.set()  # type: ignore[attr-defined]
        for number in range(2, 5):
            await here.feed(number, DELTA)
        await until(lambda: here.wire.plis() > 1)
        await here.feed(5, KEY)
        assert here.frames == [KEY, KEY]


@in_virtual_time
async def test_what_was_turned_off_begins_with_a_key_frame_that_is_asked_for() -> None:
    async with viewer() as here:
        await here.feed(1, KEY)
        await here.feed(2, DELTA)
        here.tap.turn(False)
        here.tap.turn(True)
        await until(lambda: here.wire.plis() > 0)
        await here.feed(300, DELTA)
        await here.feed(301, KEY)
        assert here.frames == [KEY, DELTA, KEY]
        assert not here.wire.nacked()


@pytest.mark.parametrize(
    ("codec", "data", "is_key"),
    [
        ("VP8", KEY, True),
        ("VP8", DELTA, False),
        ("VP8", b"", False),
        ("VP8", KEY[:4], False),
        ("H264", b"\x00\x00\x00\x01\x67" + bytes(9), True),
        ("H264", b"\x00\x00\x00\x01\x09\xf0\x00\x00\x00\x01\x65" + bytes(9), True),
        ("H264", b"\x00\x00\x00\x01\x41" + bytes(9), False),
        ("H264", b"", False),
        ("OPUS", b"\xf8", False),
    ],
)
def test_key_frames_are_known_by_their_first_bytes(codec: str, data: bytes, is_key: bool) -> None:
    assert is_keyframe(codec, data) is is_key


def test_a_way_that_carries_little_is_not_thought_narrow() -> None:
    control = _Control()
    for now in range(0, 20_000, 500):
        rate = control.update(BandwidthUsage.NORMAL, 30_000, now)
    assert rate == START_BITRATE


def test_a_way_that_carries_much_is_thought_wider() -> None:
    control = _Control()
    for now in range(0, 20_000, 500):
        rate = control.update(BandwidthUsage.NORMAL, 3_000_000, now)
    assert rate is not None
    assert 3_000_000 < rate <= 4_500_000


def test_growing_delays_narrow_a_way_step_by_step_and_it_recovers() -> None:
    control = _Control()
    rates = [control.update(BandwidthUsage.OVERUSING, 900_000, now) for now in range(1_000, 3_000, 20)]
    assert rates[0] == int(START_BITRATE * 0.8)
    assert 0.2 * START_BITRATE < (rates[-1] or 0) < 0.5 * START_BITRATE
    for now in range(3_000, 60_000, 20):
        low = control.update(BandwidthUsage.OVERUSING, 900_000, now)
    assert low == MIN_BITRATE
    for now in range(60_000, 120_000, 500):
        high = control.update(BandwidthUsage.NORMAL, 900_000, now)
    assert high == START_BITRATE


async def test_all_videos_of_a_client_are_measured_together_wanted_or_not() -> None:
    estimate = BandwidthEstimator()
    wires: list[Any] = [Wire(), Wire()]
    receivers = [RTCRtpReceiver("video", wire) for wire in wires]
    for receiver in receivers:
        receiver._set_rtcp_ssrc(1)
        estimate.include(receiver)
    receivers[1]._enabled = False
    for at in range(0, 3_000, 10):
        for ssrc, receiver in enumerate(receivers):
            packet = RtpPacket(payload_type=96, sequence_number=at, timestamp=at)
            packet.ssrc, packet.payload = ssrc + 70, bytes(1_000)
            packet.extensions.abs_send_time = (at << 18) // 1_000
            await receiver._handle_rtp_packet(packet, arrival_time_ms=at)
    sent = [packet for wire in wires for packet in wire.sent if packet.fmt == RTCP_PSFB_APP]
    rate, ssrcs = unpack_remb_fci(sent[-1].fci)
    assert set(ssrcs) == {70, 71}
    assert rate > START_BITRATE * 0.95


async def test_a_section_that_ends_sending_is_fresh_and_its_track_lives_on() -> None:
    connection = RTCPeerConnection()
    section = connection.addTransceiver(VoiceTrack())
    section._setCurrentDirection("sendrecv")
    before, track = section.sender, section.sender.track
    await renew_sender(section)
    assert section.sender._ssrc != before._ssrc
    assert vars(section.receiver)["_RTCRtpReceiver__rtcp_ssrc"] == section.sender._ssrc
    assert section.currentDirection == "recvonly"
    assert track.readyState == "live"
    track.stop()
    await connection.close()


@pytest.mark.parametrize(
    ("piece_bytes", "streams", "most"),
    [(1_000, 1, MAX_REASSEMBLY // 1_000), (1, 1, MAX_PIECES), (1, 5_000, MAX_STREAMS)],
)
async def test_messages_that_are_never_completed_take_bounded_memory(piece_bytes: int, streams: int, most: int) -> None:
    async def receive(piece: Any) -> None:
        kept.setdefault(piece.stream_id, SimpleNamespace(reassembly=[])).reassembly.append(piece)
        sctp._advertised_rwnd -= len(piece.user_data)

    kept: dict[int, Any] = {}
    sctp: Any = SimpleNamespace(_advertised_rwnd=0, _receive_data_chunk=receive, _inbound_streams=kept)
    Reassembly(sctp)
    for number in range(5_000):
        await sctp._receive_data_chunk(SimpleNamespace(stream_id=number % streams, user_data=bytes(piece_bytes)))
    assert sum(len(stream.reassembly) for stream in kept.values()) >= most
    assert len(kept) <= MAX_STREAMS
    assert sum(len(stream.reassembly) for stream in kept.values()) <= max(most, MAX_PIECES)
