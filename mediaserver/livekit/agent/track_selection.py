"""What the assistant hears and sees of a participant: one voice, one screen, the newest of each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from livekit.protocol.models import AudioTrackFeature, TrackSource

from mediaserver.livekit.agent.participant_peer import ParticipantPeer
from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.room.active_speakers import level_of
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.publications import Track
from pipeline.errors import MediaError
from pipeline.media import AudioChunk, ScreenFrame

MAX_NAMES = 64
"""Names of videos that are remembered, the newest, whether or not there are videos of these."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A track and the section that carried it when it was chosen."""

    track: Track
    mid: str


class TrackSelection:
    """Chooses among a client's tracks, and passes what comes of the chosen ones on to its peer.

    `on_received` is told a track that is heard or seen, `on_level` how loud the voice is, or None as it is muted.
    """

    def __init__(
        self,
        participant: Participant,
        link: Link,
        *,
        on_received: Callable[[Track], None],
        on_level: Callable[[float | None], None],
    ):
        self.peer: ParticipantPeer | None = None
        """Who hears and sees it; nobody at first."""
        self._participant = participant
        self._link = link
        self._on_received = on_received
        self._on_level = on_level
        self._voice: _Shown | None = None
        self._screen: _Shown | None = None
        self._is_muted = True
        self._names: Mapping[str, str] = {}

    @property
    def voice(self) -> Track | None:
        """The microphone."""
        return self._voice.track if self._voice is not None else None

    def name(self, names: Mapping[str, str]) -> None:
        """Take what the client says of its videos, by section or by track."""
        self._names = dict([*{**self._names, **names}.items()][-MAX_NAMES:])
        self.choose()

    def choose(self) -> None:
        """Look what there is now."""
        voice, screen = _shown(find_voice(self._participant)), _shown(find_screen(self._participant, self._names))
        if voice != self._voice:
            self._swap(self._voice, voice)
        if screen != self._screen:
            self._swap(self._screen, screen)
            if self.peer is not None:
                self.peer.stop_screen_share()
        self._voice, self._screen = voice, screen
        was_muted, self._is_muted = self._is_muted, voice is None or voice.track.info.muted
        if self._is_muted and not was_muted:
            self._on_level(None)
            if self.peer is not None:
                self.peer.end_audio()

    def push_audio(self, mid: str, chunk: AudioChunk) -> None:
        """Take what a section sounds like."""
        voice = self._voice
        if voice is None or voice.mid != mid or self._is_muted or self.peer is None:
            return
        self._on_received(voice.track)
        self._on_level(level_of(chunk))
        # Until then, what is said is in the recording that will come.
        if voice.track.is_subscribed or not is_recorded(voice.track):
            self.peer.push_audio(chunk)

    def push_frame(self, mid: str, frame: ScreenFrame) -> None:
        """Take what a section shows."""
        if self._screen is not None and self._screen.mid == mid and self.peer is not None:
            self._on_received(self._screen.track)
            self.peer.push_frame(frame)

    def pause(self, mid: str) -> None:
        """A section's sender pauses."""
        if self._screen is not None and self._screen.mid == mid and self.peer is not None:
            self.peer.stop_screen_share()

    def report_error(self, mid: str, error: MediaError) -> None:
        """A section cannot be decoded."""
        chosen = [shown.mid for shown in (self._voice, self._screen) if shown is not None]
        if mid in chosen and self.peer is not None:
            self.peer.report_error(error)

    def expect_recording(self, track: Track) -> None:
        """The client knows now that a track is received: it sends what was said before, if it has kept that."""
        if track is self.voice and is_recorded(track) and self.peer is not None:
            self.peer.expect_recording()

    def _swap(self, old: _Shown | None, new: _Shown | None) -> None:
        if old is not None:
            self._link.listen(old.mid, is_wanted=False)
        if new is not None:
            self._link.listen(new.mid, is_wanted=True)


def find_voice(participant: Participant) -> Track | None:
    """The microphone."""
    voices = (TrackSource.MICROPHONE, TrackSource.UNKNOWN)
    return next((track for track in _readable(participant, "audio") if track.info.source in voices), None)


def find_screen(participant: Participant, names: Mapping[str, str]) -> Track | None:
    """The screen: what the client has named so, by section or by track, else what was published as one."""
    shown = [track for track in _readable(participant, "video") if not track.info.muted]
    named = {track.sid: names.get(track.sid) or names.get(track.mid or "") for track in shown}
    for track in shown:
        if named[track.sid] == "screen":
            return track
    for source in (TrackSource.SCREEN_SHARE, TrackSource.UNKNOWN):
        for track in shown:
            if track.info.source == source and named[track.sid] is None:
                return track
    return None


def is_recorded(track: Track) -> bool:
    """Whether a client keeps what is said until it knows that the track is received, and sends it then."""
    return AudioTrackFeature.TF_PRECONNECT_BUFFER in track.info.audio_features


def _shown(track: Track | None) -> _Shown | None:
    return _Shown(track, track.mid) if track is not None and track.mid is not None else None


def _readable(participant: Participant, kind: str) -> list[Track]:
    tracks = participant.publications.tracks.values()
    return [track for track in tracks if track.kind == kind and track.mid is not None and not track.is_encrypted][::-1]
