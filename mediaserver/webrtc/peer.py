"""One RTCPeerConnection as a peer of a conversation."""

import asyncio
import json
import time
from collections.abc import Callable
from itertools import takewhile

from loguru import logger

from mediaserver.event_codec import parse_command, render
from mediaserver.rtc.config import Config
from mediaserver.rtc.inbound.track_readers import Source, TrackReaders
from mediaserver.rtc.peer_connection import REFUSALS, PeerConnection
from mediaserver.rtc.sdp.offer import Offer, OfferError
from mediaserver.rtc.voice_track import VoiceTrack
from mediaserver.webrtc.events_channel import EventsChannel
from mediaserver.webrtc.media_tracks import MediaTracks
from pipeline.codecs.audio_decoder import AudioDecoder, AudioFormat
from pipeline.errors import FaultCode, ProtocolError
from pipeline.events import EndReason, Event, NameTracks, SessionEnded, SessionStarted, fault_from
from pipeline.media import SpeechFrame
from pipeline.peer import ConversationPort

MAX_MESSAGE = 65_536
MAX_BAD_MESSAGES = 20

GRACE = 15.0
"""Seconds in which a lost client may rejoin its conversation."""

_FLUSH_POLL = 0.02


class _Closed(Exception):
    """Leaves the peer's task group, and so cancels its tasks."""


