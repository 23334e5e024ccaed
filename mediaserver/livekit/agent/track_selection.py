"""The selection of the participant's tracks for the assistant: the newest microphone and the newest screen."""

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
"""Video names that are kept, the newest ones, whether or not such videos exist."""


@dataclass(frozen=True, slots=True)
class _SelectedTrack:
    """A track and the section that carried it when it was selected."""

    track: Track
    mid: str


class TrackSelection:
    """Selects among a client's tracks, and passes the media of the selected ones on to its peer.

    Calls `on_received` with a selected track when its media arrives, and `on_level` with the microphone's level from
    0 to 1, or None when it is muted.
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
        """The receiver of the media; None before the join is complete."""
        self._participant = participant
        self._link = link
        self._on_received = on_received
        self._on_level = on_level
        self._voice: _SelectedTrack | None = None
        self._screen: _SelectedTrack | None = None
        self._is_muted = True
        self._names: Mapping[str, str] = {}

    @property
    def voice(self) -> Track | None:
        """The selected microphone track."""
        return self._voice.track if self._voice is not None else None

    def name(self, names: Mapping[str, str]) -> None:
        """Apply the client's names for its videos, by section or by track."""
        self._names = dict([*{**self._names, **names}.items()][-MAX_NAMES:])
        self.choose()

    def choose(self) -> None:
        """Select among the tracks that are published now."""
        voice, screen = _selected(find_voice(self._participant)), _selected(find_screen(self._participant, self._names))
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
        """Pass on audio of a section if it carries the selected microphone."""
        voice = self._voice
        if voice is None or voice.mid != mid or self._is_muted or self.peer is None:
            return
        self._on_received(voice.track)
        self._on_level(level_of(chunk))
        # Before the client has the subscription report, it still records, so this audio will come again.
        if voice.track.is_subscribed or not is_recorded(voice.track):
            self.peer.push_audio(chunk)

    def push_frame(self, mid: str, frame: ScreenFrame) -> None:
        """Pass on a frame of a section if it carries the selected screen."""
        if self._screen is not None and self._screen.mid == mid and self.peer is not None:
            self._on_received(self._screen.track)
            self.peer.push_frame(frame)

    def pause(self, mid: str) -> None:
        """Pause the screen share if the section carries it."""
        if self._screen is not None and self._screen.mid == mid and self.peer is not None:
            self.peer.stop_screen_share()

    def report_error(self, mid: str, error: MediaError) -> None:
        """Report a decoder error of a section that carries a selected track."""
        selected = [each.mid for each in (self._voice, self._screen) if each is not None]
        if mid in selected and self.peer is not None:
            self.peer.report_error(error)

    def expect_recording(self, track: Track) -> None:
        """Wait for the recording of a track if its client sends one after the subscription report."""
        if track is self.voice and is_recorded(track) and self.peer is not None:
            self.peer.expect_recording()

    def _swap(self, old: _SelectedTrack | None, new: _SelectedTrack | None) -> None:
        if old is not None:
            self._link.listen(old.mid, is_wanted=False)
        if new is not None:
            self._link.listen(new.mid, is_wanted=True)


def find_voice(participant: Participant) -> Track | None:
    """Return the newest microphone track."""
    voices = (TrackSource.MICROPHONE, TrackSource.UNKNOWN)
    return next((track for track in _readable(participant, "audio") if track.info.source in voices), None)


def find_screen(participant: Participant, names: Mapping[str, str]) -> Track | None:
    """Return the newest video that the client names `screen`, else the newest published as a screen share."""
    unmuted = [track for track in _readable(participant, "video") if not track.info.muted]
    named = {track.sid: names.get(track.sid) or names.get(track.mid or "") for track in unmuted}
    for track in unmuted:
        if named[track.sid] == "screen":
            return track
    for source in (TrackSource.SCREEN_SHARE, TrackSource.UNKNOWN):
        for track in unmuted:
            if track.info.source == source and named[track.sid] is None:
                return track
    return None


def is_recorded(track: Track) -> bool:
    """Whether the client records pre-connect audio of a track and sends it after the subscription report."""
    return AudioTrackFeature.TF_PRECONNECT_BUFFER in track.info.audio_features


def _selected(track: Track | None) -> _SelectedTrack | None:
    return _SelectedTrack(track, track.mid) if track is not None and track.mid is not None else None


def _readable(participant: Participant, kind: str) -> list[Track]:
    tracks = participant.publications.tracks.values()
    return [track for track in tracks if track.kind == kind and track.mid is not None and not track.is_encrypted][::-1]
