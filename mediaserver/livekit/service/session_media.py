"""The media of one participant: its tracks to the assistant, and the tracks that it subscribes to."""

from collections.abc import Mapping
from time import monotonic

from mediaserver.livekit.agent.participant_peer import ParticipantPeer
from mediaserver.livekit.agent.track_selection import TrackSelection
from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.media.types import Outgoing
from mediaserver.livekit.protocol.transcription import TrackRef
from mediaserver.livekit.room.participant import Participant
from mediaserver.livekit.room.publications import Track
from mediaserver.livekit.service.room_context import RoomContext
from mediaserver.livekit.service.subscriptions import SubscriptionForwarder
from pipeline.errors import MediaError
from pipeline.media import AudioChunk, ScreenFrame


class SessionMedia:
    """Passes the selected tracks to the assistant, and forwards the tracks of others to the participant."""

    def __init__(self, context: RoomContext, participant: Participant, link: Link):
        self._context = context
        self._room = context.room
        self._participant = participant
        self._link = link
        self._is_voice_enabled = True
        self._subscribed_due: dict[str, float] = {}  # by track, the time (monotonic s) to report a subscription
        track, assistant = self._room.assistant.track.sid, self._room.assistant.sid
        link.speak(Outgoing(track, f"{assistant}|{track}", "audio"))
        self._selection = TrackSelection(
            participant, link, on_received=self._schedule_subscribed, on_level=self._on_level
        )
        self._subscriptions = SubscriptionForwarder(link, context.link)

    @property
    def voice(self) -> TrackRef:
        """The participant and the track of its microphone."""
        track = self._selection.voice
        return TrackRef(self._participant.identity, track.sid if track is not None else "")

    def set_peer(self, peer: ParticipantPeer) -> None:
        """Deliver the selected tracks to this peer."""
        self._selection.peer = peer

    def update(self) -> bool:
        """Apply the present publications and subscriptions; True if new tracks need a negotiation."""
        self._selection.choose()
        self._update_voice()
        return self._subscriptions.update(self._room.forwards(self._participant))

    def publisher(self, track: str) -> str | None:
        """Return the sid of the participant whose track is forwarded here."""
        return self._subscriptions.publisher(track)

    def mark_subscribed(self, sid: str) -> None:
        """Schedule the report to the client that a track of it has a receiver."""
        track = self._participant.publications.tracks.get(sid)
        if track is not None:
            self._schedule_subscribed(track)

    def send_due(self, now: float) -> None:
        """Send the subscription reports that are due at `now` (monotonic s)."""
        for sid in [sid for sid, due in self._subscribed_due.items() if now >= due]:
            del self._subscribed_due[sid]
            track = self._participant.publications.tracks.get(sid)
            if track is not None:
                self._room.subscription_permitted(self._participant, track)
                self._selection.expect_recording(track)

    def name_tracks(self, names: Mapping[str, str]) -> None:
        """Apply the client's names for its videos, by section or by track."""
        self._selection.name(names)

    def enable_voice(self, is_enabled: bool) -> None:
        """Send the assistant's voice, or pause it."""
        self._is_voice_enabled = is_enabled
        self._update_voice()

    def push_audio(self, mid: str, chunk: AudioChunk) -> None:
        """Pass on decoded audio of a section."""
        self._selection.push_audio(mid, chunk)

    def push_frame(self, mid: str, frame: ScreenFrame) -> None:
        """Pass on a decoded video frame of a section."""
        self._selection.push_frame(mid, frame)

    def pause(self, mid: str) -> None:
        """Handle an RTCP BYE of a section."""
        self._selection.pause(mid)

    def report_error(self, mid: str, error: MediaError) -> None:
        """Report a decoder error of a section."""
        self._selection.report_error(mid, error)

    def _update_voice(self) -> None:
        is_paused = not self._is_voice_enabled or not self._room.is_subscribed_to_assistant(self._participant)
        self._link.pause(self._room.assistant.track.sid, is_paused=is_paused)

    def _schedule_subscribed(self, track: Track) -> None:
        # Not at once: a client drops the report for a track that it is still publishing.
        if not track.is_subscribed and track.sid not in self._subscribed_due:
            self._subscribed_due[track.sid] = monotonic() + self._context.limits.publish

    def _on_level(self, level: float | None) -> None:
        if level is None:
            self._context.on_muted(self._participant.sid)
        else:
            self._context.on_audio_level(self._participant.sid, level)
