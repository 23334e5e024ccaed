"""Repairs and taps the video that aiortc 1.16 receives, each change with its reason and line."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.codecs import depayload, is_rtx
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket
from aiortc.utils import uint16_add, uint16_gt

from mediaserver.rtc.frame_size import FrameSizeError, frame_size
from mediaserver.rtc.h264_units import ParameterSets, is_entry, is_idr
from mediaserver.rtc.layer_selector import Choice, LayerSelector

NACK_PERIOD = 0.1
"""Seconds between NACKs for packets that are still missing."""

MAX_NACK_WAIT = 0.8
"""Seconds a frame may wait for a missing packet before a key frame is requested instead."""

KEYFRAME_PERIOD = 0.4
"""Seconds between requests for a key frame, until it arrives."""

MAX_KEYFRAME_WAIT = 3.0
"""Seconds without a key frame after which H.264 is decoded all the same: its sender may refresh without key frames."""


class VideoTap:
    """Taps a video decoder: passes on complete encoded frames whose reference frames were passed on too.

    Missing packets are requested by NACK until it is too late; then frames are dropped until a key frame arrives.
    """

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        *,
        on_frame: Callable[[str, bytes, int], None],
        parameter_sets: Mapping[int, bytes] = MappingProxyType({}),
        repairs: Mapping[int, int] = MappingProxyType({}),
    ):
        """`parameter_sets`: those of the description, by payload type. `repairs`: the SSRCs that RTX SSRCs repair."""
        inside: Any = receiver
        self.is_decoded = True
        self._layers = LayerSelector()
        self._described_sets = parameter_sets
        self._sets: dict[int, ParameterSets] = {}
        self._is_respelt = False
        # rtcrtpreceiver.py:400 learns of one pair alone, from a section with two SSRCs.
        self._repaired: dict[int, int] = inside._RTCRtpReceiver__rtx_ssrc
        self._repaired.update(repairs)
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
            self._restart()
        self._is_on = is_on

    async def request_keyframe(self) -> None:
        """Request a key frame (PLI)."""
        # Until a layer is chosen also for RTX SSRCs: they cannot be told from media before the first loss, and senders
        # ignore it.
        table = self._inside.transport._rtp_router.ssrc_table
        known = [ssrc for ssrc, receiver in table.items() if receiver is self._inside]
        # Never for the other layers: the key frames of all at once are a burst that costs the one that is needed.
        for ssrc in [self._layers.chosen] if self._layers.chosen in known else known:
            await self._send_pli(ssrc)

    async def run_nack(self) -> None:
        """Repeat NACKs while packets are missing; ends only by cancellation."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            hole, since, requested_at = self._buffer._origin, time.monotonic(), float("-inf")
            awaits_since = since
            while self._is_on and (self._find_missing() or self._awaits_keyframe):
                now = time.monotonic()
                if self._buffer._origin != hole or not self._missing:
                    hole, since = self._buffer._origin, now
                if now - since > MAX_NACK_WAIT:
                    self._skip()
                awaits_since = awaits_since if self._awaits_keyframe else now
                if now - awaits_since > MAX_KEYFRAME_WAIT and self._is_h264:
                    self._awaits_keyframe = False
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
        if not self._inside._enabled or not await self._is_chosen(packet):
            return
        await self._handle(packet, arrival_time_ms=arrival_time_ms)
        self._drain()

    async def _is_chosen(self, packet: RtpPacket) -> bool:
        """Whether a packet is of the one simulcast layer that is taken; others would be mixed into one buffer."""
        codec = self._codecs.get(packet.payload_type)
        if codec is None:
            return False
        if is_rtx(codec):
            # libwebrtc probes the bandwidth with packets that came long ago. jitterbuffer.py:49 would take one that is
            # 100 numbers old for a stream that starts afresh, and wait for its successors for ever.
            number = int.from_bytes(packet.payload[:2])  # RFC 4588 section 4: of the original packet
            return self._repaired.get(packet.ssrc) == self._layers.chosen and number in self._missing
        now = time.monotonic()
        match self._layers.push(packet.ssrc, now, lambda: _keyframe_pixels(codec, packet.payload)):
            case Choice.DROP:
                if self._layers.wants_keyframe(packet.ssrc, now):
                    await self._send_pli(packet.ssrc)
                return False
            case Choice.SWITCH:
                self._restart()
        return True

    def _restart(self) -> None:
        """Forget the packets before the next one, which is of another stream or comes after a pause."""
        self._buffer.remove(self._buffer.capacity if self._buffer._origin is not None else 0)
        self._buffer._origin = self._nacks.max_seq = None
        self._missing.clear()
        self._awaits_keyframe = True
        self._wakeup.set()

    @property
    def _is_h264(self) -> bool:
        return all(codec.name.upper() in ("H264", "RTX") for codec in self._codecs.values())

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
        name, payload_type = codec.name.upper(), codec.payloadType
        if name == "H264":
            sets = self._sets.setdefault(payload_type, ParameterSets(self._described_sets.get(payload_type, b"")))
            frame.data = sets.complete(frame.data)
        begins = is_keyframe(name, frame.data)
        if self._awaits_keyframe and not begins:
            return
        if begins:
            self._measure(name, frame.data)
        # After a loss FFmpeg would show the old picture in the parts that are not refreshed yet; a decoder that begins
        # at a recovery point shows nothing until all are (libavcodec/h264_picture.c).
        if self._awaits_keyframe and name == "H264" and not is_idr(frame.data):
            self._is_respelt = not self._is_respelt
        self._awaits_keyframe = False
        if frame.data:
            self._on_frame(codec.name, frame.data, frame.timestamp)
        if self.is_decoded:
            # rtcrtpreceiver.py:79 makes a decoder for each new name of a codec.
            self._decode((replace(codec, mimeType=codec.mimeType.lower()) if self._is_respelt else codec, frame))

    def _measure(self, codec: str, data: bytes) -> None:
        try:
            size = frame_size(codec, data)
        except FrameSizeError:
            return  # the decoder's queue refuses and reports it
        if size is not None:
            self._layers.measure(size[0] * size[1])


def _keyframe_pixels(codec: RTCRtpCodecParameters, payload: bytes) -> int | None:
    """Return the pixels of the key frame that a packet begins, or None if it begins none."""
    try:
        data = depayload(codec, payload) if payload else b""
        size = frame_size(codec.name, data) if is_keyframe(codec.name, data) else None
    except ValueError:
        return None
    return None if size is None else size[0] * size[1]


def is_keyframe(codec: str, data: bytes) -> bool:
    """Return whether decoding can begin with a frame: a VP8 key frame (RFC 6386 section 9.1), or as `is_entry` says."""
    match codec.upper():
        case "VP8":
            return len(data) > 5 and not data[0] & 1 and data[3:6] == b"\x9d\x01\x2a"
        case "H264":
            return is_entry(data)
        case _:
            return False
