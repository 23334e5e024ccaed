"""Private parts of aiortc 1.16 and aioice 0.13, each with its reason, file and line.

Only this file, `ice_checks.py`, `media.py` and `transceivers.py` use any.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import aiortc
import aiortc.rtcrtpreceiver
from aiortc import RTCDataChannel, RTCPeerConnection, RTCRtpReceiver
from aiortc.codecs import CODECS, is_rtx
from aiortc.exceptions import InvalidStateError
from aiortc.rtcdtlstransport import RtpReceiver, RtpRouter
from aiortc.rtcicetransport import RTCIceTransport
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import StreamStatistics
from aiortc.rtp import RtcpByePacket, RtpPacket
from aiortc.sdp import MediaDescription

from mediaserver.rtc.decoder_budget import MAX_PIXELS_PER_NETWORK
from mediaserver.rtc.frame_size import MAX_PIXELS, FrameSizeError, frame_size

VERSION = "1.16."

MAX_BACKLOG = 90
"""Encoded frames that may wait for a video's decoder: 3 s."""

DECODER_DEADLINE = 1.0
"""Seconds that a stopped receiver waits for its decoder; the thread ends later by itself."""
_DECODER_POLL = 0.005

MAX_SOURCES = 31
"""Most SSRCs of one section in an RTCP report, whose count has 5 bits (RFC 3550 section 6.4.2)."""


def refuse_other_versions(version: str) -> None:
    """Raise ImportError unless `version` is one whose private parts were read for this file."""
    if not version.startswith(VERSION):
        raise ImportError(f"aiortc {VERSION}x is needed, {version} is installed; run: pip install 'aiortc==1.16.0'")


refuse_other_versions(aiortc.__version__)

# codecs/__init__.py:34: the Opus parameters of our answers, which ignore the offer's. With in-band FEC a sender
# repeats each frame in the next packet while packets are lost (RFC 7587 section 6.1).
CODECS["audio"][0].parameters["useinbandfec"] = 1


def has_common_codec(media: MediaDescription, names: set[str]) -> bool:
    """Return whether aiortc and an offered section share a codec of these names, such as "opus"."""
    # rtcpeerconnection.py:925 raises OperationError when nothing is shared, with half the connection built.
    common = find_common_codecs(CODECS[media.kind], media.rtp.codecs)
    return any(codec.name.lower() in names for codec in common if not is_rtx(codec))


class LivenessMonitor:
    """Records when (monotonic clock, s) the far end last sent media, data or an ICE check."""

    def __init__(self, transport: RTCIceTransport):
        # aioice/ice.py:284: a datagram goes to Connection.data_received, an ICE check to request_received. ICE checks
        # count, as a peer that only types has no RTP to send. aioice itself notices a dead peer after 30 s only.
        self.last = time.monotonic()
        connection: Any = transport._connection
        self._data_received = connection.data_received
        self._request_received = connection.request_received
        connection.data_received = self._on_data
        connection.request_received = self._on_request

    def _on_data(self, data: bytes, component: int) -> None:
        # rtcdtlstransport.py:650 reads data[0] unasked: one empty datagram from anywhere would end the connection.
        if data:
            self.last = time.monotonic()
            self._data_received(data, component)

    def _on_request(self, message: object, addr: tuple[str, int], protocol: object) -> None:
        self.last = time.monotonic()
        self._request_received(message, addr, protocol)


def end_consent(transport: RTCIceTransport) -> None:
    """Stop the consent checks of a closed transport."""
    # aioice/ice.py:635: a connect() that was about to succeed while close() ran starts them afterwards, for good.
    task = transport._connection._query_consent_task
    if task is not None:
        task.cancel()


class MidRouter(RtpRouter):
    """Routes also by the MID header extension, the only mark of a video when an offer names no SSRC."""

    def route_rtp(self, packet: RtpPacket) -> RtpReceiver | None:
        """Find the receiver of a packet (RFC 8843 section 9.2); rtcdtlstransport.py:309 looks at the SSRC only."""
        if packet.ssrc not in self.ssrc_table and packet.extensions.mid is not None:
            named = self.mid_table.get(packet.extensions.mid)
            if named is not None and named in self.payload_type_table.get(packet.payload_type, ()):
                self.ssrc_table[packet.ssrc] = named
        return super().route_rtp(packet)


class ConnectTask:
    """Owns the tasks in which aiortc connects; aiortc keeps no reference (rtcpeerconnection.py:868, 1057)."""

    def __init__(self, connection: RTCPeerConnection):
        inside: Any = connection
        self._connect = inside._RTCPeerConnection__connect
        self._tasks: set[asyncio.Task[object]] = set()
        inside._RTCPeerConnection__connect = self._run

    async def settle(self) -> None:
        """Wait until every task has ended; they end once the connection is closed."""
        await asyncio.sleep(0)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._connect()
        except (InvalidStateError, ConnectionError):
            return  # closed meanwhile; aiortc would leave the exception to the garbage collector's log
        finally:
            self._tasks.discard(task)


