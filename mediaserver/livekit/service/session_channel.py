"""The channel from the conversation's peer to one participant."""

from collections.abc import Coroutine, Mapping

from livekit.protocol.models import DataPacket, DisconnectReason

from mediaserver.livekit.media.link_protocol import Link
from mediaserver.livekit.protocol.transcription import TrackRef
from mediaserver.livekit.room.active_speakers import level_of
from mediaserver.livekit.service.room_context import RoomContext
from mediaserver.livekit.service.session_control import SessionControl
from mediaserver.livekit.service.session_data import SessionData
from mediaserver.livekit.service.session_media import SessionMedia
from pipeline.events import EndReason
from pipeline.media import SPEECH_SAMPLE_RATE, AudioChunk, SpeechFrame

_DISCONNECT_REASONS: dict[EndReason, DisconnectReason] = {
    EndReason.CLIENT: DisconnectReason.ROOM_CLOSED,
    EndReason.IDLE: DisconnectReason.ROOM_CLOSED,
    EndReason.LIMIT: DisconnectReason.ROOM_CLOSED,
    EndReason.SHUTDOWN: DisconnectReason.SERVER_SHUTDOWN,
    EndReason.ERROR: DisconnectReason.AGENT_ERROR,
}


class SessionChannel:
    """Carries the assistant's speech, data and state to the participant. Implements `ParticipantChannel`."""

    def __init__(
        self, session: SessionControl, context: RoomContext, link: Link, media: SessionMedia, data: SessionData
    ):
        self._session = session
        self._context = context
        self._link = link
        self._media = media
        self._data = data

    @property
    def voice(self) -> TrackRef:
        """The participant and the track of its microphone."""
        return self._media.voice

    def send(self, packet: DataPacket) -> None:
        """Send a packet as the assistant, unless it names another sender."""
        self._data.send(packet)

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        self._link.send_audio(frame.opus)
        assistant = self._context.room.assistant.sid
        self._context.on_audio_level(assistant, level_of(AudioChunk(frame.pcm, SPEECH_SAMPLE_RATE, 0.0)))

    def flush_audio(self) -> None:
        """Discard speech that is not sent yet."""
        self._link.flush_audio()

    def set_agent_state(self, state: str) -> None:
        """Set the assistant's state attribute."""
        self._context.room.set_agent_state(state)

    def name_tracks(self, names: Mapping[str, str]) -> None:
        """Apply the client's names for its videos, by section or by track."""
        self._media.name_tracks(names)

    def enable_voice(self, is_enabled: bool) -> None:
        """Send the assistant's voice, or pause it."""
        self._media.enable_voice(is_enabled)

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of the room."""
        self._context.spawn(work)

    def on_conversation_ended(self, reason: EndReason) -> None:
        """Disconnect the client, after a delay in which the last event arrives."""
        self._session.schedule_end(_DISCONNECT_REASONS[reason], self._context.limits.leave_delay)

    def on_abuse(self) -> None:
        """Disconnect a client that sends only malformed messages."""
        self._session.schedule_end(DisconnectReason.PARTICIPANT_REMOVED, 0.0)
