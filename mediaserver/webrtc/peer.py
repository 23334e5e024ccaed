"""One RTCPeerConnection as a peer of a conversation."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping

from aiortc import RTCRtpReceiver
from loguru import logger

from mediaserver.event_codec import parse_command, render
from mediaserver.rtc.aiortc_patches.transceivers import restrict_codecs
from mediaserver.rtc.config import Config
from mediaserver.rtc.inbound.audio_track import InboundAudioTrack
from mediaserver.rtc.inbound.track_readers import Source, TrackReaders
from mediaserver.rtc.inbound.video_track import InboundVideoTrack, choose_screen
from mediaserver.rtc.peer_connection import REFUSALS, Connection
from mediaserver.rtc.sdp.offer import Offer, OfferError, Section
from mediaserver.rtc.voice_track import VoiceTrack
from mediaserver.webrtc.events_channel import EventsChannel
from pipeline.errors import FaultCode, ProtocolError
from pipeline.events import EndReason, Event, NameTracks, SessionEnded, SessionStarted, fault_from
from pipeline.media import AudioChunk, ScreenFrame, SpeechFrame
from pipeline.peer import ConversationPort

MAX_MESSAGE = 65_536
MAX_BAD_MESSAGES = 20

GRACE = 15.0
"""Seconds in which a client that was lost may come back to its conversation."""

_FLUSH_POLL = 0.02


class _Over(Exception):
    """Leaves the peer's task group, which ends all that runs in it."""