class RtcPeer:
    """Answers one offer: `answer` attaches the peer to the conversation, and every kind of end detaches it."""

    def __init__(
        self,
        conversation: ConversationPort,
        offer: Offer,
        *,
        config: Config,
        client: str = "",
        expects_recording: bool = False,
        count_bad_message: Callable[[], bool] = lambda: True,
        on_connected: Callable[[], None] = lambda: None,
        on_closed: Callable[[], None],
    ):
        """`client` is the address that sent the offer; `count_bad_message` is false if it has sent too many.

        `expects_recording`: live audio is held back until `push_recording` or a timeout.
        """
        self._conversation = conversation
        self._offer = offer
        self._config = config
        self._count_bad_message = count_bad_message
        self._on_connected = on_connected
        self._on_closed = on_closed
        self._speech = VoiceTrack()
        self._channel = EventsChannel(is_offered=offer.has_data, on_message=self._on_message)
        self._connection = PeerConnection(config, client=client, on_state=self._on_state, on_channel=self._channel.bind)
        self._media = MediaTracks(self, conversation, self._connection, offer.sections)
        if expects_recording:
            self._media.audio.expect_recording()
        self._label = ""
        self._bad_messages = 0
        self._closing = asyncio.Event()
        self._close_reason = ""
        self._flushes_events = False
        self._has_sent_end = False
        self._is_detached = False
        self._grace = GRACE
        self._is_connection_closed = False
        self._task: asyncio.Task[None] | None = None

    # Called by the HTTP routes.

    @property
    def is_over(self) -> bool:
        """Whether the peer is closed or closing."""
        return self._closing.is_set()

    async def answer(self) -> str:
        """Attach to the conversation and return the SDP answer with all our candidates. Raises `OfferError`."""
        self._conversation.attach(self)
        try:
            sdp = await self._negotiate()
            self._task = asyncio.create_task(self._run(), name="rtc-peer")
            self._task.add_done_callback(_report)
        except REFUSALS as error:
            raise OfferError(f"The offer cannot be answered: {error}") from error
        finally:
            if self._task is None:
                self._begin_close("not answered")
                self._detach()
                await self._close_connection()
        await asyncio.sleep(0)  # `_run` opens its group
        return sdp

    def add_candidate(self, text: str) -> None:
        """Add a trickled candidate. Raises `ProtocolError`."""
        if not self.is_over:
            self._connection.add_candidate(text)

    @property
    def awaits_recording(self) -> bool:
        """Whether live audio waits for what the microphone recorded before the connection."""
        return self._media.audio.is_waiting

    async def push_recording(self, content: bytes) -> None:
        """Take an awaited WebM recording ahead of all live audio; an empty one ends the wait. Raises `MediaError`."""
        chunks = AudioDecoder().push(content, audio_format=AudioFormat.WEBM)
        await self._media.audio.prepend(takewhile(lambda _: not self.is_over, chunks))

    async def close(self, *, is_final: bool = False) -> None:
        """Close the peer and wait until its tasks have ended; may be called any number of times.

        `is_final` skips the grace period: the conversation ends if this was its last peer.
        """
        if is_final:
            self._grace = 0.0
        self._begin_close("closed")
        if self._task is None:
            await self._close_connection()
        else:
            await asyncio.wait([self._task])

    # Called by the conversation.

    def send_event(self, event: Event) -> None:
        """Send an event on the data channel, or keep it until that opens."""
        if self.is_over:
            return
        if isinstance(event, SessionStarted):
            self._label = event.label
        self._has_sent_end |= isinstance(event, SessionEnded)
        body = render(event, self._label)
        if body is not None and not self._channel.send(json.dumps(body, ensure_ascii=False, separators=(",", ":"))):
            self._begin_close(FaultCode.SLOW_CONSUMER.value)

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        telephone = self._media.telephone
        self._speech.push(frame.opus if telephone is None else telephone.encode(frame.pcm))

    def flush_audio(self) -> None:
        """Drop the speech that is still queued."""
        self._speech.flush()

    def disconnect(self, reason: EndReason) -> None:
        """Close once the client has received every event, `session_ended` last."""
        if not self._has_sent_end:
            self.send_event(SessionEnded(reason))
        self._begin_close(f"dismissed: {reason.value}", flush=True)

    # Negotiation.

    async def _negotiate(self) -> str:
        await self._connection.apply_remote(self._offer.sdp, "offer")
        self._media.attach(self._speech, lull=self._config.lull)
        sdp = await self._connection.answer()
        self._media.choose_screen()
        return self._offer.finish(sdp)

    # Lifetime.

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._connection.open(group)
                for candidate in self._offer.candidates:
                    self._connection.add_candidate(candidate)
                readers = TrackReaders(group, on_ended=self._on_ended)
                for source in self._media.sources:
                    readers.start(source)
                await self._wait_for_close(readers)
                await self._flush()
                self._detach()
                await readers.end()
                raise _Closed
        except* _Closed:
            pass
        finally:
            self._begin_close("failed")
            self._detach()
            await self._close_connection()
            logger.info("peer left", why=self._close_reason)

    async def _wait_for_close(self, readers: TrackReaders) -> None:
        while not self.is_over:
            try:
                async with asyncio.timeout(self._config.limits.tick):
                    await self._closing.wait()
            except TimeoutError:
                self._check(time.monotonic())
                await readers.check_health()

    def _check(self, now: float) -> None:
        self._media.audio.check_timeout(now)
        failure = self._connection.failure_reason(now)
        if failure is not None:
            self._begin_close(failure)
        connected_at = self._connection.connected_at
        if connected_at is not None and now - connected_at > self._config.limits.connect:
            self._channel.close()

    async def _flush(self) -> None:
        """Wait until the client has acknowledged every event, if the close is to flush them."""
        if not self._flushes_events:
            return
        deadline = time.monotonic() + self._config.limits.flush
        while not self._channel.is_flushed and self._connection.raw.connectionState != "closed":
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(_FLUSH_POLL)  # SCTP's acknowledgements raise no event

    def _begin_close(self, reason: str, *, flush: bool = False) -> None:
        if not self.is_over:
            self._close_reason = reason
            self._flushes_events = flush
            self._closing.set()

    def _detach(self) -> None:
        if not self._is_detached:
            self._is_detached = True
            # An abandoned offer must not keep a conversation that it started.
            is_abandoned = self._connection.connected_at is None and not self._conversation.is_used
            self._conversation.detach(self, grace=0.0 if is_abandoned else self._grace)

    async def _close_connection(self) -> None:
        if self._is_connection_closed:
            return
        self._is_connection_closed = True
        self._speech.stop()
        try:
            await self._connection.close()
        finally:
            self._on_closed()

    # Events of the connection.

    def _on_state(self, state: str) -> None:
        match state:
            case "connected":
                self._on_connected()
            case "failed":
                self._begin_close("connection failed")
            case "closed":
                self._begin_close("client hung up")

    def _on_ended(self, source: Source) -> None:
        if not self.is_over:
            self._media.on_ended(source)

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
            if not self._count_bad_message() or self._bad_messages >= MAX_BAD_MESSAGES:
                self._begin_close("too many bad messages", flush=True)
            return
        self._bad_messages = 0
        if isinstance(command, NameTracks):
            self._media.name(command.mids)
        else:
            self._conversation.submit(self, command)


def _report(task: asyncio.Task[None]) -> None:
    # Only a bug ends a peer with an exception; it has been closed by then.
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.opt(exception=error).error("peer failed")
