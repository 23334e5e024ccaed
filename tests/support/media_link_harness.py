"""A recording listener and an aiortc client for tests of media links."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from mediaserver.livekit.media.media_link import MediaLink
from mediaserver.livekit.media.types import LOSSY, RELIABLE, Answer, LinkState, LocalOffer, Outgoing
from mediaserver.rtc.aiortc_patches.media import route_by_mid
from mediaserver.rtc.aiortc_patches.receivers import ConnectTask, end_consent
from mediaserver.rtc.config import Config, RtcLimits
from pipeline.errors import MediaError
from pipeline.media import AudioChunk, ScreenFrame
from tests.support.rtc_harness import until

VOICE = Outgoing("TR_voice", "PA_assistant|TR_voice", "audio")


class Events:
    """Records the events of a link."""

    def __init__(self) -> None:
        self.chunks: dict[str, list[AudioChunk]] = {}
        self.frames: dict[str, list[ScreenFrame]] = {}
        self.pauses: list[str] = []
        self.data: list[tuple[str, bytes]] = []
        self.states: list[LinkState] = []
        self.faults: list[tuple[str, MediaError]] = []

    def on_audio(self, mid: str, chunk: AudioChunk) -> None:
        self.chunks.setdefault(mid, []).append(chunk)

    def on_frame(self, mid: str, frame: ScreenFrame) -> None:
        self.frames.setdefault(mid, []).append(frame)

    def on_pause(self, mid: str) -> None:
        self.pauses.append(mid)

    def on_data(self, label: str, data: bytes) -> None:
        self.data.append((label, data))

    def on_state(self, state: LinkState) -> None:
        self.states.append(state)

    def on_fault(self, mid: str, error: MediaError) -> None:
        self.faults.append((mid, error))

    def pcm(self, mid: str) -> NDArray[np.int16]:
        return np.frombuffer(b"".join(chunk.pcm for chunk in self.chunks.get(mid, ())), np.int16)


class Sink:
    """Records the media that a client receives in one section."""

    def __init__(self, receiver: RTCRtpReceiver):
        self.heard: list[NDArray[np.int16]] = []
        self.seen: list[tuple[int, int, int]] = []
        self._track = receiver.track
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while True:
                frame = await self._track.recv()
                if isinstance(frame, AudioFrame):
                    self.heard.append(frame.to_ndarray().reshape(-1, 2)[:, 0].astype(np.int16))
                elif isinstance(frame, VideoFrame):
                    luma = int(np.median(frame.to_ndarray(format="gray")))
                    self.seen.append((frame.width, frame.height, luma))
        except MediaStreamError:
            return

    def stop(self) -> None:
        """Take nothing more; a track that never began would not end."""
        self._task.cancel()

    def sound(self, last: int) -> NDArray[np.int16]:
        return np.concatenate(self.heard[-last:])


class Client:
    """aiortc as a LiveKit client: with a single connection it alone offers; a dual one has another, `down`."""

    def __init__(self, *, is_dual: bool = False, limits: RtcLimits = RtcLimits(tick=0.05), lull: float = 0.3):  # noqa: B008
        self.raw = RTCPeerConnection(RTCConfiguration([]))
        self.down = RTCPeerConnection(RTCConfiguration([]))
        self.events = Events()
        self.link = MediaLink(self.events, is_dual=is_dual, config=Config(lull=lull, limits=limits))
        self.offers: list[LocalOffer] = []
        self.answers: list[Answer] = []
        self.messages: list[tuple[str, bytes]] = []
        self.sinks: dict[str, Sink] = {}
        self.channels: dict[str, RTCDataChannel] = {}
        self._connecting = [ConnectTask(self.raw), ConnectTask(self.down)]
        self.down.on("datachannel", self._listen)

    def prepare(self, audios: int = 3, videos: int = 3, *, data: bool = True) -> None:
        """Offer what livekit-client offers first."""
        for kind in ["audio"] * audios + ["video"] * videos:
            self.raw.addTransceiver(kind, "recvonly")
        if data:
            for label, options in ((LOSSY, {"ordered": False, "maxRetransmits": 0}), (RELIABLE, {})):
                channel = self.channels[label] = self.raw.createDataChannel(label, **options)  # type: ignore[arg-type]
                self._listen(channel)

    def publish(self, track: MediaStreamTrack) -> str:
        """Send a track in a new section; its id is the cid."""
        self.raw.addTransceiver(track, "sendonly")
        return track.id

    async def negotiate(self, edit: Callable[[str], str] = lambda sdp: sdp) -> Answer:
        """Offer once, and take the answer."""
        if self.answers:
            # An aiortc that offers stumbles over an answer while it still connects.
            await until(lambda: self.raw.getTransceivers()[0].receiver.transport.state == "connected")
        if not self.answers and self.raw.getTransceivers():
            route_by_mid(self.raw.getTransceivers()[0].receiver.transport)  # as browsers do
        await self.raw.setLocalDescription(await self.raw.createOffer())
        answer = await self.link.answer(edit(self.raw.localDescription.sdp))
        self.answers.append(answer)
        await self.raw.setRemoteDescription(RTCSessionDescription(answer.sdp, "answer"))
        self._take_tracks(self.raw)
        return answer

    async def subscribe(self) -> LocalOffer:
        """Have the link offer what it sends, and answer."""
        offered = await self.link.offer()
        self.offers.append(offered)
        await self.down.setRemoteDescription(RTCSessionDescription(offered.sdp, "offer"))
        await self.down.setLocalDescription(await self.down.createAnswer())
        await self.link.take_answer(self.down.localDescription.sdp)
        self._take_tracks(self.down)
        return offered

    def _listen(self, channel: RTCDataChannel) -> None:
        channel.on("message", lambda message: self.messages.append((channel.label, message)))

    def _take_tracks(self, connection: RTCPeerConnection) -> None:
        for transceiver in connection.getTransceivers():
            mid = transceiver.mid
            if mid is not None and transceiver.currentDirection == "recvonly" and mid not in self.sinks:
                self.sinks[mid] = Sink(transceiver.receiver)

    async def connected(self) -> None:
        await until(
            lambda: (
                self.raw.connectionState == "connected"
                and all(channel.readyState == "open" for channel in self.channels.values())
            )
        )

    async def close(self) -> None:
        await self.link.close()
        for sink in self.sinks.values():
            sink.stop()
        for connection, connecting in zip((self.raw, self.down), self._connecting, strict=True):
            await connection.close()
            await connecting.settle()
            for transceiver in connection.getTransceivers():
                await transceiver.stop()
                end_consent(transceiver.receiver.transport.transport)


def mid_of(answer: Answer, cid: str) -> str:
    """The section in which a client sends a track."""
    return next(section.mid for section in answer.sections if section.cid == cid)


@asynccontextmanager
async def client(
    *,
    is_dual: bool = False,
    limits: RtcLimits = RtcLimits(tick=0.05),  # noqa: B008
    lull: float = 0.3,
) -> AsyncIterator[Client]:
    """A client that is closed in the end, with its link."""
    here = Client(is_dual=is_dual, limits=limits, lull=lull)
    try:
        yield here
    finally:
        await here.close()