class RtcPeer:
    """Made for one offer: `answer` attaches it to the conversation, and whatever ends it detaches it."""

    def __init__(self, conversation: ConversationPort, offer: Offer, *, config: Config, on_closed: Callable[[], None]):
        self._conversation = conversation
        self._offer = offer
        self._config = config
        self._on_closed = on_closed
        self._voice = VoiceTrack()
        self._channel = EventsChannel(is_offered=offer.has_data, on_message=self._on_message)
        self._connection = Connection(config, on_state=self._on_state, on_channel=self._channel.bind)
        self._microphone: InboundAudioTrack | None = None
        self._videos: list[InboundVideoTrack] = []
        self._names: dict[str, str] = {}
        self._label = ""
        self._bad_messages = 0
        self._over = asyncio.Event()
        self._end_of = ("", False)  # why, and whether politely
        self._has_farewell = False
        self._has_left = False
        self._grace = GRACE
        self._is_hung_up = False
        self._life: asyncio.Task[None] | None = None

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
        except REFUSALS as error:
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
        if not self.is_over:
            self._connection.add_candidate(text)

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

    def send_event(self, event: Event) -> None:
        """Send an event on the data channel, or keep it until that opens."""
        if self.is_over:
            return
        if isinstance(event, SessionStarted):
            self._label = event.label
        self._has_farewell |= isinstance(event, SessionEnded)
        body = render(event, self._label)
        if body is not None and not self._channel.send(json.dumps(body, ensure_ascii=False, separators=(",", ":"))):
            self._end(FaultCode.SLOW_CONSUMER.value)

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        self._voice.push(frame.opus)

    def flush_audio(self) -> None:
        """Send nothing more of what was played."""
        self._voice.flush()

    def disconnect(self, reason: EndReason) -> None:
        """Close once the client has all it was told, `session_ended` last."""
        if not self._has_farewell:
            self.send_event(SessionEnded(reason))
        self._end(f"dismissed: {reason.value}", politely=True)

    # Building.

    async def _negotiate(self) -> str:
        await self._connection.apply_remote(self._offer.sdp, "offer")
        self._assign_audio_directions()
        self._take_tracks()
        sdp = await self._connection.answer()
        self._choose_screen()
        return sdp

    def _assign_audio_directions(self) -> None:
        """Say which audio section hears the user and which speaks; the rest are answered inactive."""
        sections = [section for section in self._offer.sections if section.kind == "audio"]
        mouth = next((section for section in sections if section.receives), None)
        ear = self._microphone_section()
        for section in sections:
            speaks, hears = section is mouth, section is ear
            transceiver = self._connection.section(section.mid)
            restrict_codecs(transceiver, ("opus",))  # our packets are Opus; others would carry them as noise
            if speaks:
                transceiver.sender.replaceTrack(self._voice)
            transceiver.direction = (
                ("sendrecv" if hears else "sendonly") if speaks else "recvonly" if hears else "inactive"
            )

    def _microphone_section(self) -> Section | None:
        return next((section for section in self._offer.sections if section.kind == "audio" and section.sends), None)

    def _take_tracks(self) -> None:
        ear = self._microphone_section()
        if ear is not None:
            self._microphone = self._attach_microphone(self._connection.section(ear.mid).receiver)
        for section in self._offer.sections:
            if section.kind == "video" and section.sends:
                self._videos.append(self._attach_screen(section.mid, self._connection.section(section.mid).receiver))

    def _attach_microphone(self, receiver: RTCRtpReceiver) -> InboundAudioTrack:
        return InboundAudioTrack(
            receiver, lull=self._config.lull, on_chunk=self._on_chunk, on_fault=self._conversation.report_error
        )

    def _attach_screen(self, mid: str, receiver: RTCRtpReceiver) -> InboundVideoTrack:
        return InboundVideoTrack(
            mid,
            receiver,
            on_frame=self._on_frame,
            on_pause=self._on_pause,
            on_fault=self._conversation.report_error,
            estimate=self._connection.estimate,
        )

    # Living.

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._connection.open(group)
                for candidate in self._offer.candidates:
                    self._connection.add_candidate(candidate)
                intakes = TrackReaders(group, on_ended=self._on_ended)
                for source in [*self._videos, self._microphone]:
                    if source is not None:
                        intakes.start(source)
                await self._until_over(intakes)
                await self._flush()
                self._leave()
                await intakes.end()
                raise _Over
        except* _Over:
            pass
        finally:
            self._end("failed")
            self._leave()
            await self._hang_up()
            logger.info("peer left", why=self._end_of[0])

    async def _until_over(self, intakes: TrackReaders) -> None:
        while not self.is_over:
            try:
                async with asyncio.timeout(self._config.limits.tick):
                    await self._over.wait()
            except TimeoutError:
                self._check(time.monotonic())
                await intakes.check_health()

    def _check(self, now: float) -> None:
        trouble = self._connection.failure_reason(now)
        if trouble is not None:
            self._end(trouble)
        connected_at = self._connection.connected_at
        if connected_at is not None and now - connected_at > self._config.limits.connect:
            self._channel.close()

    async def _flush(self) -> None:
        """After a polite end, wait until the client has what it was told."""
        if not self._end_of[1]:
            return
        deadline = time.monotonic() + self._config.limits.flush
        while not self._channel.is_flushed and self._connection.raw.connectionState != "closed":
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
            await self._connection.close()
        finally:
            self._on_closed()

    # What happens.

    def _on_state(self, state: str) -> None:
        match state:
            case "failed":
                self._end("connection failed")
            case "closed":
                self._end("client hung up")

    def _on_ended(self, source: Source) -> None:
        if self.is_over:
            return
        if isinstance(source, InboundAudioTrack):
            self._conversation.end_audio(self)
        elif source.is_shown:
            self._conversation.stop_screen_share(self)

    def _on_chunk(self, chunk: AudioChunk) -> None:
        self._conversation.push_audio(self, chunk)

    def _on_frame(self, frame: ScreenFrame) -> None:
        self._conversation.push_frame(self, frame)

    def _on_pause(self) -> None:
        self._conversation.stop_screen_share(self)

    def _on_message(self, message: str | bytes) -> None:
        if self.is_over:
            return
        try:
            if len(message) > MAX_MESSAGE:
                raise ProtocolError(f"A message is at most {MAX_MESSAGE} bytes long.", code=FaultCode.PAYLOAD_TOO_LARGE)
            command = parse_command(message)
        except ProtocolError as error:
            self._bad_messages += 1
            self.send_event(fault_from(error))
            if self._bad_messages >= MAX_BAD_MESSAGES:
                self._end("too many bad messages", politely=True)
            return
        self._bad_messages = 0
        if isinstance(command, NameTracks):
            self._name_tracks(command.mids)
        else:
            self._conversation.submit(self, command)

    def _name_tracks(self, mids: Mapping[str, str]) -> None:
        before = next((video.mid for video in self._videos if video.is_shown), None)
        known = [video.mid for video in self._videos]
        self._names.update({mid: name for mid, name in mids.items() if mid in known})
        after = self._choose_screen()
        if before is not None and before != after:
            self._conversation.stop_screen_share(self)

    def _choose_screen(self) -> str | None:
        screen = choose_screen((video.mid for video in self._videos), self._names)
        for video in self._videos:
            video.show(video.mid == screen)
        return screen


def _report(life: asyncio.Task[None]) -> None:
    # Only a bug ends a peer with an exception; it has been closed by then.
    if not life.cancelled() and (error := life.exception()) is not None:
        logger.opt(exception=error).error("peer failed")
