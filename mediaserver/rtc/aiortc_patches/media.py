"""Changes to how aiortc 1.16 routes, taps and repairs media, each with its reason and line."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpReceiver, RTCRtpSender
from aiortc.jitterbuffer import JitterFrame
from aiortc.rate import AimdRateControl, BandwidthUsage, RemoteBitrateEstimator
from aiortc.rtcdtlstransport import RTCDtlsTransport, RtpReceiver
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, RtpPacket, pack_remb_fci
from aiortc.utils import uint16_add, uint16_gt

from mediaserver.rtc.aiortc_patches.receivers import MidRouter

NACK_PERIOD = 0.1
"""Seconds between NACKs for packets that are still missing."""

MAX_NACK_WAIT = 0.8
"""Seconds a frame may wait for a missing packet before a key frame is requested instead."""

START_BITRATE = 2_000_000
"""Bandwidth (bit/s) assumed before any measurement; a 1080-line screen share needs about this much."""

MIN_BITRATE = 150_000

DECREASE = 0.8
DECREASE_PERIOD = 400
"""Factor on the estimate, applied once per DECREASE_PERIOD (ms) while delays grow."""

KEYFRAME_PERIOD = 0.4
"""Seconds between requests for a key frame, until it arrives."""


class RidRouter(MidRouter):
    """Links RTX streams to the streams they repair by RID: simulcast offers name no SSRC (RFC 8852 section 3)."""

    def __init__(self) -> None:
        super().__init__()
        self._layers: dict[tuple[RtpReceiver, str], int] = {}

    def route_rtp(self, packet: RtpPacket) -> RtpReceiver | None:
        """Find the receiver of a packet, and record its simulcast layer."""
        receiver = super().route_rtp(packet)
        layer, repaired = packet.extensions.rtp_stream_id, packet.extensions.repaired_rtp_stream_id
        if receiver is not None and layer is not None:
            self._layers[receiver, layer] = packet.ssrc
        elif receiver is not None and repaired is not None and (receiver, repaired) in self._layers:
            # rtcrtpreceiver.py:520 drops retransmissions of an SSRC that no `a=ssrc-group:FID` line has named.
            inside: Any = receiver
            inside._RTCRtpReceiver__rtx_ssrc[packet.ssrc] = self._layers[receiver, repaired]
        return receiver

    def unregister_receiver(self, receiver: RtpReceiver) -> None:
        """Remove a receiver and its layers."""
        super().unregister_receiver(receiver)
        self._layers = {key: ssrc for key, ssrc in self._layers.items() if key[0] is not receiver}


def route_by_mid(transport: RTCDtlsTransport) -> None:
    """Replace the router of a transport without receivers by a `RidRouter`."""
    transport._rtp_router = RidRouter()


class _Control(AimdRateControl):
    """Keeps the estimate high until congestion is measured.

    aiortc's estimate never exceeds 1.5 times the received rate (rate.py:228), and drops far below it after each delay
    (rate.py:137). A screen that stands still sends little, so its client would scale the video down when it moves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.current_bitrate = START_BITRATE
        self.current_bitrate_initialized = True
        self._decreased = 0

    def update(self, bandwidth_usage: BandwidthUsage, estimated_throughput: int | None, now_ms: int) -> int | None:
        """Return the highest rate (bit/s) the sender may use."""
        before = self.current_bitrate
        super().update(bandwidth_usage, estimated_throughput, now_ms)
        self.near_max = False
        if bandwidth_usage is BandwidthUsage.OVERUSING:
            is_due = now_ms - self._decreased > DECREASE_PERIOD
            self._decreased = now_ms if is_due else self._decreased
            self.current_bitrate = max(MIN_BITRATE, int(before * DECREASE)) if is_due else before
        return self.current_bitrate

    def _clamp_bitrate(self, new_bitrate: int, estimated_throughput: int) -> int:
        return max(min(new_bitrate, max(START_BITRATE, int(1.5 * estimated_throughput))), MIN_BITRATE)


