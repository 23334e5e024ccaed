"""The media link of one LiveKit client, over one peer connection, or two in dual mode."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from loguru import logger

from mediaserver.livekit.media.connection_stats import StatsSampler
from mediaserver.livekit.media.data_channels import DataChannels
from mediaserver.livekit.media.forwarded_track import ForwardedTrack
from mediaserver.livekit.media.outgoing_tracks import OutgoingTracks
from mediaserver.livekit.media.publisher_connection import PublisherConnection
from mediaserver.livekit.media.subscriber_connection import SubscriberConnection
from mediaserver.livekit.media.types import (
    Answer,
    LinkEvents,
    LinkState,
    LocalOffer,
    MissingSections,
    Outgoing,
    Reception,
    Target,
)
from mediaserver.rtc.config import Config
from mediaserver.rtc.peer_connection import REFUSALS
from mediaserver.rtc.sdp.offer import OfferError
from mediaserver.rtc.voice_track import VoiceTrack

MAX_NEGOTIATIONS = 20
"""Offers and answers that may wait behind the current negotiation."""

T = TypeVar("T")


class _LinkClosed(Exception):
    """Ends the link's task group."""


class MediaLink:
    """Implements `Link` over aiortc. Starts in the running loop at construction, and runs until it is closed."""

    def __init__(self, events: LinkEvents, *, is_dual: bool, config: Config, client: str = ""):
        """`client` is the client's IP address."""
        self._events = events
        self._limits = config.limits
        self._state: LinkState | None = None
        self._outgoing = OutgoingTracks()
        self._channels = DataChannels(on_data=events.on_data)
        self._publisher = PublisherConnection(
            config,
            events,
            client=client,
            on_state=partial(self._on_state, not is_dual),
            on_channel=self._channels.subscribe if is_dual else self._channels.bind,
        )
        self._subscriber = (
            SubscriberConnection(config, client=client, on_state=partial(self._on_state, True)) if is_dual else None
        )
        self._voice = VoiceTrack()
        self._voice_name = ""
        self._is_voice_paused = False
        self._sources: dict[ForwardedTrack, MediaLink] = {}
        self._stats = StatsSampler()
        self._jobs: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._pending: set[asyncio.Future[object]] = set()
        self._closed = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="rtc-link")
        self._task.add_done_callback(_report)

    @property
    def state(self) -> LinkState | None:
        """The state reported last; None while connecting."""
        return self._state

    # Negotiation.

    async def answer(self, sdp: str) -> Answer:
        """Answer an offer of the client, its first or any later one. Raises `OfferError`."""
        return await self._in_turn(partial(self._answer, sdp))

    async def offer(self) -> LocalOffer:
        """Offer the client every outgoing track, in dual mode. Raises `OfferError` once the link is closed."""
        return await self._in_turn(self._offer)

    async def take_answer(self, sdp: str) -> None:
        """Apply the answer to the newest of our offers. Raises `OfferError`."""
        await self._in_turn(partial(self._take_answer, sdp))

    def add_candidate(self, text: str, target: Target) -> None:
        """Add a trickled ICE candidate, even before the first offer. Raises `ProtocolError`."""
        if self._closed.is_set() or not text.strip():
            return
        if self._subscriber is not None and target is Target.SUBSCRIBER:
            self._subscriber.connection.add_candidate(text)
        else:
            self._publisher.connection.add_candidate(text)

    # Media from the client.

    def listen(self, mid: str, *, is_wanted: bool) -> None:
        """Decode a section's media and report it, or drop it; the section may not exist yet."""
        self._publisher.listen(mid, is_wanted=is_wanted)

    # Media to the client.

    def speak(self, outgoing: Outgoing) -> None:
        """Send the assistant's voice as this track, from the next negotiation on."""
        self._voice_name = outgoing.track
        self._outgoing.add(outgoing, self._voice)

    def send_audio(self, opus: bytes) -> None:
        """Send 20 ms of the assistant's voice."""
        if not self._is_voice_paused:
            self._voice.push(opus)

    def flush_audio(self) -> None:
        """Discard speech that is not sent yet."""
        self._voice.flush()

    def forward(self, outgoing: Outgoing, source: object, mid: str) -> None:
        """Forward a section of another `MediaLink`. Raises ValueError for a track name in use."""
        assert isinstance(source, MediaLink)
        track = source._publisher.follow(mid, outgoing.kind)
        try:
            self._outgoing.add(outgoing, track)
        except ValueError:
            source._publisher.unfollow(track)
            raise
        self._sources[track] = source

    def pause(self, track: str, *, is_paused: bool) -> None:
        """Pause a track, or resume it."""
        found = self._outgoing.find(track)
        if isinstance(found, ForwardedTrack):
            found.pause(is_paused)
        elif track == self._voice_name:
            self._is_voice_paused = is_paused
            self._voice.flush()

    def withdraw(self, track: str) -> None:
        """Stop a track, and free its section at the next negotiation."""
        found = self._outgoing.find(track)
        self._outgoing.withdraw(track)
        if isinstance(found, ForwardedTrack):
            self._sources.pop(found)._publisher.unfollow(found)

    def missing_sections(self) -> MissingSections:
        """Count the media sections that the newest offer lacked."""
        return MissingSections() if self._subscriber is not None else self._publisher.missing_sections(self._outgoing)

    # Data.

    def send(self, label: str, data: bytes, *, is_of_others: bool = False) -> bool:
        """Send a message, or queue it until the channel is open; False if the queue is full."""
        return self._closed.is_set() or self._channels.send(label, data, is_of_others=is_of_others)

    # Life.

    def reception(self) -> Reception:
        """Return the recent loss and round trip."""
        return self._stats.reception

    async def close(self) -> None:
        """Close the link and wait for its tasks; may be called any number of times."""
        self._end(LinkState.CLOSED)
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._publisher.open(group)
                if self._subscriber is not None:
                    self._subscriber.connection.open(group)
                group.create_task(self._negotiate())
                await self._until_closed()
                assert self._publisher.readers is not None
                await self._publisher.readers.end()
                raise _LinkClosed
        except* _LinkClosed:
            pass
        finally:
            self._end(LinkState.FAILED)
            for future in self._pending:
                if not future.done():
                    future.set_exception(OfferError("The connection is closed."))
            for track, source in self._sources.items():
                source._publisher.unfollow(track)
            self._outgoing.stop()
            self._voice.stop()
            for link in self._links:
                await link.connection.close()

    @property
    def _links(self) -> list[PublisherConnection | SubscriberConnection]:
        return [self._publisher] if self._subscriber is None else [self._publisher, self._subscriber]

    async def _until_closed(self) -> None:
        assert self._publisher.readers is not None
        while not self._closed.is_set():
            try:
                async with asyncio.timeout(self._limits.tick):
                    await self._closed.wait()
            except TimeoutError:
                now = time.monotonic()
                for link in self._links:
                    if (reason := link.connection.failure_reason(now)) is not None:
                        logger.info("link lost", why=reason)
                        self._end(LinkState.FAILED)
                self._stats.sample(section for link in self._links for section in link.connection.raw.getTransceivers())
                await self._publisher.readers.check_health()

    def _end(self, state: LinkState) -> None:
        if not self._closed.is_set():
            self._closed.set()
            self._publisher.close()
            self._report_state(state)

    def _report_state(self, state: LinkState) -> None:
        self._state = state
        self._events.on_state(state)

    def _on_state(self, is_primary: bool, state: str) -> None:
        match state:
            case "connected" if is_primary and self._state is None and not self._closed.is_set():
                self._report_state(LinkState.CONNECTED)
            case "failed":
                self._end(LinkState.FAILED)
            case "closed":
                self._end(LinkState.CLOSED)  # by the client

    # One negotiation after another.

    async def _in_turn(self, job: Callable[[], Awaitable[T]]) -> T:
        if self._closed.is_set():
            raise OfferError("The connection is closed.")
        if len(self._pending) >= MAX_NEGOTIATIONS:
            raise OfferError("Too many offers wait to be answered.")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                result = await job()
            except OfferError as error:
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self._pending.add(future)  # type: ignore[arg-type]
        self._jobs.put_nowait(run)
        try:
            return await future
        finally:
            self._pending.discard(future)

    async def _negotiate(self) -> None:
        # In a task of the link, not of the caller, whose cancellation would leave a negotiation half done.
        while True:
            job = await self._jobs.get()
            await job()

    async def _answer(self, sdp: str) -> Answer:
        offered = self._publisher.parse(sdp)
        try:
            return await self._publisher.answer(offered, None if self._subscriber is not None else self._outgoing)
        except REFUSALS as error:
            raise self._fail(error) from error

    async def _offer(self) -> LocalOffer:
        if self._subscriber is None:
            raise OfferError("With a single connection, only the client offers.")
        try:
            return await self._subscriber.offer(self._outgoing, self._channels)
        except REFUSALS as error:
            raise self._fail(error) from error

    async def _take_answer(self, sdp: str) -> None:
        if self._subscriber is None:
            raise OfferError("Nothing was offered that could be answered.")
        try:
            await self._subscriber.take_answer(sdp, self._outgoing)
        except REFUSALS as error:
            raise self._fail(error) from error

    def _fail(self, error: Exception) -> OfferError:
        self._end(LinkState.FAILED)
        return OfferError(f"This cannot be negotiated: {error}")


def _report(task: "asyncio.Task[None]") -> None:
    # Only a bug ends a link with an exception; the link is closed by then.
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.opt(exception=error).error("link failed")
