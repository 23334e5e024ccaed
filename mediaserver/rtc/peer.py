"""One RTCPeerConnection as a peer of a conversation."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, InvalidStateError, OperationError
from aiortc.rtcdtlstransport import RTCDtlsTransport
from loguru import logger

from mediaserver.rtc.aiortc_private import Connecting, Pulse, end_consent, route_by_mid
from mediaserver.rtc.candidates import MAX_CANDIDATES, is_mdns, parse_candidate
from mediaserver.rtc.channel import EventsChannel
from mediaserver.rtc.config import Config
from mediaserver.rtc.host import Host
from mediaserver.rtc.microphone import Microphone
from mediaserver.rtc.offer import Offer, OfferError, Section
from mediaserver.rtc.video import Video, choose_screen
from mediaserver.rtc.voice import VoiceTrack
from mediaserver.wire import parse_command, render
from pipeline.errors import FaultCode, ProtocolError
from pipeline.events import EndReason, Event, NameTracks, SessionEnded, SessionStarted, fault_from
from pipeline.media import AudioChunk, ScreenFrame, SpeechFrame

MAX_MESSAGE = 65_536
MAX_BAD_MESSAGES = 20

GRACE = 15.0
"""Seconds in which a client that was lost may come back to its conversation."""

_MDNS_DEADLINE = 2.0
_CLOSE_DEADLINE = 5.0
_DRAIN_DEADLINE = 1.0
_FLUSH_POLL = 0.02


class _Over(Exception):
    """Leaves the peer's task group, which ends all that runs in it."""


