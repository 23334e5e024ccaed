"""Everything that goes over one LiveKit client's peer connection, or both of them in dual mode."""

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
"""Offers and answers that may wait for the one that is being taken."""

T = TypeVar("T")


class _Over(Exception):
    """Leaves the link's task group, which ends all that runs in it."""


class MediaLink:
    """The link that `mediaserver.livekit` asks for, over aiortc. Made in a running loop; lives until it is closed."""

    def __init__(self, events: LinkEvents, *, is_dual: bool, config: Config):
        self._events = events
        self._limits = config.limits
        self._state: LinkState | None = None
        self._outbound = OutgoingTracks()
        self._channels = DataChannels(on_data=events.on_data)
        self._uplink = PublisherConnection(
            config,
            events,
            on_state=partial(self._on_state, not is_dual),
            on_channel=self._channels.subscribe if is_dual else self._channels.bind,
        )
        self._downlink = SubscriberConnection(config, on_state=partial(self._on_state, True)) if is_dual else None
        self._voice = VoiceTrack()
        self._voice_name = ""
        self._is_voice_paused = False
        self._sources: dict[ForwardedTrack, MediaLink] = {}
        self._gauge = StatsSampler()
        self._jobs: asyncio.Queue[Callable[[], Awaitable[None]]] = asyncio.Queue()
        self._promises: set[asyncio.Future[object]] = set()
        self._over = asyncio.Event()
        self._life = asyncio.create_task(self._live(), name="rtc-link")
        self._life.add_done_callback(_report)

    @property
    def state(self) -> LinkState | None:
        """The state told last; None while it is connecting."""
        return self._state

    # Negotiation.

    async def answer(self, sdp: str) -> Answer:
        """Answer an offer of the client, its first or any later one. Raises `OfferError`."""
        return await self._in_turn(partial(self._answer, sdp))

    async def offer(self) -> LocalOffer:
        """Offer the client every outgoing track, in dual mode. Raises `OfferError` once the link is over."""
        return await self._in_turn(self._offer)

    async def take_answer(self, sdp: str) -> None:
        """Take the answer to the newest of our offers. Raises `OfferError`."""
        await self._in_turn(partial(self._take_answer, sdp))

    def add_candidate(self, text: str, target: Target) -> None:
        """Take a trickled candidate, before the first offer too. Raises `ProtocolError`."""
        if self._over.is_set() or not text.strip():
            return
        is_down = self._downlink is not None and target is Target.SUBSCRIBER
        (self._downlink if is_down and self._downlink is not None else self._uplink).connection.add_candidate(text)

    # Up: what the client sends.

    def listen(self, mid: str, *, is_wanted: bool) -> None:
        """Decode a section's media and tell of it, or drop it; it may not be there yet."""
        self._uplink.listen(mid, is_wanted=is_wanted)

    # Down: what the client is sent.

    def speak(self, outgoing: Outgoing) -> None:
        """Send the assistant's voice as this track, from the next negotiation on."""
        self._voice_name = outgoing.track
        self._outbound.add(outgoing, self._voice)

    def send_audio(self, opus: bytes) -> None:
        """Send 20 ms of the assistant's voice."""
        if not self._is_voice_paused:
            self._voice.push(opus)

    def flush_audio(self) -> None:
        """Send nothing more of what was played."""
        self._voice.flush()

    def forward(self, outgoing: Outgoing, source: object, mid: str) -> None:
        """Send what another `PeerLink` is sent in a section. Raises ValueError for a name that is taken."""
        assert isinstance(source, MediaLink)
        track = source._uplink.follow(mid, outgoing.kind)
        try:
            self._outbound.add(outgoing, track)
        except ValueError:
            source._uplink.unfollow(track)
            raise
        self._sources[track] = source

    def pause(self, track: str, *, is_paused: bool) -> None:
        """Send nothing of a track for a while, or go on."""
        found = self._outbound.find(track)
        if isinstance(found, ForwardedTrack):
            found.pause(is_paused)
        elif track == self._voice_name:
            self._is_voice_paused = is_paused
            self._voice.flush()

    def withdraw(self, track: str) -> None:
        """Send a track no more, and free its section at the next negotiation."""
        found = self._outbound.find(track)
        self._outbound.withdraw(track)
        if isinstance(found, ForwardedTrack):
            self._sources.pop(found)._uplink.unfollow(found)

    def missing_sections(self) -> MissingSections:
        """How many sections the newest offer should have had more."""
        return MissingSections() if self._downlink is not None else self._uplink.missing_sections(self._outbound)

    # Data.

    def send(self, label: str, data: bytes, *, is_of_others: bool = False) -> bool:
        """Send a message, or keep it until there is a channel; False if the client does not take what it is sent."""
        return self._over.is_set() or self._channels.send(label, data, is_of_others=is_of_others)

    # Life.

    def reception(self) -> Reception:
        """How well it works lately."""
        return self._gauge.reception

    async def close(self) -> None:
        """End, and wait until nothing is left; may be called any number of times."""
        self._end(LinkState.CLOSED)
        await asyncio.wait([self._life])

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                self._uplink.open(group)
                if self._downlink is not None:
                    self._downlink.connection.open(group)
                group.create_task(self._negotiate())
                await self._until_over()
                assert self._uplink.intakes is not None
                await self._uplink.intakes.end()
                raise _Over
        except* _Over:
            pass
        finally:
            self._end(LinkState.FAILED)
            for promise in self._promises:
                if not promise.done():
                    promise.set_exception(OfferError("The connection is closed."))
            for track, source in self._sources.items():
                source._uplink.unfollow(track)
            self._outbound.stop()
            self._voice.stop()
            for link in self._links:
                await link.connection.close()

    @property
    def _links(self) -> list[PublisherConnection | SubscriberConnection]:
        return [self._uplink] if self._downlink is None else [self._uplink, self._downlink]

    async def _until_over(self) -> None:
        assert self._uplink.intakes is not None
        while not self._over.is_set():
            try:
                async with asyncio.timeout(self._limits.tick):
                    await self._over.wait()
            except TimeoutError:
                now = time.monotonic()
                for link in self._links:
                    if (trouble := link.connection.failure_reason(now)) is not None:
                        logger.info("link lost", why=trouble)
                        self._end(LinkState.FAILED)
                self._gauge.sample(section for link in self._links for section in link.connection.raw.getTransceivers())
                await self._uplink.intakes.check_health()

    def _end(self, state: LinkState) -> None:
        if not self._over.is_set():
            self._over.set()
            self._uplink.close()
            self._tell(state)

    def _tell(self, state: LinkState) -> None:
        self._state = state
        self._events.on_state(state)

    def _on_state(self, is_primary: bool, state: str) -> None:
        match state:
            case "connected" if is_primary and self._state is None and not self._over.is_set():
                self._tell(LinkState.CONNECTED)
            case "failed":
                self._end(LinkState.FAILED)
            case "closed":
                self._end(LinkState.CLOSED)  # the client has hung up

    # One negotiation after another.

    async def _in_turn(self, job: Callable[[], Awaitable[T]]) -> T:
        if self._over.is_set():
            raise OfferError("The connection is closed.")
        if len(self._promises) >= MAX_NEGOTIATIONS:
            raise OfferError("Too many offers wait to be answered.")
        promise: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                result = await job()
            except OfferError as error:
                if not promise.done():
                    promise.set_exception(error)
            else:
                if not promise.done():
                    promise.set_result(result)

        self._promises.add(promise)  # type: ignore[arg-type]
        self._jobs.put_nowait(run)
        try:
            return await promise
        finally:
            self._promises.discard(promise)

    async def _negotiate(self) -> None:
        # In a task of the link: whoever has asked may be cancelled, and a half-made negotiation would be the end.
        while True:
            job = await self._jobs.get()
            await job()

    async def _answer(self, sdp: str) -> Answer:
        offered = self._uplink.parse(sdp)
        try:
            return await self._uplink.answer(offered, None if self._downlink is not None else self._outbound)
        except REFUSALS as error:
            raise self._fail(error) from error

    async def _offer(self) -> LocalOffer:
        if self._downlink is None:
            raise OfferError("With a single connection, only the client offers.")
        try:
            return await self._downlink.offer(self._outbound, self._channels)
        except REFUSALS as error:
            raise self._fail(error) from error

    async def _take_answer(self, sdp: str) -> None:
        if self._downlink is None:
            raise OfferError("Nothing was offered that could be answered.")
        try:
            await self._downlink.take_answer(sdp, self._outbound)
        except REFUSALS as error:
            raise self._fail(error) from error

    def _fail(self, error: Exception) -> OfferError:
        self._end(LinkState.FAILED)
        return OfferError(f"This cannot be negotiated: {error}")


def _report(life: "asyncio.Task[None]") -> None:
    # Only a bug ends a link with an exception; it has been closed by then.
    if not life.cancelled() and (error := life.exception()) is not None:
        logger.opt(exception=error).error("link failed")