class _BoundedQueue(queue.Queue[Any]):
    """Queues encoded frames for a decoder: few of them, never an empty one, and none of more than 16 megapixels.

    `claim` takes the pixels of each key frame, and returns whether they may be decoded beside the sender's others.
    """

    def __init__(
        self,
        on_overrun: Callable[[], None],
        on_oversized: Callable[[str], None] = lambda _: None,
        claim: Callable[[int], bool] = lambda _: True,
    ):
        super().__init__()
        self._claim = claim
        self._on_overrun = on_overrun
        self._on_oversized = on_oversized
        self._is_refused = False  # what comes refers to a key frame that was refused

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Queue an encoded frame, or None to end the decoder."""
        if item is not None:
            # codecs/opus.py:25, codecs/vpx.py:168: FFmpeg takes an empty packet for the end of the stream, and every
            # later one fails. A padding-only RTP packet becomes such a frame (rtcrtpreceiver.py:545).
            codec, frame = item
            if not frame.data or self._is_oversized(codec.name, frame.data):
                return
            # rtcrtpreceiver.py:291: this queue has no bound of its own.
            if self.qsize() >= MAX_BACKLOG:
                self.empty_out()
                self._on_overrun()
        super().put(item, block, timeout)

    def _is_oversized(self, codec: str, data: bytes) -> bool:
        # A VP8 key frame of 67 bytes can declare 16383 x 16383: the decoder would take 0.9 GB before it fails.
        try:
            size = frame_size(codec, data)
        except FrameSizeError as error:
            self._on_oversized(str(error))
            self._is_refused = True
        else:
            if size is not None:
                pixels = size[0] * size[1]
                reason = f"{MAX_PIXELS} are accepted"
                self._is_refused = pixels > MAX_PIXELS
                if not self._is_refused and not self._claim(pixels):
                    self._is_refused = True
                    reason = f"the videos from your address have {MAX_PIXELS_PER_NETWORK} together at most"
                if self._is_refused:
                    self._on_oversized(f"{size[0]}x{size[1]} pixels; {reason}")
        return self._is_refused

    def empty_out(self) -> None:
        """Drop every queued frame."""
        try:
            while True:
                self.get_nowait()
        except queue.Empty:
            return


class _DecoderErrorFlag(threading.Event):
    """The flag a decoder thread sets on an undecodable frame (rtcrtpreceiver.py:86); also calls `on_fault`."""

    def __init__(self, on_fault: Callable[[], None]):
        super().__init__()
        self._on_fault = on_fault
        self._loop = asyncio.get_running_loop()

    def set(self) -> None:
        """Set the flag; aiortc then requests a key frame."""
        super().set()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_fault)


class _Statistics(StreamStatistics):
    """Statistics whose jitter always fits an RTCP report."""

    @property
    def jitter(self) -> int:
        """Interarrival jitter in units of the RTP clock."""
        # rtcrtpreceiver.py:596: stamps that leap to and fro make it more than 32 bits, at which packing the report
        # ends the RTCP task, and stop() waits for that for ever (rtcrtpreceiver.py:436).
        return min(super().jitter, 0xFFFFFFFF)


aiortc.rtcrtpreceiver.StreamStatistics = _Statistics  # type: ignore[misc]


class AudioReceiverHook:
    """Passes on the packets of one aiortc audio receiver as they arrive; BYE does not end it.

    No decoder thread, frame queue or jitter buffer: aiortc's adds 70 ms always, and 200 ms for good after one loss
    (rtcrtpreceiver.py:295, jitterbuffer.py:88). Make it before the receiver starts. `on_packet` takes SSRC, sequence
    number, timestamp and payload, and must not raise: that would end the whole connection (rtcdtlstransport.py:576).
    """

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        *,
        on_packet: Callable[[int, int, int, bytes], None],
        on_end: Callable[[], object],
    ):
        inside: Any = receiver
        self._inside = inside
        self._on_packet = on_packet
        self._on_end = on_end
        self._is_closed = False
        self._codecs: dict[int | None, RTCRtpCodecParameters] = inside._RTCRtpReceiver__codecs
        self._streams: dict[int, StreamStatistics] = inside._RTCRtpReceiver__remote_streams
        self._stop = inside.stop
        inside.receive = self._receive
        inside.stop = self._on_stop
        inside._handle_disconnect = on_end
        inside._handle_rtp_packet = self._on_rtp

    def close(self) -> None:
        """Drop packets that still arrive, before any work is done."""
        self._is_closed = True

    async def _receive(self, parameters: RTCRtpReceiveParameters) -> None:
        # rtcrtpreceiver.py:392, but for the thread.
        inside = self._inside
        if not inside._RTCRtpReceiver__started:
            self._codecs.update({codec.payloadType: codec for codec in parameters.codecs})
            inside.transport._register_rtp_receiver(inside, parameters)
            inside._RTCRtpReceiver__rtcp_task = asyncio.ensure_future(inside._run_rtcp())
            inside._RTCRtpReceiver__started = True

    async def _on_rtp(self, packet: RtpPacket, arrival_time_ms: int) -> None:  # noqa: ARG002
        # rtcrtpreceiver.py:471. What is left out is of no use for audio: bandwidth estimation, RTX, NACK, PLI.
        codec = self._codecs.get(packet.payload_type)
        if codec is None or self._is_closed or not self._inside._enabled:
            return
        stream = self._streams.get(packet.ssrc)
        if stream is None:
            while len(self._streams) >= MAX_SOURCES:
                del self._streams[next(iter(self._streams))]
            stream = self._streams[packet.ssrc] = _Statistics(codec.clockRate)
        stream.add(packet)
        self._on_packet(packet.ssrc, packet.sequence_number, packet.timestamp, packet.payload)

    async def _on_stop(self) -> None:
        await self._stop()
        self._on_end()


class VideoReceiverHook:
    """Keeps one aiortc video receiver alive after BYE and bad packets. Create it before the receiver starts."""

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        *,
        on_fault: Callable[[], None],
        on_oversized: Callable[[str], None],
        on_bye: Callable[[], None],
        claim: Callable[[int], bool] = lambda _: True,
    ):
        inside: Any = receiver
        self._inside = inside
        self._on_bye = on_bye
        self._alarm = _DecoderErrorFlag(on_fault)
        self._inbox = _BoundedQueue(self._alarm.set, on_oversized, claim)
        self._handle_rtcp = inside._handle_rtcp_packet
        inside._RTCRtpReceiver__decoder_error = self._alarm
        inside._RTCRtpReceiver__decoder_queue = self._inbox
        inside._handle_rtcp_packet = self._on_rtcp
        # rtcrtpreceiver.py:649 joins the thread on the event loop, however long its frame takes to decode.
        self._stop = inside.stop
        inside.stop = self._on_stop
        inside._RTCRtpReceiver__stop_decoder = self._stop_decoder
        self._ending: threading.Thread | None = None

    def enable(self, is_wanted: bool) -> None:
        """Turn decoding on, or drop packets before any work is done (rtcrtpreceiver.py:478)."""
        self._inside._enabled = is_wanted

    @property
    def remote_address(self) -> str:
        """The IP address that media comes from; "" while there is no path."""
        # aioice/ice.py:449: the nominated pair of each component, of which RTP and RTCP share one.
        pair = self._inside.transport.transport._connection._nominated.get(1)
        return "" if pair is None else str(pair.remote_addr[0])

    @property
    def is_broken(self) -> bool:
        """Whether the decoder thread has ended; it survives FFmpeg's errors only (rtcrtpreceiver.py:77)."""
        thread = self._thread
        return thread is not None and not thread.is_alive()

    @property
    def packets(self) -> int:
        """The number of RTP packets received."""
        return sum(stream.packets_received for stream in self._inside._RTCRtpReceiver__remote_streams.values())

    async def request_keyframe(self) -> None:
        """Request a key frame by PLI (RFC 4585 section 6.3.1), if the SSRC is known."""
        table = self._inside.transport._rtp_router.ssrc_table
        for ssrc in [ssrc for ssrc, receiver in table.items() if receiver is self._inside]:
            await self._inside._send_rtcp_pli(ssrc)

    def end(self) -> bool:
        """End the decoder after the frame it decodes, without waiting for it; False if none runs."""
        self.enable(False)
        if self._thread is None or not self._thread.is_alive():
            return False
        self._inbox.empty_out()
        self._inbox.put(None)
        return True

    @property
    def _thread(self) -> threading.Thread | None:
        # None once it has been told to end: the queue must not be emptied again of what ends it.
        thread: threading.Thread | None = self._inside._RTCRtpReceiver__decoder_thread
        return thread

    def _stop_decoder(self) -> None:
        if self._thread is not None:
            self.end()
            self._ending = self._thread
            self._inside._RTCRtpReceiver__decoder_thread = None

    async def _on_stop(self) -> None:
        await self._stop()
        deadline = time.monotonic() + DECODER_DEADLINE
        while self._ending is not None and self._ending.is_alive() and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_DECODER_POLL)

    async def _on_rtcp(self, packet: object) -> None:
        # rtcrtpreceiver.py:468 ends the decoder and the track for good on BYE. But a sender may say BYE when it pauses
        # and go on later (RFC 3550 section 6.6), and no renegotiation would bring the track back.
        if isinstance(packet, RtcpByePacket):
            self._on_bye()
        else:
            await self._handle_rtcp(packet)


def is_flushed(channel: RTCDataChannel) -> bool:
    """Return whether every message was acknowledged; `bufferedAmount` counts only those SCTP has not taken yet."""
    sctp = channel.transport
    return not (channel.bufferedAmount or sctp._outbound_queue or sctp._sent_queue)