class RtcPeer:
    """Made for one offer: `answer` attaches it to the conversation, and whatever ends it detaches it."""

    def __init__(self, conversation: Host, offer: Offer, *, config: Config, on_closed: Callable[[], None]):
        self._conversation = conversation
        self._offer = offer
        self._config = config
        self._on_closed = on_closed
        urls = [url for server in config.ice_servers for url in server.urls if url.startswith("stun:")]
        # An empty list is not None, for which aiortc would ask a public STUN server (rtcicetransport.py:215).
        self._connection = RTCPeerConnection(
            RTCConfiguration([RTCIceServer(urls)] if urls else [], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._connection.on("connectionstatechange", self._on_state)
        self._connecting = Connecting(self._connection)
        self._voice = VoiceTrack()
        self._channel = EventsChannel(is_offered=offer.has_data, on_message=self._on_message)
        self._connection.on("datachannel", self._channel.adopt)
        self._microphone: Microphone | None = None
        self._videos: list[Video] = []
        self._names: dict[str, str] = {}
        self._label = ""
        self._candidates = 0
        self._bad_messages = 0
        self._connected_at: float | None = None
        self._pulse: Pulse | None = None
        self._over = asyncio.Event()
        self._end_of = ("", False)  # why, and whether politely
        self._has_farewell = False
        self._has_left = False
        self._grace = GRACE
        self._is_hung_up = False
        self._life: asyncio.Task[None] | None = None
        self._group: asyncio.TaskGroup | None = None

    # Upward: what the transport's edge calls.

    @property
    def is_over(self) -> bool:
        """Whether the peer has ended, or is about to."""
        return self._over.is_set()

    async def answer(self) -> str:
        """Attach to the conversation and give the SDP answer, with all our candidates. Raises `OfferError`."""
        self._conversation.attach(self)
        try:
            sdp = await self._negotiate()
            self._life = asyncio.create_task(self._live(), name="rtc-peer")
            self._life.add_done_callback(_report)
        except (ValueError, InternalError, InvalidStateError, OperationError) as error:
            raise OfferError(f"The offer cannot be answered: {error}") from error
        finally:
            if self._life is None:
                self._end("not answered")
                self._leave()
                await self._hang_up()
        await asyncio.sleep(0)  # `_live` opens its group
        return sdp

    def add_candidate(self, text: str) -> None:
        """Take a trickled candidate. Raises `ProtocolError`."""
        candidate = parse_candidate(text)
        if candidate is None or self.is_over or self._group is None or self._candidates >= MAX_CANDIDATES:
            return
        self._candidates += 1
        self._group.create_task(self._reach(candidate))

    async def close(self, *, is_goodbye: bool = False) -> None:
        """End the peer and wait until nothing of it is left; may be called any number of times, from anywhere.

        After `is_goodbye`, nobody is waited for: the conversation ends if this was its last peer.
        """
        if is_goodbye:
            self._grace = 0.0
        self._end("closed")
        if self._life is None:
            await self._hang_up()
        else:
            await asyncio.wait([self._life])

    # Downward: what the conversation calls.

    def tell(self, event: Event) -> None:
        """Send an event on the data channel, or keep it until that opens."""
        if self.is_over:
            return
        if isinstance(event, SessionStarted):
            self._label = event.label
        self._has_farewell |= isinstance(event, SessionEnded)
        body = render(event, self._label)
        if body is not None and not self._channel.send(json.dumps(body, ensure_ascii=False, separators=(",", ":"))):
            self._end(FaultCode.SLOW_CONSUMER.value)

    def play(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        self._voice.play(frame.opus)

    def flush(self) -> None:
        """Send nothing more of what was played."""
        self._voice.flush()

    def dismiss(self, reason: EndReason) -> None:
        """Close once the client has all it was told, `session_ended` last."""
        if not self._has_farewell:
            self.tell(SessionEnded(reason))
        self._end(f"dismissed: {reason.value}", politely=True)

    # Building.

    async def _negotiate(self) -> str:
        self._prepare_audio()
        await self._connection.setRemoteDescription(RTCSessionDescription(self._offer.sdp, "offer"))
        transport = self._transport()
        route_by_mid(transport)
        self._pulse = Pulse(transport.transport)
        self._take_tracks()
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        self._choose_screen()
        return self._connection.localDescription.sdp

    def _prepare_audio(self) -> None:
        """Say in advance which audio section hears the user and which speaks; the rest are answered inactive."""
        sections = [section for section in self._offer.sections if section.kind == "audio"]
        mouth = next((section for section in sections if section.receives), None)
        ear = self._ear()
        opus = [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.name.lower() == "opus"]
        for section in sections:
            speaks, hears = section is mouth, section is ear
            direction = ("sendrecv" if hears else "sendonly") if speaks else ("recvonly" if hears else "inactive")
            transceiver = self._connection.addTransceiver(self._voice if speaks else "audio", direction)
            transceiver.setCodecPreferences(opus)  # our packets are Opus; others would carry them as noise

    def _ear(self) -> Section | None:
        return next((section for section in self._offer.sections if section.kind == "audio" and section.sends), None)

    def _take_tracks(self) -> None:
        receivers = {transceiver.mid: transceiver.receiver for transceiver in self._connection.getTransceivers()}
        ear = self._ear()
        if ear is not None:
            self._microphone = self._hear_with(receivers[ear.mid])
        for section in self._offer.sections:
            if section.kind == "video" and section.sends:
                self._videos.append(self._watch_with(section.mid, receivers[section.mid]))

    def _hear_with(self, receiver: RTCRtpReceiver) -> Microphone:
        return Microphone(receiver, lull=self._config.lull, on_chunk=self._on_chunk, on_fault=self._conversation.blame)

    def _watch_with(self, mid: str, receiver: RTCRtpReceiver) -> Video:
        return Video(mid, receiver, on_frame=self._on_frame, on_pause=self._on_pause, on_fault=self._conversation.blame)

    def _transport(self) -> RTCDtlsTransport:
        """The one transport of a bundled connection."""
        transceivers = self._connection.getTransceivers()
        if transceivers:
            return transceivers[0].receiver.transport
        sctp = self._connection.sctp
        assert sctp is not None
        return sctp.transport

    async def _reach(self, candidate: RTCIceCandidate) -> None:
        # aioice asks the network for an mDNS name and waits up to 1 s: each has its own task, so none blocks another.
        try:
            async with asyncio.timeout(_MDNS_DEADLINE if is_mdns(candidate) else None):
                await self._transport().transport.addRemoteCandidate(candidate)
        except (OSError, ValueError, TimeoutError):
            return  # no multicast here, or nobody of that name: other candidates remain

    # Living.

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                for candidate in self._offer.candidates:
                    self.add_candidate(candidate)
                sources: list[Microphone | Video] = [*self._videos]
                if self._microphone is not None:
                    sources.append(self._microphone)
                    group.create_task(self._microphone.keep_time())
                drains = {source: group.create_task(self._drain(source)) for source in sources}
                await self._until_over(sources)
                await self._flush()
                self._leave()
                ending = [drain for source, drain in drains.items() if source.end()]
                if ending:
                    await asyncio.wait(ending, timeout=_DRAIN_DEADLINE)
                raise _Over
        except* _Over:
            pass
        finally:
            self._end("failed")
            self._leave()
            await self._hang_up()
            logger.info("peer left", why=self._end_of[0])

    async def _drain(self, source: Microphone | Video) -> None:
        await source.run()
        if self.is_over:
            return
        if isinstance(source, Microphone):
            self._conversation.silence(self)
        elif source.is_shown:
            self._conversation.unwatch(self)

    async def _until_over(self, sources: list[Microphone | Video]) -> None:
        started = time.monotonic()
        while not self.is_over:
            try:
                async with asyncio.timeout(self._config.limits.tick):
                    await self._over.wait()
            except TimeoutError:
                now = time.monotonic()
                self._check(started, now)
                for source in sources:
                    await source.tend(now)

    def _check(self, started: float, now: float) -> None:
        limits = self._config.limits
        if self._connected_at is None:
            if now - started > limits.connect:
                self._end("never connected")
        elif self._pulse is not None and now - self._pulse.last > limits.silence:
            self._end("nothing heard any more")
        elif now - self._connected_at > limits.connect:
            self._channel.give_up()

    async def _flush(self) -> None:
        """After a polite end, wait until the client has what it was told."""
        if not self._end_of[1]:
            return
        deadline = time.monotonic() + self._config.limits.flush
        while not self._channel.is_flushed and self._connection.connectionState != "closed":
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(_FLUSH_POLL)  # SCTP's acknowledgements raise no event

    def _end(self, why: str, *, politely: bool = False) -> None:
        if not self.is_over:
            self._end_of = (why, politely)
            self._over.set()

    def _leave(self) -> None:
        if not self._has_left:
            self._has_left = True
            self._conversation.detach(self, grace=self._grace)

    async def _hang_up(self) -> None:
        if self._is_hung_up:
            return
        self._is_hung_up = True
        self._voice.stop()
        try:
            async with asyncio.timeout(_CLOSE_DEADLINE):
                await self._connection.close()
            await self._connecting.settle()
            if self._pulse is not None:
                end_consent(self._transport().transport)
        except TimeoutError:
            logger.warning("peer connection did not close in time")
        finally:
            self._on_closed()

    # What happens.

    def _on_state(self) -> None:
        match self._connection.connectionState:
            case "connected" if self._connected_at is None:
                self._connected_at = time.monotonic()
            case "failed":
                self._end("connection failed")
            case "closed":
                self._end("client hung up")

    def _on_chunk(self, chunk: AudioChunk) -> None:
        self._conversation.hear(self, chunk)

    def _on_frame(self, frame: ScreenFrame) -> None:
        self._conversation.watch(self, frame)

    def _on_pause(self) -> None:
        self._conversation.unwatch(self)

    def _on_message(self, message: str | bytes) -> None:
        if self.is_over:
            return
        try:
            if len(message) > MAX_MESSAGE:
                raise ProtocolError(f"A message is at most {MAX_MESSAGE} bytes long.", code=FaultCode.PAYLOAD_TOO_LARGE)
            command = parse_command(message)
        except ProtocolError as error:
            self._bad_messages += 1
            self.tell(fault_from(error))
            if self._bad_messages >= MAX_BAD_MESSAGES:
                self._end("too many bad messages", politely=True)
            return
        self._bad_messages = 0
        if isinstance(command, NameTracks):
            self._name_tracks(command.mids)
        else:
            self._conversation.obey(self, command)

    def _name_tracks(self, mids: Mapping[str, str]) -> None:
        before = next((video.mid for video in self._videos if video.is_shown), None)
        self._names.update(mids)
        after = self._choose_screen()
        if before is not None and before != after:
            self._conversation.unwatch(self)

    def _choose_screen(self) -> str | None:
        screen = choose_screen((video.mid for video in self._videos), self._names)
        for video in self._videos:
            video.show(video.mid == screen)
        return screen


def _report(life: asyncio.Task[None]) -> None:
    # Only a bug ends a peer with an exception; it has been closed by then.
    if not life.cancelled() and (error := life.exception()) is not None:
        logger.opt(exception=error).error("peer failed")
