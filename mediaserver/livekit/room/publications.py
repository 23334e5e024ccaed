"""The publications of one client: its announced tracks, and the media sections that carry them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from livekit.protocol.models import SimulcastCodecInfo, TrackInfo, TrackType
from livekit.protocol.rtc import AddTrackRequest

from mediaserver.livekit.media.types import OfferedSection

MAX_TRACKS = 20
"""The limit of tracks per participant, announced or live."""

AUDIO_MIME = "audio/opus"
VIDEO_MIMES = ("video/VP8", "video/H264")

_KINDS = {TrackType.AUDIO: "audio", TrackType.VIDEO: "video"}


class TooMany(Exception):
    """The participant has `MAX_TRACKS` tracks already."""


@dataclass(slots=True, eq=False)
class Track:
    """An announced track; `mid` is the section that carries it, once offered."""

    info: TrackInfo
    cids: set[str]
    """The client's names of the track, one of which its section has as `a=msid`."""
    mid: str | None = None
    is_guess: bool = False
    """Whether its section was bound by kind only, as it names an unknown track."""
    is_subscribed: bool = False
    """Whether the client has been sent the subscription report."""

    @property
    def sid(self) -> str:
        """The id in the room."""
        return self.info.sid

    @property
    def kind(self) -> str:
        """The media kind: audio or video."""
        return _KINDS.get(self.info.type, "")

    @property
    def is_encrypted(self) -> bool:
        """Whether it is end-to-end encrypted, so that the assistant cannot decode it."""
        return self.info.encryption != 0


@dataclass(frozen=True, slots=True)
class TrackChanges:
    """The changes by an offer: tracks that begin, end, or are refused for lack of a common codec."""

    begun: tuple[Track, ...] = ()
    ended: tuple[Track, ...] = ()
    refused: tuple[Track, ...] = ()


@dataclass(slots=True)
class Publications:
    """Binds a client's announced tracks to offered sections; announcement and offer may come in either order."""

    make_sid: Callable[[str], str]
    tracks: dict[str, Track] = field(default_factory=dict)
    _sending: dict[str, OfferedSection] = field(default_factory=dict)

    def add(self, request: AddTrackRequest) -> tuple[Track, bool]:
        """Announce a track; False if it was announced before, such as for a second codec. Raises `TooMany`."""
        known = self.tracks.get(request.sid) if request.sid else self._waiting(request.cid)
        if known is not None:
            known.cids |= _cids(request)
            return known, False
        if len(self.tracks) >= MAX_TRACKS:
            raise TooMany
        track = Track(_info(request, self.make_sid("TR_")), _cids(request))
        self.tracks[track.sid] = track
        self._bind_named(track)
        return track, True

    def match(self, sections: Iterable[OfferedSection]) -> TrackChanges:
        """Bind the tracks to the sections of an answered offer, and remove those without one."""
        self._sending = {each.mid: each for each in sections if each.sends and each.kind in ("audio", "video")}
        ended = [track for track in self.tracks.values() if track.mid is not None and track.mid not in self._sending]
        for track in ended:
            del self.tracks[track.sid]
        before = {track.sid: track.mid for track in self.tracks.values()}
        for track in list(self.tracks.values()):
            self._bind_named(track)
        self._bind_by_kind()
        begun = [track for track in self.tracks.values() if track.mid is not None and before[track.sid] != track.mid]
        refused = [track for track in begun if track.mid is not None and self._sending[track.mid].is_refused]
        return TrackChanges(tuple(track for track in begun if track not in refused), tuple(ended), tuple(refused))

    def remove(self, sid: str) -> None:
        """Remove a track."""
        del self.tracks[sid]

    def carried_by(self, mid: str) -> Track | None:
        """Return the track that a section carries."""
        return next((track for track in self.tracks.values() if track.mid == mid), None)

    def _waiting(self, cid: str) -> Track | None:
        return next((track for track in self.tracks.values() if track.mid is None and cid in track.cids), None)

    def _bind_named(self, track: Track) -> None:
        if track.mid is not None and not track.is_guess:
            return
        for section in self._sending.values():
            if section.kind != track.kind or section.cid is None or _plain(section.cid) not in track.cids:
                continue
            holder = self.carried_by(section.mid)
            if holder is None or holder.is_guess:
                if holder is not None:
                    holder.mid, holder.is_guess = None, False
                track.mid, track.is_guess = section.mid, False
                return

    def _bind_by_kind(self) -> None:
        # As LiveKit's own server does: some clients use other track names in offers.
        named = {_plain(section.cid) for section in self._sending.values() if section.cid is not None}
        for section in self._sending.values():
            if self.carried_by(section.mid) is not None:
                continue
            for track in self.tracks.values():
                if track.mid is None and track.kind == section.kind and not track.cids & named:
                    track.mid, track.is_guess = section.mid, True
                    break


def _cids(request: AddTrackRequest) -> set[str]:
    return {_plain(cid) for cid in (request.cid, *(codec.cid for codec in request.simulcast_codecs)) if cid}


def _plain(cid: str) -> str:
    return cid.strip("{}")  # Firefox puts the names of tracks in braces


def _info(request: AddTrackRequest, sid: str) -> TrackInfo:
    info = TrackInfo(
        sid=sid,
        type=request.type,
        name=request.name,
        source=request.source,
        muted=request.muted,
        width=request.width,
        height=request.height,
        layers=request.layers,
        simulcast=len(request.layers) > 1,
        disable_dtx=request.disable_dtx,
        stereo=request.stereo,
        disable_red=True,
        encryption=request.encryption,
        stream=request.stream,
        audio_features=request.audio_features,
        backup_codec_policy=request.backup_codec_policy,
    )
    if request.type == TrackType.AUDIO:
        info.mime_type = AUDIO_MIME
    else:
        # A client switches to the codec of this response.
        info.mime_type = _video_mime(request)
        layers = request.simulcast_codecs[0].layers if request.simulcast_codecs else request.layers
        info.codecs.append(
            SimulcastCodecInfo(mime_type=info.mime_type, cid=request.cid, layers=layers or request.layers)
        )
    return info


def _video_mime(request: AddTrackRequest) -> str:
    wanted = [codec.codec.lower().removeprefix("video/") for codec in request.simulcast_codecs]
    known = {mime.lower().removeprefix("video/"): mime for mime in VIDEO_MIMES}
    return next((known[codec] for codec in wanted if codec in known), VIDEO_MIMES[0])
