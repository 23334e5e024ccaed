"""Changes to how aiortc 1.16 routes, taps and repairs media, each with its reason and line."""

from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpReceiver, RTCRtpSender
from aiortc.rate import AimdRateControl, BandwidthUsage, RemoteBitrateEstimator
from aiortc.rtcdtlstransport import RTCDtlsTransport, RtpReceiver
from aiortc.rtp import RTCP_PSFB_APP, RtcpPsfbPacket, RtpPacket, pack_remb_fci

from mediaserver.rtc.aiortc_patches.receivers import MidRouter

START_BITRATE = 2_000_000
"""Bandwidth (bit/s) assumed before any measurement; a 1080-line screen share needs about this much."""

MIN_BITRATE = 150_000

DECREASE = 0.8
DECREASE_PERIOD = 400
"""Factor on the estimate, applied once per DECREASE_PERIOD (ms) while delays grow."""


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
