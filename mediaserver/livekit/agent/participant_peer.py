"""One client in a room as a peer of its conversation: events out as data, data in as questions and commands."""

import asyncio
import json
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from time import monotonic
from typing import Protocol

from livekit.protocol.models import DataPacket

from mediaserver.event_codec import command_from, parse_command, render
from mediaserver.livekit.agent.preconnect_audio import PreConnectAudio
from mediaserver.livekit.agent.runtime_config import parse_runtime_config
from mediaserver.livekit.agent.transcript_log import TranscriptLog
from mediaserver.livekit.protocol.data_packet import user_packet
from mediaserver.livekit.protocol.data_streams import Assembler, Received, text_stream
from mediaserver.livekit.protocol.rpc import MAX_PAYLOAD, REQUEST_TOPIC, RpcFailure, RpcServer
from mediaserver.livekit.protocol.transcription import TrackRef, Transcripts
from pipeline.codecs.audio_decoder import AudioDecoder, AudioFormat
from pipeline.errors import FaultCode, MediaError, ProtocolError
from pipeline.events import (
    EndReason,
    Event,
    Interrupt,
    NameTracks,
    SessionEnded,
    SessionStarted,
    State,
    StateChanged,
    Transcript,
    fault_from,
)
from pipeline.media import AudioChunk, ScreenFrame, SpeechFrame
from pipeline.peer import ConversationPort

EVENTS = "events"
"""The topic of what clients of other transports get and send as JSON."""

CHAT = "lk.chat"
OLD_CHAT = "lk-chat-topic"
RECORDING = "lk.agent.pre-connect-audio-buffer"

MAX_BAD_MESSAGES = 20
MAX_COMMAND = 65_536
MAX_RECORDING = 12.0
"""Seconds of audio from before the connection that are heard."""

_LARGEST_PACKET = 15_000

# The states of livekit-agents. Its front ends take the user's turn to be `listening`, and `idle` for nobody there.
_STATES = {
    State.CONNECTING: "initializing",
    State.IDLE: "listening",
    State.LISTENING: "listening",
    State.THINKING: "thinking",
    State.SPEAKING: "speaking",
    State.RECONNECTING: "initializing",
}


