"""A participant as a peer of the conversation: events become data packets, and data packets become commands."""

import json
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from time import monotonic
from typing import Protocol

from livekit.protocol.models import DataPacket

from mediaserver.bounded_json import JsonError, parse_json
from mediaserver.event_codec import command_from, parse_command, render
from mediaserver.livekit.agent.runtime_config import parse_runtime_config
from mediaserver.livekit.agent.transcript_log import TranscriptLog
from mediaserver.livekit.protocol.data_packet import user_packet
from mediaserver.livekit.protocol.data_streams import MAX_BYTES, Assembler, Received, text_stream
from mediaserver.livekit.protocol.rpc import MAX_PAYLOAD, REQUEST_TOPIC, RpcFailure, RpcServer
from mediaserver.livekit.protocol.transcription import TrackRef, Transcripts
from mediaserver.rtc.inbound.preconnect_audio import PreConnectAudio
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
"""The topic of the JSON events and actions, which all transports share."""

CHAT = "lk.chat"
OLD_CHAT = "lk-chat-topic"
RECORDING = "lk.agent.pre-connect-audio-buffer"

MAX_BAD_MESSAGES = 20
MAX_COMMAND = 65_536

_LARGEST_PACKET = 15_000

# The states of livekit-agents. Its front ends show `listening` in the user's turn, and `idle` without a user.
_STATES = {
    State.CONNECTING: "initializing",
    State.IDLE: "listening",
    State.LISTENING: "listening",
    State.THINKING: "thinking",
    State.SPEAKING: "speaking",
    State.RECONNECTING: "initializing",
}


