"""Transcriptions for LiveKit's front ends: text streams for new ones, transcription packets for older ones."""

from collections.abc import Iterator
from dataclasses import dataclass

from livekit.protocol.models import DataPacket, Transcription, TranscriptionSegment

from mediaserver.livekit.protocol.access_token import ASSISTANT
from mediaserver.livekit.protocol.data_streams import TextWriter, text_stream
from pipeline.events import Role, Transcript

TOPIC = "lk.transcription"

_SEGMENT, _FINAL, _TRACK = "lk.segment_id", "lk.transcription_final", "lk.transcribed_track_id"


@dataclass(frozen=True, slots=True)
class TrackRef:
    """The speaker of a transcription: a participant and its microphone track."""

    identity: str
    track: str


@dataclass(slots=True)
class _Reply:
    """The assistant's present reply and its open text stream."""

    turn: int
    writer: TextWriter
    written: str = ""


class Transcripts:
    """Renders the transcripts of one conversation for one client.

    The assistant's reply is one stream, to which text is appended until the reply ends. Each update of a user's
    transcript is a stream of its own with the whole text, sent as that user.
    """

    def __init__(self, session: str, language: str, assistant: TrackRef):
        self._session = session
        self._language = language
        self._assistant = assistant
        self._reply: _Reply | None = None

    def push(self, event: Transcript, speaker: TrackRef | None) -> Iterator[DataPacket]:
        """Render a transcript event; typed text (no `speaker`) is in the chat already and is left out."""
        if event.role is Role.ASSISTANT:
            yield from self._write(event)
            yield self._legacy(event, self._assistant)
        elif speaker is not None:
            attributes = self._attributes(event, speaker, final=event.final)
            for packet in text_stream(TOPIC, event.text, attributes):
                packet.participant_identity = speaker.identity
                yield packet
            yield self._legacy(event, speaker)

    def close(self) -> Iterator[DataPacket]:
        """End the open stream, if any."""
        if self._reply is not None:
            yield self._reply.writer.end({_FINAL: "true"})
            self._reply = None

    def _write(self, event: Transcript) -> Iterator[DataPacket]:
        reply = self._reply
        if reply is None or reply.turn != event.turn:
            yield from self.close()
            # Marked as not final at first: clients wait for the trailer to mark it final.
            reply = _Reply(event.turn, TextWriter(TOPIC, self._attributes(event, self._assistant, final=False)))
            self._reply = reply
            yield reply.writer.begin()
        if event.text.startswith(reply.written):
            yield from reply.writer.write(event.text[len(reply.written) :])
            reply.written = event.text
        # Else it was cut by a barge-in: a stream cannot shrink, but the legacy packet has the text that was played.
        if event.final:
            yield from self.close()

    def _attributes(self, event: Transcript, voice: TrackRef, *, final: bool) -> dict[str, str]:
        return {
            _SEGMENT: self._segment(event),
            _FINAL: "true" if final else "false",
            _TRACK: voice.track,
        }

    def _segment(self, event: Transcript) -> str:
        return f"SG_{self._session[:12]}_{event.turn}_{event.role.value}"

    def _legacy(self, event: Transcript, voice: TrackRef) -> DataPacket:
        segment = TranscriptionSegment(
            id=self._segment(event), text=event.text, final=event.final, language=self._language
        )
        return DataPacket(
            participant_identity=ASSISTANT,
            transcription=Transcription(
                transcribed_participant_identity=voice.identity, track_id=voice.track, segments=[segment]
            ),
        )
