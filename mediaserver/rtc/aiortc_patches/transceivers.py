"""Changes that make the media sections of aiortc 1.16 renegotiable, each with its reason and line."""

from collections.abc import Sequence
from typing import Any

from aiortc import MediaStreamTrack, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from aiortc.codecs import is_rtx
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters
from aiortc.rtcsctptransport import DataChunk, RTCSctpTransport

RID_EXTENSIONS = (
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
)

MAX_REASSEMBLY = 1_000_000
"""Bytes of incomplete messages accepted beyond the announced window."""
MAX_PIECES = 2_000
"""SCTP chunks of incomplete messages: a message of 1 MB has some 900."""
MAX_STREAMS = 100
"""SCTP streams on which a client may send."""


def restrict_codecs(transceiver: RTCRtpTransceiver, names: Sequence[str]) -> None:
    """Answer with codecs of these names only, such as "opus", the first first; each with its retransmission."""
    # rtcpeerconnection.py:917 finds them anew in each description it takes; `setCodecPreferences` would have to be
    # called before it has made the transceiver.
    codecs = transceiver._codecs
    chosen: list[Any] = []
    for name in names:
        for codec in codecs:
            if codec.name.lower() == name and codec not in chosen:
                chosen.append(codec)
                chosen += [rtx for rtx in codecs if is_rtx(rtx) and rtx.parameters.get("apt") == codec.payloadType]
    if chosen:
        transceiver._codecs = chosen


def codec_name(transceiver: RTCRtpTransceiver) -> str:
    """Return the codec sent in a section, such as "VP8"."""
    return transceiver._codecs[0].name if transceiver._codecs else ""


def allow_layers(transceiver: RTCRtpTransceiver, offered: Sequence[RTCRtpHeaderExtensionParameters]) -> None:
    """Answer the header extensions that name simulcast layers (RFC 8852), if they are offered."""
    # codecs/__init__.py:65 lacks them, though rtp.py:145 reads them. Chromium lets no later section use an extension
    # that its first ones have not negotiated, and refuses to publish simulcast then.
    known = {extension.uri for extension in transceiver._headerExtensions}
    transceiver._headerExtensions += [
        extension for extension in offered if extension.uri in RID_EXTENSIONS and extension.uri not in known
    ]


def send_track(transceiver: RTCRtpTransceiver, track: MediaStreamTrack, *, stream: str, name: str) -> None:
    """Send a track in a section without a sender, as `a=msid:<stream> <name>`."""
    # rtcpeerconnection.py:230 writes both; its `addTrack` would take any section, and names of its own.
    sender: Any = transceiver.sender
    sender.replaceTrack(track)
    sender._stream_id, sender._track_id = stream, name


async def renew_sender(transceiver: RTCRtpTransceiver) -> None:
    """Stop the sender of a section, so that another can start; the track itself is not stopped."""
    # rtcrtpsender.py:159: a sender starts once, and ends for good with its track. A fresh one has an SSRC of its own.
    inside: Any = transceiver
    old = transceiver.sender
    fresh: Any = RTCRtpSender(transceiver.kind, old.transport)
    inside._RTCRtpTransceiver__sender = fresh
    receiver: Any = transceiver.receiver
    receiver._set_rtcp_ssrc(fresh._ssrc)  # rtcpeerconnection.py:1155
    old.replaceTrack(None)  # rtcrtpsender.py:432 would stop it
    _forget_direction(transceiver, "recvonly")
    await old.stop()


async def renew_receiver(transceiver: RTCRtpTransceiver) -> None:
    """Stop the receiver of a section, so that it uses no resources and another can start."""
    # rtcrtpreceiver.py:400: a receiver starts once, and never ends by itself, not even when its section turns inactive.
    inside: Any = transceiver
    old = transceiver.receiver
    fresh: Any = RTCRtpReceiver(transceiver.kind, old.transport)
    sender: Any = transceiver.sender
    fresh._set_rtcp_ssrc(sender._ssrc)
    _forget_direction(transceiver, "sendonly")
    inside._RTCRtpTransceiver__receiver = fresh
    await old.stop()


def _forget_direction(transceiver: RTCRtpTransceiver, direction: str) -> None:
    # rtcpeerconnection.py:1057 may be about to start all that was agreed on, once the transport stands.
    goes_on = transceiver.currentDirection in ("sendrecv", direction)
    transceiver._setCurrentDirection(direction if goes_on else "inactive")


def recycle_section(transceiver: RTCRtpTransceiver) -> None:
    """Release a section that an offer reuses for another (RFC 9429 section 5.2.2)."""
    # rtcpeerconnection.py:1172 would find the old one there.
    transceiver._set_mline_index(-1)
    transceiver.direction = "inactive"


class Reassembly:
    """Bound the data of messages that a client never completes."""

    def __init__(self, sctp: RTCSctpTransport):
        # rtcsctptransport.py:1184 counts the window down, but takes what comes beyond it.
        inside: Any = sctp
        self._inside = inside
        self._receive = inside._receive_data_chunk
        inside._receive_data_chunk = self._on_chunk

    async def _on_chunk(self, chunk: DataChunk) -> None:
        streams = self._inside._inbound_streams
        if chunk.stream_id not in streams and len(streams) >= MAX_STREAMS:
            return
        # rtcsctptransport.py:570 looks at all pieces of a stream whenever one comes.
        pieces = sum(len(stream.reassembly) for stream in streams.values())
        if pieces < MAX_PIECES and self._inside._advertised_rwnd > -MAX_REASSEMBLY:
            await self._receive(chunk)
