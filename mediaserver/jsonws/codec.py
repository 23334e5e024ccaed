"""Codec of the JSON WebSocket: text frames to messages, and speech to text frames; no I/O."""

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mediaserver.bounded_json import JsonError, parse_json
from mediaserver.messages.fields import MAX_MESSAGE_BYTES
from mediaserver.messages.server import AudioOutputMessage
from mediaserver.messages.websocket import (
    AudioInputMessage,
    OutputConfig,
    ScreenShareFrameMessage,
    StartConfig,
    StartSessionMessage,
    VadConfig,
    validate_websocket_message,
)
from mediaserver.session_factory import SessionOptions
from mediaserver.session_limits import LABEL
from pipeline.codecs.audio_decoder import AudioFormat
from pipeline.config import TurnModel
from pipeline.errors import FaultCode, ProtocolError
from pipeline.events import Command
from pipeline.media import INPUT_SAMPLE_RATE

_SURROGATE = re.compile("[\ud800-\udfff]")


class OutputFormat(StrEnum):
    """Encoding of the assistant's speech: a WAV file per message, or bare 16-bit little-endian samples."""

    WAV = "wav"
    PCM = "pcm"


@dataclass(frozen=True, slots=True)
class Output:
    """Output of the assistant's speech to this client; `rate` in Hz."""

    is_enabled: bool = True
    """False for a client of text only."""
    format: OutputFormat = OutputFormat.WAV
    rate: int = INPUT_SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class SessionConfig(SessionOptions):
    """Session options of a client of this transport."""

    transport: str = "websocket"


@dataclass(frozen=True, slots=True)
class StartSession:
    """Start a session, or rejoin a live one; `repr` hides the token."""

    user: str | None
    token: str | None = field(repr=False)
    options: SessionConfig
    output: Output


@dataclass(frozen=True, slots=True)
class AudioInput:
    """A piece of microphone audio; `rate` and `channels` as the client declares them."""

    data: bytes = field(repr=False)
    format: AudioFormat
    rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class ScreenFrameInput:
    """A picture of the user's screen, still encoded."""

    data: bytes = field(repr=False)


Message = StartSession | AudioInput | ScreenFrameInput | Command


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message and its `sessionId`; None without one."""

    session: str | None
    message: Message


class BadMessage(ProtocolError):
    """A bad message, with its `sessionId` where that could be read."""

    def __init__(self, error: ProtocolError, session: str | None):
        super().__init__(error.message, code=error.code)
        self.session = session


def parse(data: bytes) -> Envelope:
    """Parse one text frame, or raise `BadMessage` and nothing else."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise BadMessage(_too_large(f"A message may have {MAX_MESSAGE_BYTES} bytes."), None)
    try:
        message = parse_json(data)
    except JsonError as error:
        raise BadMessage(ProtocolError(f"{error} Send one JSON object in each text frame."), None) from None
    if not isinstance(message, dict):
        raise BadMessage(ProtocolError("The message is not a JSON object with an `action`."), None)
    session = message.get("sessionId")
    label = session if isinstance(session, str) and LABEL.matches(session) else None
    try:
        if session is not None and label is None:
            raise ProtocolError(f"`sessionId` takes {LABEL.description}.")
        return Envelope(label, _message(message))
    except ProtocolError as error:
        raise BadMessage(error, label) from None


def _message(message: dict[str, Any]) -> Message:
    match validate_websocket_message(message):
        case StartSessionMessage() as start:
            return _start_session(start)
        case AudioInputMessage() as audio:
            # The header of a WAV or a container wins over these.
            rate, channels = int(audio.sample_rate or 16_000), int(audio.channels or 1)
            return AudioInput(audio.data, audio.format or AudioFormat.WAV, rate, channels)
        case ScreenShareFrameMessage() as frame:
            return ScreenFrameInput(frame.data)
        case command:
            return command.command


def _start_session(start: StartSessionMessage) -> StartSession:
    config = start.config or StartConfig()
    output, vad = config.output or OutputConfig(), config.vad or VadConfig()
    options = SessionConfig(
        label=start.session_id,
        model=config.model,
        language=config.language,
        voice=config.voice,
        guide=config.guide,
        instructions=(config.instructions or "").strip() or None,
        threshold=vad.threshold,
        silence_ms=None if vad.silence_ms is None else int(vad.silence_ms),
        turn_model=None if vad.turn_model is None else TurnModel(vad.turn_model),
    )
    return StartSession(
        user=start.user_id,
        token=None if start.token is None else start.token.removeprefix("Bearer ").strip(),
        options=options,
        output=Output(
            is_enabled=config.audio is not False,
            format=OutputFormat(output.format or OutputFormat.WAV),
            rate=output.sample_rate or 16_000,
        ),
    )


def _too_large(message: str) -> ProtocolError:
    return ProtocolError(message, code=FaultCode.PAYLOAD_TOO_LARGE)


# Output


def encode(body: dict[str, Any]) -> str:
    """Encode an object as one text frame; lone surrogates are escaped."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(body, separators=(",", ":")) if _SURROGATE.search(text) else text


def render_audio(pcm: bytes, label: str, *, turn: int, seq: int, output: Output) -> str:
    """Render speech (16-bit mono PCM at `output.rate`) as one text frame."""
    data = pcm if output.format is OutputFormat.PCM else wav(pcm, output.rate)
    message = AudioOutputMessage(
        sessionId=label,
        turn=turn,
        seq=seq,
        data=b64encode(data).decode("ascii"),
        format=output.format.value,
        sample_rate=output.rate,
        channels=1,
    )
    return encode(message.body())


def wav(pcm: bytes, rate: int) -> bytes:
    """Make a WAV file of 16-bit mono PCM."""
    sizes = (36 + len(pcm)).to_bytes(4, "little"), len(pcm).to_bytes(4, "little")
    shape = b"\1\0\1\0" + rate.to_bytes(4, "little") + (2 * rate).to_bytes(4, "little") + b"\2\0\x10\0"
    return b"RIFF" + sizes[0] + b"WAVEfmt \x10\0\0\0" + shape + b"data" + sizes[1] + pcm
