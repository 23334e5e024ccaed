"""The publisher peer connection, which the client offers: its tracks, and in single mode all others too."""

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
from mediaserver.rtc.peer_connection import PeerConnection
from mediaserver.rtc.sdp.offer import OfferError, parse_sdp
from mediaserver.rtc.throttle import Throttle

MAX_SECTIONS_EVER = 256
"""Media sections that one connection may have in its life, replaced ones included."""


class PublisherConnection:
    """Answers a client's offers. The caller opens it first, and awaits each answer before the next offer."""

    def __init__(
        self,
        config: Config,
        events: LinkEvents,
        *,
        client: str,
        on_state: Callable[[str], None],
        on_channel: Callable[[RTCDataChannel], None],
    ):
        self.connection = PeerConnection(config, client=client, on_state=on_state, on_channel=on_channel)
        self.readers: TrackReaders | None = None
        self._config = config
        self._group: asyncio.TaskGroup | None = None
        self._events = events
        self._places: list[tuple[str, str]] = []  # mid and kind, by m-line
        self._used_mids: set[str] = set()  # of all offers so far
        self._incoming: dict[str, IncomingTrack] = {}
        self._wanted: set[str] = set()
        self._followers: dict[str, list[ForwardedTrack]] = {}
        self._requests: dict[str, Throttle] = {}  # for key frame requests, by mid
        self._usable: list[RTCRtpTransceiver] = []  # sections of the newest offer for outgoing tracks

    def open(self, group: asyncio.TaskGroup) -> None:
        """Run in this task group."""
        self._group = group
        self.readers = TrackReaders(group, on_ended=lambda _: None)
        self.connection.open(group)

    def close(self) -> None:
        """Start no more tasks in the group, even if others still request key frames."""
        self._group = None

    def parse(self, sdp: str) -> RenegotiationOffer:
        """Parse an offer, and check it against the one before. Raises `OfferError`."""
        offered = parse_renegotiable(sdp)
        places = [(section.mid, section.kind) for section in offered.sections]
        if len(places) < len(self._places):
            raise OfferError("An offer must have all sections of the one before.")
        fresh = {mid for mid, _ in set(places) - set(self._places)}
        stays = all(
            place == before for place, before in zip(places, self._places, strict=False) if place[0] not in fresh
        )
        if (
            fresh & self._used_mids
            or not stays
            or any(before[1] == "application" != place[1] for place, before in zip(places, self._places, strict=False))
        ):
            raise OfferError(
                "A section must stay where it is in the offer before, or make room for one with a new mid."
            )
        if len(self._used_mids) + len(fresh) > MAX_SECTIONS_EVER:
            raise OfferError(f"The connection has had {MAX_SECTIONS_EVER} sections; make a new one.")
        return offered

    async def answer(self, offered: RenegotiationOffer, outgoing: OutgoingTracks | None) -> Answer:
        """Answer what was parsed; tracks of `outgoing` go into sections that are free. Raises one of `REFUSALS`."""
        await self._clear(offered, outgoing)
        await self.connection.apply_remote(offered.offer.sdp, "offer")
        for candidate in offered.offer.candidates:
            self.connection.add_candidate(candidate)
        self._assign_directions(offered, outgoing)
        sdp = await self.connection.answer()
        for incoming in self._incoming.values():
            incoming.apply()
        return Answer(offered.finish(sdp), offered.sections, {} if outgoing is None else outgoing.mids)

    def listen(self, mid: str, *, is_wanted: bool) -> None:
        """Decode a section, or stop; the section may not exist yet."""
        if is_wanted:
            self._wanted.add(mid)
        else:
            self._wanted.discard(mid)
        if mid in self._incoming:
            self._incoming[mid].listen(is_wanted)

    def follow(self, mid: str, kind: str) -> ForwardedTrack:
        """Return a new track that forwards a section, which may not exist yet."""
        requests = self._requests.setdefault(mid, Throttle(KEYFRAME_PERIOD))

        def request_keyframe() -> None:
            incoming = self._incoming.get(mid)
            if self._group is None or incoming is None or not isinstance(incoming.source, InboundVideoTrack):
                return
            if requests.allow(time.monotonic()):
                self._group.create_task(incoming.source.request_keyframe())

        def source_codec() -> str:
            return self._incoming[mid].codec if mid in self._incoming else ""

        track = ForwardedTrack(kind, request_keyframe=request_keyframe, source_codec=source_codec)
        self._followers.setdefault(mid, []).append(track)
        if mid in self._incoming:
            self._incoming[mid].follow(track)
        return track

    def unfollow(self, track: ForwardedTrack) -> None:
        """Stop forwarding to a track."""
        for tracks in self._followers.values():
            if track in tracks:
                tracks.remove(track)
        for incoming in self._incoming.values():
            incoming.unfollow(track)

    def missing_sections(self, outgoing: OutgoingTracks) -> MissingSections:
        """Count the media sections that the newest offer lacked."""
        return outgoing.missing_sections(self._usable)

    # Steps of a negotiation.

    async def _clear(self, offered: RenegotiationOffer, outgoing: OutgoingTracks | None) -> None:
        """End the tracks whose sections the client no longer sends or receives."""
        sections = {section.mid: section for section in offered.sections if not section.is_refused}
        for mid, incoming in [*self._incoming.items()]:
            if mid not in sections or not sections[mid].sends:
                del self._incoming[mid]
                self._followers.pop(mid, None)
                if self.readers is not None:
                    await self.readers.end(incoming.source)
                await renew_receiver(incoming.section)
        if outgoing is not None:
            known = [transceiver for transceiver in self.connection.raw.getTransceivers() if transceiver.mid]
            await outgoing.release(
                transceiver
                for transceiver in known
                if transceiver.mid not in sections or not sections[transceiver.mid].receives
            )
        for section, (before, _) in zip(offered.sections, self._places, strict=False):
            if section.mid != before:
                recycle_section(self.connection.section(before))
        self._places = [(section.mid, section.kind) for section in offered.sections]
        self._used_mids.update(section.mid for section in offered.sections)

    def _assign_directions(self, offered: RenegotiationOffer, outgoing: OutgoingTracks | None) -> None:
        """Set the codecs, direction and track of each section before the answer."""
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
            if section.sends and not section.is_refused and section.mid not in self._incoming:
                self._open(section.mid, transceiver)
        if outgoing is not None:
            self._usable = [
                sections[section.mid]
                for section in offered.sections
                if section.mid in sections and section.receives and not section.sends and not section.is_refused
            ]
            outgoing.place(self._usable)
            outgoing.settle()
        for mid, transceiver in sections.items():
            sends = outgoing is not None and outgoing.is_sent_in(transceiver)
            receives = mid in self._incoming
            transceiver.direction = (
                ("sendrecv" if receives else "sendonly") if sends else "recvonly" if receives else "inactive"
            )

    def _open(self, mid: str, transceiver: RTCRtpTransceiver) -> None:
        incoming = self._incoming[mid] = IncomingTrack(
            mid, transceiver, lull=self._config.lull, estimate=self.connection.estimate, events=self._events
        )
        incoming.listen(mid in self._wanted)
        for track in self._followers.get(mid, ()):
            incoming.follow(track)
        assert self.readers is not None
        self.readers.start(incoming.source)