class BandwidthEstimator:
    """Estimates the bandwidth from one client over all its videos, and reports it by REMB.

    Senders apply the newest REMB to everything they send (draft-alvestrand-rmcat-remb section 2), but aiortc estimates
    and reports each receiver alone (rtcrtpreceiver.py:486): two videos drive each other down to 40 kbit/s.
    """

    def __init__(self) -> None:
        self._estimator = RemoteBitrateEstimator()
        self._estimator.rate_control = _Control()

    def include(self, receiver: RTCRtpReceiver) -> None:
        """Measure a video that has not started yet, also while its packets are dropped."""
        inside: Any = receiver
        handle = inside._handle_rtp_packet
        inside._RTCRtpReceiver__remote_bitrate_estimator = self._estimator

        async def on_rtp(packet: RtpPacket, arrival_time_ms: int) -> None:
            if not inside._enabled and packet.extensions.abs_send_time is not None:
                remb = self._estimator.add(
                    abs_send_time=packet.extensions.abs_send_time,
                    arrival_time_ms=arrival_time_ms,
                    payload_size=len(packet.payload) + packet.padding_size,
                    ssrc=packet.ssrc,
                )
                ssrc = inside._RTCRtpReceiver__rtcp_ssrc
                if remb is not None and ssrc is not None:
                    fci = pack_remb_fci(*remb)
                    await inside._send_rtcp(RtcpPsfbPacket(fmt=RTCP_PSFB_APP, ssrc=ssrc, media_ssrc=0, fci=fci))
            await handle(packet, arrival_time_ms=arrival_time_ms)

        inside._handle_rtp_packet = on_rtp