class ParticipantChannel(Protocol):
    """The client's session, as its peer sees it."""

    @property
    def voice(self) -> TrackRef:
        """Who it is, and the track of its microphone."""
        ...

    def send(self, packet: DataPacket) -> None:
        """Send a packet, in the assistant's name unless it says another's."""
        ...

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        ...

    def flush_audio(self) -> None:
        """Send nothing more of what was played."""
        ...

    def set_agent_state(self, state: str) -> None:
        """Show what the assistant does."""
        ...

    def name_tracks(self, names: Mapping[str, str]) -> None:
        """Take what the client says of its videos."""
        ...

    def want_voice(self, is_wanted: bool) -> None:
        """Send the assistant's voice, or not."""
        ...

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Do something that takes time."""
        ...

    def on_dismissed(self, reason: EndReason) -> None:
        """The conversation is over."""
        ...

    def on_abuse(self) -> None:
        """The client sends nothing but nonsense."""
        ...


class ParticipantPeer:
    """Attached as soon as it is made, until `leave`."""

    def __init__(
        self,
        client: ParticipantChannel,
        host: ConversationPort,
        chronicle: TranscriptLog,
        assistant: TrackRef,
        *,
        name: str,
    ):
        self._client = client
        self._host = host
        self._chronicle = chronicle
        self._label = ""
        self._transcripts = Transcripts(host.config.id, host.config.language, assistant)
        self._assembler = Assembler([CHAT, EVENTS, RECORDING, REQUEST_TOPIC])
        self._rpc = RpcServer(
            {"interrupt": self._interrupt, "set_config": self._set_config, "get_history": self._get_history}
        )
        self._live = PreConnectAudio()
        self._turns = host.config.turns
        self._is_silent = True
        self._bad_messages = 0
        self._has_farewell = False
        self._has_left = False
        host.attach(self, name=name)

    @property
    def voice(self) -> TrackRef:
        """Whose voice it is."""
        return self._client.voice

    def leave(self, *, grace: float) -> None:
        """Take no further part; the conversation waits `grace` seconds for somebody."""
        if not self._has_left:
            self._has_left = True
            self._host.detach(self, grace=grace)

    # Down: what the conversation says.

    def send_event(self, event: Event) -> None:
        """Send an event in every form that clients know."""
        if self._has_left:
            return
        match event:
            case SessionStarted():
                self._label = event.label
            case StateChanged(state):
                self._client.set_agent_state(_STATES[state])
            case Transcript(turn):
                speaker = self._host.speaker(turn)
                self._send(
                    self._transcripts.push(event, speaker.voice if isinstance(speaker, ParticipantPeer) else None)
                )
            case SessionEnded():
                self._has_farewell = True
                self._send(self._transcripts.close())
        body = render(event, self._label)
        if body is not None:
            self._send_event(json.dumps(body, ensure_ascii=False, separators=(",", ":")))

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        self._client.send_audio(frame)

    def flush_audio(self) -> None:
        """Send nothing more of what was played."""
        self._client.flush_audio()

    def disconnect(self, reason: EndReason) -> None:
        """Say goodbye, and let the client go."""
        if not self._has_farewell:
            self.send_event(SessionEnded(reason))
        self._has_left = True
        self._client.on_dismissed(reason)

    # Up: what the client says.

    def expect_recording(self) -> None:
        """Audio from before the connection is on its way."""
        self._live.expect_recording(monotonic())

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take live audio."""
        self._is_silent = False
        self._push_audio(self._live.push(chunk, monotonic()))

    def end_audio(self) -> None:
        """The microphone is muted or gone."""
        self._is_silent = True
        self._host.end_audio(self)

    def check_timeouts(self, now: float) -> None:
        """Wait no longer than is due at `now` (monotonic s) for a recording."""
        if self._live.is_overdue(now):
            self._release()

    def push_frame(self, frame: ScreenFrame) -> None:
        """Take a picture of the screen."""
        self._host.push_frame(self, frame)

    def stop_screen_share(self) -> None:
        """The screen is not shared any more, or pauses."""
        self._host.stop_screen_share(self)

    def report_error(self, error: MediaError) -> None:
        """Report a fault of the media."""
        self._host.report_error(error)

    def on_data_packet(self, packet: DataPacket) -> None:
        """Take a packet that is meant for the assistant; what is malformed is told, and nothing else happens."""
        if self._has_left:
            return
        try:
            self._handle_packet(packet)
        except ProtocolError as error:
            self.reject_message(error)
        else:
            self._bad_messages = 0

    def reject_message(self, error: MediaError) -> None:
        """Tell the client of a bad message; too many in a row are the end."""
        self.send_event(fault_from(error))
        self._bad_messages += 1
        if self._bad_messages >= MAX_BAD_MESSAGES:
            self._client.on_abuse()

    def _handle_packet(self, packet: DataPacket) -> None:
        match packet.WhichOneof("value"):
            case "user" if packet.user.topic == EVENTS:
                self._command(packet.user.payload)
            case "user" if packet.user.topic == OLD_CHAT:
                self._handle_legacy_chat(packet.user.payload)
            case "chat_message" if not packet.chat_message.deleted:
                self._submit_text(packet.chat_message.message)
            case "rpc_request":
                self._send(self._rpc.answer(packet.rpc_request, packet.participant_identity))
            case "stream_header" | "stream_chunk" | "stream_trailer":
                stream = self._assembler.push(packet, monotonic())
                if stream is not None:
                    self._handle_stream(stream)

    def _handle_stream(self, stream: Received) -> None:
        match stream.topic:
            case "lk.chat" if stream.is_text:
                self._submit_text(stream.text)
            case "events":
                self._command(stream.content)
            case "lk.rpc_request":
                self._send(self._rpc.answer_stream(stream, stream.sender))
            case "lk.agent.pre-connect-audio-buffer":
                self._client.spawn(self._push_recording(stream))

    def _command(self, payload: bytes) -> None:
        if len(payload) > MAX_COMMAND:
            raise ProtocolError(f"A message is at most {MAX_COMMAND} bytes long.", code=FaultCode.PAYLOAD_TOO_LARGE)
        command = parse_command(payload)
        if isinstance(command, NameTracks):
            self._client.name_tracks(command.mids)
        else:
            self._host.submit(self, command)

    def _submit_text(self, text: str) -> None:
        self._host.submit(self, command_from({"action": "text_input", "text": text}))

    def _handle_legacy_chat(self, payload: bytes) -> None:
        try:
            message = json.loads(payload)
        except (ValueError, RecursionError):
            raise ProtocolError(f"A message on {OLD_CHAT} is JSON with `message`.") from None
        match message:
            # Newer clients send the same on lk.chat, too, and say so.
            case {"ignoreLegacy": True}:
                return
            case {"message": str(text)}:
                self._submit_text(text)
            case _:
                raise ProtocolError(f"A message on {OLD_CHAT} is JSON with `message`.")

    async def _push_recording(self, stream: Received) -> None:
        if not self._live.is_waiting:
            return  # it comes too late: what was said after it has been heard
        seconds = 0.0
        try:
            for chunk in _decoded(stream):
                if chunk is not None:
                    seconds += chunk.duration
                    self._push_audio(self._live.prepend_recording([chunk]))
                if seconds > MAX_RECORDING:
                    break
                await asyncio.sleep(0)  # so that it is heard as it comes, and others have their turn
        except MediaError as error:
            self.send_event(fault_from(error))
        self._release()

    def _release(self) -> None:
        self._push_audio(self._live.release())
        if self._is_silent:
            self._host.end_audio(self)  # which could close nothing while this waited

    def _push_audio(self, chunks: Iterable[AudioChunk]) -> None:
        for chunk in chunks:
            self._host.push_audio(self, chunk)

    # Calls.

    def _interrupt(self, _: str) -> str:
        self._host.submit(self, Interrupt())
        return "{}"

    def _set_config(self, payload: str) -> str:
        tuning = parse_runtime_config(payload)
        if tuning.audio is not None:
            self._client.want_voice(tuning.audio)
        if tuning.is_of_microphone:
            self._turns = tuning.applied(self._turns)
            self._host.update_turn_settings(self, self._turns)
        vad = {"threshold": self._turns.threshold, "silence_ms": round(self._turns.silence * 1000)}
        return json.dumps({"vad": vad})

    def _get_history(self, payload: str) -> str:
        head = f'{{"sessionId": {json.dumps(self._label)}, "entries": ['
        entries: list[str] = []
        left = MAX_PAYLOAD - len(f"{head}]}}".encode())
        for entry in reversed(self._chronicle.newest(_limit(payload))):
            text = json.dumps(entry, ensure_ascii=False)
            left -= len(f"{text}, ".encode())
            if left < 0:
                break  # a response holds only so much: the oldest give way
            entries.append(text)
        return f"{head}{', '.join(reversed(entries))}]}}"

    # Sending.

    def _send(self, packets: Iterable[DataPacket]) -> None:
        for packet in packets:
            self._client.send(packet)

    def _send_event(self, text: str) -> None:
        data = text.encode()
        if len(data) <= _LARGEST_PACKET:
            self._client.send(user_packet(data, EVENTS))
        else:
            self._send(text_stream(EVENTS, text, {}))


def _limit(payload: str) -> int:
    try:
        message = json.loads(payload or "{}")
    except (ValueError, RecursionError):
        message = None
    match message:
        case {"limit": int(limit)} if not isinstance(limit, bool) and 1 <= limit <= 200:
            return limit
        case dict() if "limit" not in message:
            return 200
        case _:
            raise RpcFailure('get_history takes {"limit": 1 to 200}, or nothing')


def _decoded(stream: Received) -> Iterator[AudioChunk | None]:
    """What was recorded: compressed audio says itself how it is packed, everything else is bare samples."""
    is_packed = any(name in stream.mime_type for name in ("opus", "webm", "ogg"))
    rate, channels = (stream.attributes.get(name, "") for name in ("sampleRate", "channels"))
    return AudioDecoder().push(
        stream.content,
        audio_format=AudioFormat.OPUS if is_packed else AudioFormat.PCM,
        rate=int(rate) if rate.isascii() and rate.isdecimal() and len(rate) < 7 else 48_000,
        channels=2 if channels == "2" else 1,
    )
