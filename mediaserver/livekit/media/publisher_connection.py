"""A peer connection that a client offers, again and again: what it sends, and in single mode what it is sent."""

import asyncio
import time
from collections.abc import Callable

from aiortc import RTCDataChannel, RTCRtpTransceiver

from mediaserver.livekit.media.forwarded_track import KEYFRAME_PERIOD, ForwardedTrack
from mediaserver.livekit.media.incoming_track import IncomingTrack
from mediaserver.livekit.media.outgoing_tracks import OutgoingTracks, prefer
from mediaserver.livekit.media.renegotiation import RenegotiationOffer, parse_renegotiable
from mediaserver.livekit.media.types import Answer, LinkEvents, MissingSections
from mediaserver.rtc.aiortc_patches.transceivers import allow_layers, recycle_section, renew_receiver
from mediaserver.rtc.config import Config
from mediaserver.rtc.inbound.track_readers import TrackReaders
from mediaserver.rtc.inbound.video_track import InboundVideoTrack
from mediaserver.rtc.peer_connection import Connection
from mediaserver.rtc.sdp.offer import OfferError, parse_sdp
from mediaserver.rtc.throttle import Throttle

MAX_SECTIONS_EVER = 256
"""Sections of one connection, those that were replaced by others included."""


class PublisherConnection:
    """Answers offers one after another; the caller sees to that, and that it is open by then."""

    def __init__(
        self,
        config: Config,
        events: LinkEvents,
        *,
        on_state: Callable[[str], None],
        on_channel: Callable[[RTCDataChannel], None],
    ):
        self.connection = Connection(config, on_state=on_state, on_channel=on_channel)
        self.intakes: TrackReaders | None = None
        self._config = config
        self._group: asyncio.TaskGroup | None = None
        self._events = events
        self._places: list[tuple[str, str]] = []  # mid and kind, by m-line
        self._seen: set[str] = set()  # all mids there ever were
        self._inlets: dict[str, IncomingTrack] = {}
        self._wanted: set[str] = set()
        self._followers: dict[str, list[ForwardedTrack]] = {}
        self._requests: dict[str, Throttle] = {}  # for key frames, whoever needs one
        self._usable: list[RTCRtpTransceiver] = []  # what the newest offer has for tracks of ours

    def open(self, group: asyncio.TaskGroup) -> None:
        """Run in a task group from now on."""
        self._group = group
        self.intakes = TrackReaders(group, on_ended=lambda _: None)
        self.connection.open(group)

    def close(self) -> None:
        """Start nothing any more in that task group; others may still ask for what is forwarded to them."""
        self._group = None

    def parse(self, sdp: str) -> RenegotiationOffer:
        """Read an offer that this connection can take. Raises `OfferError`."""
        offered = parse_renegotiable(sdp)
        places = [(section.mid, section.kind) for section in offered.sections]
        if len(places) < len(self._places):
            raise OfferError("An offer must have all sections of the one before.")
        fresh = {mid for mid, _ in set(places) - set(self._places)}
        stays = all(
            place == before for place, before in zip(places, self._places, strict=False) if place[0] not in fresh
        )
        if (
            fresh & self._seen
            or not stays
            or any(before[1] == "application" != place[1] for place, before in zip(places, self._places, strict=False))
        ):
            raise OfferError(
                "A section must stay where it is in the offer before, or make room for one with a new mid."
            )
        if len(self._seen) + len(fresh) > MAX_SECTIONS_EVER:
            raise OfferError(f"The connection has had {MAX_SECTIONS_EVER} sections; make a new one.")
        return offered

    async def answer(self, offered: RenegotiationOffer, outbound: OutgoingTracks | None) -> Answer:
        """Answer what was parsed; tracks of `outbound` go into sections that are free. Raises one of `REFUSALS`."""
        await self._clear(offered, outbound)
        await self.connection.apply_remote(offered.offer.sdp, "offer")
        for candidate in offered.offer.candidates:
            self.connection.add_candidate(candidate)
        self._assign_directions(offered, outbound)
        sdp = await self.connection.answer()
        for inlet in self._inlets.values():
            inlet.apply()
        return Answer(offered.finish(sdp), offered.sections, {} if outbound is None else outbound.mids)

    def listen(self, mid: str, *, is_wanted: bool) -> None:
        """Decode a section, or do not, whether or not there is one yet."""
        if is_wanted:
            self._wanted.add(mid)
        else:
            self._wanted.discard(mid)
        if mid in self._inlets:
            self._inlets[mid].listen(is_wanted)

    def follow(self, mid: str, kind: str) -> ForwardedTrack:
        """A track of what comes in a section, whether or not there is one yet."""
        requests = self._requests.setdefault(mid, Throttle(KEYFRAME_PERIOD))

        def ask() -> None:
            inlet = self._inlets.get(mid)
            if self._group is None or inlet is None or not isinstance(inlet.source, InboundVideoTrack):
                return
            if requests.allow(time.monotonic()):
                self._group.create_task(inlet.source.request_keyframe())

        def source_codec() -> str:
            return self._inlets[mid].codec if mid in self._inlets else ""

        track = ForwardedTrack(kind, ask=ask, source_codec=source_codec)
        self._followers.setdefault(mid, []).append(track)
        if mid in self._inlets:
            self._inlets[mid].follow(track)
        return track

    def unfollow(self, track: ForwardedTrack) -> None:
        """Give a track nothing more."""
        for tracks in self._followers.values():
            if track in tracks:
                tracks.remove(track)
        for inlet in self._inlets.values():
            inlet.unfollow(track)

    def missing_sections(self, outbound: OutgoingTracks) -> MissingSections:
        """How many sections the newest offer should have had more."""
        return outbound.missing_sections(self._usable)

    # Before a negotiation, and in it.

    async def _clear(self, offered: RenegotiationOffer, outbound: OutgoingTracks | None) -> None:
        """End what the client no longer sends or takes."""
        sections = {section.mid: section for section in offered.sections if not section.is_refused}
        for mid, inlet in [*self._inlets.items()]:
            if mid not in sections or not sections[mid].sends:
                del self._inlets[mid]
                self._followers.pop(mid, None)
                if self.intakes is not None:
                    await self.intakes.end(inlet.source)
                await renew_receiver(inlet.section)
        if outbound is not None:
            known = [transceiver for transceiver in self.connection.raw.getTransceivers() if transceiver.mid]
            await outbound.release(
                transceiver
                for transceiver in known
                if transceiver.mid not in sections or not sections[transceiver.mid].receives
            )
        for section, (before, _) in zip(offered.sections, self._places, strict=False):
            if section.mid != before:
                recycle_section(self.connection.section(before))
        self._places = [(section.mid, section.kind) for section in offered.sections]
        self._seen.update(section.mid for section in offered.sections)

    def _assign_directions(self, offered: RenegotiationOffer, outbound: OutgoingTracks | None) -> None:
        """Say for each section what it is to be answered with."""
        sections: dict[str, RTCRtpTransceiver] = {
            section.mid: self.connection.section(section.mid)
            for section in offered.sections
            if section.kind != "application"
        }
        extensions = {media.rtp.muxId: media.rtp.headerExtensions for media in parse_sdp(offered.offer.sdp).media}
        for section in offered.sections:
            if section.mid not in sections:
                continue
            transceiver = sections[section.mid]
            prefer(transceiver)
            if section.kind == "video":
                allow_layers(transceiver, extensions[section.mid])
            if section.sends and not section.is_refused and section.mid not in self._inlets:
                self._open(section.mid, transceiver)
        if outbound is not None:
            self._usable = [
                sections[section.mid]
                for section in offered.sections
                if section.mid in sections and section.receives and not section.sends and not section.is_refused
            ]
            outbound.place(self._usable)
            outbound.settle()
        for mid, transceiver in sections.items():
            sends = outbound is not None and outbound.is_sent_in(transceiver)
            hears = mid in self._inlets
            transceiver.direction = (
                ("sendrecv" if hears else "sendonly") if sends else "recvonly" if hears else "inactive"
            )

    def _open(self, mid: str, transceiver: RTCRtpTransceiver) -> None:
        inlet = self._inlets[mid] = IncomingTrack(
            mid, transceiver, lull=self._config.lull, estimate=self.connection.estimate, events=self._events
        )
        inlet.listen(mid in self._wanted)
        for track in self._followers.get(mid, ()):
            inlet.follow(track)
        assert self.intakes is not None
        self.intakes.start(inlet.source)