class AudioTap:
    """Taps an audio receiver: passes on each RTP payload at once, and decodes only if `is_decoded`."""

    def __init__(self, receiver: RTCRtpReceiver, *, on_packet: Callable[[bytes, int], None]):
        # rtcdtlstransport.py:633 calls the receiver for each packet; behind it is a buffer of 70 ms
        # (jitterbuffer.py:24), which forwarding must not add to the jitter buffer of the far end.
        inside: Any = receiver
        self.is_decoded = False
        self._on_packet = on_packet
        self._inside = inside
        self._handle = inside._handle_rtp_packet
        inside._handle_rtp_packet = self._on_rtp

    async def _on_rtp(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        if packet.payload and packet.payload_type in self._inside._RTCRtpReceiver__codecs:
            self._on_packet(packet.payload, packet.timestamp)
        if self.is_decoded:
            await self._handle(packet, arrival_time_ms=arrival_time_ms)


class VideoTap:
    """Taps a video decoder: passes on complete encoded frames whose reference frames were passed on too.

    Missing packets are requested by NACK until it is too late; then frames are dropped until a key frame arrives.
    """

    def __init__(self, receiver: RTCRtpReceiver, *, on_frame: Callable[[str, bytes, int], None]):
        inside: Any = receiver
        self.is_decoded = True
        self._is_on = True
        self._on_frame = on_frame
        self._inside = inside
        self._buffer = inside._RTCRtpReceiver__jitter_buffer
        self._codecs = inside._RTCRtpReceiver__codecs
        self._handle = inside._handle_rtp_packet
        inside._handle_rtp_packet = self._on_rtp
        self._time = inside._RTCRtpReceiver__timestamp_mapper
        self._nacks = inside._RTCRtpReceiver__nack_generator
        self._missing: set[int] = self._nacks.missing
        self._ssrc: int | None = None
        self._wakeup = asyncio.Event()
        self._awaits_keyframe = False  # a reference frame was lost
        inbox = inside._RTCRtpReceiver__decoder_queue
        self._decode = inbox.put
        inbox.put = self._on_encoded
        # rtcrtpreceiver.py:533 asks once, and again only when more is lost: if the request or the retransmission is
        # lost, the picture stands still until then.
        self._send_nack = inside._send_rtcp_nack
        inside._send_rtcp_nack = self._on_missing
        # rtcrtpreceiver.py:548: said when the buffer had to drop frames, or when one could not be decoded.
        self._send_pli = inside._send_rtcp_pli
        inside._send_rtcp_pli = self._on_frame_loss

    def turn(self, is_on: bool) -> None:
        """Turn the tap on or off; once it is on again, the first frame is a key frame."""
        if is_on and not self._is_on:
            self._buffer.remove(self._buffer.capacity if self._buffer._origin is not None else 0)
            self._buffer._origin = self._nacks.max_seq = None
            self._missing.clear()
            self._awaits_keyframe = True
            self._wakeup.set()
        self._is_on = is_on

    async def request_keyframe(self) -> None:
        """Request a key frame (PLI)."""
        # Also sent for RTX SSRCs: they cannot be told from media before the first loss, and senders ignore it.
        table = self._inside.transport._rtp_router.ssrc_table
        for ssrc in [ssrc for ssrc, receiver in table.items() if receiver is self._inside]:
            await self._send_pli(ssrc)

    async def run_nack(self) -> None:
        """Repeat NACKs while packets are missing; ends only by cancellation."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            hole, since, requested_at = self._buffer._origin, time.monotonic(), float("-inf")
            while self._is_on and (self._find_missing() or self._awaits_keyframe):
                now = time.monotonic()
                if self._buffer._origin != hole or not self._missing:
                    hole, since = self._buffer._origin, now
                if now - since > MAX_NACK_WAIT:
                    self._skip()
                if self._awaits_keyframe and now - requested_at > KEYFRAME_PERIOD:
                    requested_at = now
                    await self.request_keyframe()
                await asyncio.sleep(NACK_PERIOD)
                if self._ssrc is not None and self._find_missing():
                    await self._send_nack(self._ssrc, sorted(self._missing))

    def _find_missing(self) -> bool:
        """Whether the buffer still waits for a missing packet."""
        origin = self._buffer._origin
        if origin is not None:
            self._missing -= {number for number in self._missing if uint16_gt(origin, number)}
        return bool(self._missing)

    def _skip(self) -> None:
        """Give up the missing packets."""
        # jitterbuffer.py:93 stops at the first hole, even before a complete key frame: the whole buffer must go. Late
        # packets must not be taken for the start of a stream.
        self._buffer.remove(self._buffer.capacity)
        self._buffer._origin = uint16_add(self._nacks.max_seq, 1)
        self._missing.clear()
        self._awaits_keyframe = True

    async def _on_missing(self, ssrc: int, lost: list[int]) -> None:
        self._ssrc = ssrc
        self._wakeup.set()
        await self._send_nack(ssrc, lost)

    async def _on_frame_loss(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._awaits_keyframe = True
        self._wakeup.set()
        await self._send_pli(ssrc)

    async def _on_rtp(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        await self._handle(packet, arrival_time_ms=arrival_time_ms)
        if self._inside._enabled:
            self._drain()

    def _on_encoded(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        if item is None:
            self._decode(None, block, timeout)
        else:
            self._forward_frame(*item)

    def _drain(self) -> None:
        """Forward every complete frame in the buffer."""
        # jitterbuffer.py:68 releases one frame per arriving packet, and only when the next frame begins: frames that
        # waited behind a hole would stay late for good, and every frame of a still screen would be 1 s late.
        while (packets := self._whole_frame()) and packets[0].payload_type in self._codecs:
            self._buffer.remove(len(packets))
            frame = JitterFrame(b"".join(packet._data for packet in packets), self._time.map(packets[0].timestamp))
            self._forward_frame(self._codecs[packets[0].payload_type], frame)

    def _whole_frame(self) -> list[Any]:
        """Return the packets of the oldest frame if it is complete, up to its marker bit (RFC 7741 section 4.1)."""
        buffer, packets = self._buffer, list[Any]()
        if buffer._origin is None:
            return packets
        for number in range(buffer._origin, buffer._origin + buffer.capacity):
            packet = buffer._packets[number % buffer.capacity]
            if packet is None:
                return []
            if packets and packet.timestamp != packets[0].timestamp:
                return packets
            packets.append(packet)
            if packet.marker:
                return packets
        return []

    def _forward_frame(self, codec: Any, frame: Any) -> None:
        if self._awaits_keyframe and not is_keyframe(codec.name, frame.data):
            return
        self._awaits_keyframe = False
        if frame.data:
            self._on_frame(codec.name, frame.data, frame.timestamp)
        if self.is_decoded:
            self._decode((codec, frame))


def is_keyframe(codec: str, data: bytes) -> bool:
    """Return whether a frame is a VP8 key frame (RFC 6386 section 9.1) or an H.264 IDR picture."""
    match codec.upper():
        case "VP8":
            return len(data) > 5 and not data[0] & 1 and data[3:6] == b"\x9d\x01\x2a"
        case "H264":
            # Annex B, as aiortc puts it together: start codes of four bytes (codecs/h264.py). SPS is 7, IDR 5.
            return any(unit and unit[0] & 31 in (5, 7) for unit in data.split(b"\x00\x00\x01")[1:])
        case _:
            return False


def on_keyframe_wanted(sender: RTCRtpSender, request: Callable[[], None]) -> None:
    """Call `ask` when the far end requests a key frame from a sender of encoded frames."""
    # rtcrtpsender.py:374 notes it for an encoder, which such a sender has not.
    inside: Any = sender
    inside._send_keyframe = request


def received(receiver: RTCRtpReceiver) -> tuple[int, int]:
    """Return the RTP packets a receiver expected so far, and those it received."""
    inside: Any = receiver
    streams = inside._RTCRtpReceiver__remote_streams.values()
    return sum(stream.packets_expected for stream in streams), sum(stream.packets_received for stream in streams)


def feedback(sender: RTCRtpSender) -> tuple[float | None, float | None]:
    """Return the loss (0 to 1) and the round trip (s) of the far end's last report, None if there is none."""
    inside: Any = sender
    for report in inside._RTCRtpSender__stats.values():
        if report.type == "remote-inbound-rtp":
            return report.fractionLost / 256, report.roundTripTime
    return None, None