class ParticipantChannel(Protocol):
    """Carries the assistant's speech, data and state to one participant."""

    @property
    def voice(self) -> TrackRef:
        """The participant and the track of its microphone."""
        ...

    def send(self, packet: DataPacket) -> None:
        """Send a packet as the assistant, unless it names another sender."""
        ...

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        ...

    def flush_audio(self) -> None:
        """Discard speech that is not sent yet."""
        ...

    def set_agent_state(self, state: str) -> None:
        """Set the assistant's state attribute."""
        ...

    def name_tracks(self, names: Mapping[str, str]) -> None:
        """Apply the client's names for its videos, by section or by track."""
        ...

    def enable_voice(self, is_enabled: bool) -> None:
        """Send the assistant's voice, or pause it."""
        ...

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine as a task of the room."""
        ...

    def on_conversation_ended(self, reason: EndReason) -> None:
        """Disconnect the client after the end of the conversation."""
        ...

    def on_abuse(self) -> None:
        """Disconnect a client that sends only malformed messages."""
        ...


class ParticipantPeer:
    """Connects one participant to a conversation, from its construction until `leave`."""

    def __init__(
        self,
        channel: ParticipantChannel,
        conversation: ConversationPort,
        transcript_log: TranscriptLog,
        assistant: TrackRef,
        *,
        name: str,
        count_bad_message: Callable[[], bool],
    ):
        """`count_bad_message` is false if the client's address has sent too many."""
        self._channel = channel
        self._conversation = conversation
        self._transcript_log = transcript_log
        self._count_bad_message = count_bad_message
        self._label = ""
        self._transcripts = Transcripts(conversation.config.id, conversation.config.language, assistant)
        self._assembler = Assembler(
            {CHAT: MAX_COMMAND, EVENTS: MAX_COMMAND, REQUEST_TOPIC: MAX_COMMAND, RECORDING: MAX_BYTES}
        )
        self._rpc = RpcServer(
            {"interrupt": self._interrupt, "set_config": self._set_config, "get_history": self._get_history}
        )
        self._microphone = PreConnectAudio(
            on_chunk=lambda chunk: conversation.push_audio(self, chunk), on_end=lambda: conversation.end_audio(self)
        )
        self._turns = conversation.config.turns
        self._bad_messages = 0
        self._session_ended_sent = False
        self._has_left = False
        conversation.attach(self, name=name)

    @property
    def voice(self) -> TrackRef:
        """The participant and the track of its microphone."""
        return self._channel.voice

    def leave(self, *, grace: float) -> None:
        """Detach from the conversation, which waits `grace` seconds for another peer."""
        if not self._has_left:
            self._has_left = True
            self._conversation.detach(self, grace=grace)

    # From the conversation to the client.

    def send_event(self, event: Event) -> None:
        """Send an event as JSON, and as transcription or agent state where LiveKit has a form for it."""
        if self._has_left:
            return
        match event:
            case SessionStarted():
                self._label = event.label
            case StateChanged(state):
                self._channel.set_agent_state(_STATES[state])
            case Transcript(turn):
                speaker = self._conversation.speaker(turn)
                self._send(
                    self._transcripts.push(event, speaker.voice if isinstance(speaker, ParticipantPeer) else None)
                )
            case SessionEnded():
                self._session_ended_sent = True
                self._send(self._transcripts.close())
        body = render(event, self._label)
        if body is not None:
            self._send_event(json.dumps(body, ensure_ascii=False, separators=(",", ":")))

    def send_audio(self, frame: SpeechFrame) -> None:
        """Send 20 ms of speech."""
        self._channel.send_audio(frame)

    def flush_audio(self) -> None:
        """Discard speech that is not sent yet."""
        self._channel.flush_audio()

    def disconnect(self, reason: EndReason) -> None:
        """Send `session_ended` unless it was sent, and disconnect the client."""
        if not self._session_ended_sent:
            self.send_event(SessionEnded(reason))
        self._has_left = True
        self._channel.on_conversation_ended(reason)

    # From the client to the conversation.

    def expect_recording(self) -> None:
        """Hold live audio back until the pre-connect recording arrives."""
        self._microphone.expect_recording()

    def push_audio(self, chunk: AudioChunk) -> None:
        """Pass on live microphone audio."""
        self._microphone.push(chunk, monotonic())

    def end_audio(self) -> None:
        """End the microphone audio, as it was muted or unpublished."""
        self._microphone.end()

    def check_timeouts(self, now: float) -> None:
        """Stop to wait for a recording that is overdue at `now` (monotonic s)."""
        self._microphone.check_timeout(now)

    def push_frame(self, frame: ScreenFrame) -> None:
        """Pass on a frame of the screen share."""
        self._conversation.push_frame(self, frame)

    def stop_screen_share(self) -> None:
        """End or pause the screen share."""
        self._conversation.stop_screen_share(self)

    def report_error(self, error: MediaError) -> None:
        """Report a media error to the conversation."""
        self._conversation.report_error(error)

    def on_data_packet(self, packet: DataPacket) -> None:
        """Handle a packet for the assistant; the client gets an error for a malformed one."""
        if self._has_left:
            return
        try:
            self._handle_packet(packet)
        except ProtocolError as error:
            self.reject_message(error)
        else:
            self._bad_messages = 0

    def reject_message(self, error: MediaError) -> None:
        """Send the client an error for a bad message; disconnect it after too many in a row, or of its address."""
        self.send_event(fault_from(error))
        self._bad_messages += 1
        if not self._count_bad_message() or self._bad_messages >= MAX_BAD_MESSAGES:
            self._channel.on_abuse()

    def _handle_packet(self, packet: DataPacket) -> None:
        match packet.WhichOneof("value"):
            case "user" if packet.user.topic == EVENTS:
                self._handle_command(packet.user.payload)
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
                self._handle_command(stream.content)
            case "lk.rpc_request":
                self._send(self._rpc.answer_stream(stream, stream.sender))
            case "lk.agent.pre-connect-audio-buffer":
                self._channel.spawn(self._push_recording(stream))

    def _handle_command(self, payload: bytes) -> None:
        if len(payload) > MAX_COMMAND:
            raise ProtocolError(f"A message is at most {MAX_COMMAND} bytes long.", code=FaultCode.PAYLOAD_TOO_LARGE)
        command = parse_command(payload)
        if isinstance(command, NameTracks):
            self._channel.name_tracks(command.mids)
        else:
            self._conversation.submit(self, command)

    def _submit_text(self, text: str) -> None:
        self._conversation.submit(self, command_from({"action": "text_input", "text": text}))

    def _handle_legacy_chat(self, payload: bytes) -> None:
        try:
            message = parse_json(payload)
        except JsonError:
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
        if not self._microphone.is_waiting:
            return  # too late: live audio after it was already passed on
        try:
            await self._microphone.prepend(_decoded(stream))
        except MediaError as error:
            self.send_event(fault_from(error))

    # RPC methods.

    def _interrupt(self, _: str) -> str:
        self._conversation.submit(self, Interrupt())
        return "{}"

    def _set_config(self, payload: str) -> str:
        config = parse_runtime_config(payload)
        if config.audio is not None:
            self._channel.enable_voice(config.audio)
        if config.changes_turns:
            self._turns = config.applied(self._turns)
            self._conversation.update_turn_settings(self, self._turns)
        turns = self._turns
        vad = {
            "threshold": turns.threshold,
            "silence_ms": round(turns.silence * 1000),
            "turn_model": turns.model.value,
        }
        return json.dumps({"vad": vad})

    def _get_history(self, payload: str) -> str:
        head = f'{{"sessionId": {json.dumps(self._label)}, "entries": ['
        entries: list[str] = []
        left = MAX_PAYLOAD - len(f"{head}]}}".encode())
        for entry in reversed(self._transcript_log.newest(_limit(payload))):
            text = json.dumps(entry, ensure_ascii=False)
            left -= len(f"{text}, ".encode())
            if left < 0:
                break  # the response is full: leave out the older entries
            entries.append(text)
        return f"{head}{', '.join(reversed(entries))}]}}"

    # Sending.

    def _send(self, packets: Iterable[DataPacket]) -> None:
        for packet in packets:
            self._channel.send(packet)

    def _send_event(self, text: str) -> None:
        data = text.encode()
        if len(data) <= _LARGEST_PACKET:
            self._channel.send(user_packet(data, EVENTS))
        else:
            self._send(text_stream(EVENTS, text, {}))


def _limit(payload: str) -> int:
    try:
        message = parse_json(payload or "{}")
    except JsonError:
        message = None
    match message:
        case {"limit": int(limit)} if not isinstance(limit, bool) and 1 <= limit <= 200:
            return limit
        case dict() if "limit" not in message:
            return 200
        case _:
            raise RpcFailure('get_history takes {"limit": 1 to 200}, or nothing')


def _decoded(stream: Received) -> Iterator[AudioChunk | None]:
    """Decode a pre-connect recording: Opus in a container, or raw 16-bit PCM as its attributes describe."""
    is_opus = any(name in stream.mime_type for name in ("opus", "webm", "ogg"))
    rate, channels = (stream.attributes.get(name, "") for name in ("sampleRate", "channels"))
    return AudioDecoder().push(
        stream.content,
        audio_format=AudioFormat.OPUS if is_opus else AudioFormat.PCM,
        rate=int(rate) if rate.isascii() and rate.isdecimal() and len(rate) < 7 else 48_000,
        channels=2 if channels == "2" else 1,
    )
