"""What the tests of rtc/ share: a conversation that remembers, aiortc as the browser, and tracks to send."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, Packet, VideoFrame

from mediaserver.bad_messages import BadMessageBudget
from mediaserver.rtc.aiortc_patches.receivers import ConnectTask, end_consent
from mediaserver.rtc.config import Config, RtcLimits
from mediaserver.rtc.sdp.offer import parse_offer
from mediaserver.webrtc.peer import RtcPeer
from pipeline.config import ConversationConfig
from pipeline.events import Command
from pipeline.peer import Peer
from tests.support import fake_conversation

TONE = 1_000


class FakeConversation(fake_conversation.FakeConversation):
    """A conversation that records its input."""

    def __init__(self) -> None:
        super().__init__(ConversationConfig("id-1", "label-1", "local", "local", None, "en", 600, 3600))
        self.chunks = self.heard

    def attach(self, peer: Peer, *, name: str = "") -> None:
        self.calls.append("attach")
        peer.send_event(self.config.session_started_event("local"))

    def detach(self, peer: Peer, *, grace: float) -> None:
        self.calls.append("detach")

    def submit(self, peer: Peer, command: Command) -> None:
        self.commands.append(command)

    def pcm(self) -> np.ndarray[Any, np.dtype[np.int16]]:
        return np.frombuffer(b"".join(chunk.pcm for chunk in self.chunks), np.int16)


class ConnectedPeer:
    """One client connected to one peer."""

    def __init__(
        self, client: RTCPeerConnection, peer: RtcPeer, conversation: FakeConversation, channel: RTCDataChannel | None
    ):
        self.client = client
        self.peer = peer
        self.conversation = conversation
        self.channel = channel
        self.messages: list[str] = []
        self.closed = 0


async def until(condition: Callable[[], object], within: float = 15.0) -> None:
    """Wait for a condition; a test that waits in vain fails."""
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def connected_peer(
    *tracks: MediaStreamTrack | str,
    events: bool = True,
    limits: RtcLimits = RtcLimits(tick=0.05),  # noqa: B008
    lull: float = 0.5,
    edit: Callable[[str], str] = lambda sdp: sdp,
    is_connected: bool = True,
    configuration: RTCConfiguration | None = None,
    bad_messages: BadMessageBudget | None = None,
) -> AsyncIterator[ConnectedPeer]:
    """Connect a client that sends `tracks` (a kind only receives); both ends are closed after it."""
    client = RTCPeerConnection(configuration or RTCConfiguration([]))
    connecting = ConnectTask(client)
    for track in tracks:
        client.addTransceiver(track, "recvonly" if isinstance(track, str) else "sendrecv")
    channel = client.createDataChannel("events") if events else None
    await client.setLocalDescription(await client.createOffer())
    conversation = FakeConversation()

    def on_closed() -> None:
        here.closed += 1

    offer = parse_offer(edit(client.localDescription.sdp))
    here = ConnectedPeer(
        client,
        RtcPeer(
            conversation,
            offer,
            config=Config(lull=lull, limits=limits),
            count_bad_message=partial((bad_messages or BadMessageBudget()).spend, "127.0.0.1"),
            on_closed=on_closed,
        ),
        conversation,
        channel,
    )
    if channel is not None:
        channel.on("message", here.messages.append)
    try:
        answer = await here.peer.answer()
        if is_connected:
            await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            await until(
                lambda: client.connectionState == "connected" and (channel is None or channel.readyState == "open")
            )
        yield here
    finally:
        await here.peer.close()
        await client.close()
        await connecting.settle()
        for transceiver in client.getTransceivers():
            end_consent(transceiver.receiver.transport.transport)


class Microphone(MediaStreamTrack):
    """Sends a 1 kHz tone, or what `make` gives for times (s), in 20 ms frames; pauses while `is_open` is not set."""

    kind = "audio"

    def __init__(
        self,
        rate: int = 48_000,
        channels: int = 1,
        make: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] | None = None,
    ):
        super().__init__()
        self.is_open = asyncio.Event()
        self.is_open.set()
        self._rate = rate
        self._channels = channels
        self._make = make or (lambda t: 8_000 * np.sin(2 * np.pi * TONE * t))
        self._start = time.monotonic()
        self._sent = 0

    async def recv(self) -> AudioFrame:
        if not self.is_open.is_set():
            await self.is_open.wait()
            self._start = time.monotonic() - self._sent / self._rate
        if self.readyState != "live":
            raise MediaStreamError
        count = self._rate // 50
        await asyncio.sleep(max(0.0, self._start + self._sent / self._rate - time.monotonic()))
        pcm = self._make((np.arange(count) + self._sent) / self._rate).astype(np.int16)
        frame = AudioFrame("s16", "mono" if self._channels == 1 else "stereo", count)
        frame.planes[0].update(np.repeat(pcm, self._channels).tobytes())
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._sent, Fraction(1, self._rate)
        self._sent += count
        return frame


class Camera(MediaStreamTrack):
    """Sends pictures, or packets as they are, at 20 a second; the last one again and again."""

    kind = "video"

    def __init__(self, *items: "VideoFrame | Packet[Any]"):
        super().__init__()
        self._items: Iterator[VideoFrame | Packet[Any]] = iter(items)
        self._last = items[-1]
        self._count = 0

    async def recv(self) -> "VideoFrame | Packet[Any]":
        await asyncio.sleep(0.05)
        self._last = item = next(self._items, self._last)
        self._count += 1
        item.pts, item.time_base = self._count * 4_500, Fraction(1, 90_000)
        return item


class Packets(MediaStreamTrack):
    """Sends payloads as they are, each with its RTP stamp, at 50 a second, and then nothing."""

    kind = "audio"

    def __init__(self, packets: Sequence[tuple[bytes, int]]):
        super().__init__()
        self._packets = iter(packets)

    async def recv(self) -> "Packet[Any]":
        await asyncio.sleep(0.02)
        for payload, stamp in self._packets:
            packet = Packet(payload)
            packet.pts, packet.time_base = stamp, Fraction(1, 48_000)
            return packet
        await asyncio.Event().wait()
        raise AssertionError


def picture(width: int, height: int, luma: int = 200) -> VideoFrame:
    """A plain picture."""
    frame = VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (luma, 90, 160), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def loudest(pcm: np.ndarray[Any, Any], rate: int) -> float:
    """The frequency (Hz) with the most energy."""
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * rate / len(pcm))
