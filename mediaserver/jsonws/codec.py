"""Text frames of the JSON WebSocket to values, and the assistant's voice to text frames; no I/O."""

import binascii
import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Any

from mediaserver.event_codec import COMMANDS, command_from
from mediaserver.session_factory import SessionOptions
from pipeline.codecs.audio_decoder import AudioFormat
from pipeline.codecs.image_decoder import MAX_BYTES as MAX_PICTURE
from pipeline.errors import FaultCode, ProtocolError
from pipeline.events import Command
from pipeline.media import INPUT_SAMPLE_RATE

MAX_MESSAGE = 12 << 20
MAX_INSTRUCTIONS = 8_000
MAX_TOKEN = 4_096

ACTIONS = f"start_session, audio_input, screen_share_frame, {COMMANDS.replace(' tracks,', '')}"

_PICTURES = ("png", "jpeg", "jpg", "webp")
_PIECE = 1 << 16  # characters of base64, a multiple of four: a long message lets other threads run in between

_LABEL = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,128}")
_MODEL = re.compile(r"[A-Za-z0-9._/:-]{1,128}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,4}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_VOICE = re.compile(r"[A-Za-z0-9 ._-]{1,64}")


class OutputFormat(StrEnum):
    """How the assistant's voice is sent: each piece a WAV file, or bare 16-bit little-endian samples."""

    WAV = "wav"
    PCM = "pcm"


@dataclass(frozen=True, slots=True)
class Output:
    """How this client wants the assistant's voice; `rate` in Hz. Not `wanted`: text only."""

    is_wanted: bool = True
    format: OutputFormat = OutputFormat.WAV
    rate: int = INPUT_SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class SessionConfig(SessionOptions):
    """What a client of this transport asks of a session."""

    transport: str = "websocket"


@dataclass(frozen=True, slots=True)
class StartSession:
    """Begin a session, or come back to one. The token is not shown when this is printed."""

    user: str | None
    token: str | None = field(repr=False)
    wishes: SessionConfig
    output: Output


@dataclass(frozen=True, slots=True)
class AudioInput:
    """A piece of the user's voice; `rate` and `channels` are what the client says."""

    data: bytes = field(repr=False)
    format: AudioFormat
    rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class ScreenFrameInput:
    """A picture of the user's screen."""

    data: bytes = field(repr=False)


Message = StartSession | AudioInput | ScreenFrameInput | Command


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message, and the session it names, if it names one."""

    session: str | None
    message: Message


class BadMessage(ProtocolError):
    """A `ProtocolError` that knows which session the message named."""

    def __init__(self, error: ProtocolError, session: str | None):
        super().__init__(error.message, code=error.code)
        self.session = session


def parse(data: bytes) -> Envelope:
    """Read one text frame, or raise `BadMessage`, a `ProtocolError`, and nothing else."""
    if len(data) > MAX_MESSAGE:
        raise BadMessage(_too_large(f"A message may have {MAX_MESSAGE} bytes."), None)
    try:
        message = json.loads(data.decode(), parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        raise BadMessage(
            ProtocolError("The message is not JSON; send one JSON object in each text frame."), None
        ) from None
    if not isinstance(message, dict):
        raise BadMessage(ProtocolError("The message is not a JSON object with an `action`."), None)
    session = message.get("sessionId")
    label = session if isinstance(session, str) and _LABEL.fullmatch(session) else None
    try:
        if session is not None and label is None:
            raise ProtocolError("`sessionId` takes 1 to 128 printable characters.")
        return Envelope(label, _message(message))
    except ProtocolError as error:
        raise BadMessage(error, label) from None


def _message(message: dict[str, Any]) -> Message:
    match message.get("action"):
        case "start_session":
            return _start(message)
        case "audio_input":
            return _audio(message)
        case "screen_share_frame":
            return _picture(message)
        case "tracks":  # there are none here
            raise _unknown_action()
    try:
        return command_from(message)
    except ProtocolError as error:
        if error.code is FaultCode.UNKNOWN_ACTION:
            raise _unknown_action() from None
        raise


def _unknown_action() -> ProtocolError:
    return ProtocolError(f"Unknown action; accepted here: {ACTIONS}.", code=FaultCode.UNKNOWN_ACTION)


# start_session


def _start(message: dict[str, Any]) -> StartSession:
    config = _object(message, "config")
    output = _object(config, "output")
    vad = _object(config, "vad")
    wants_audio = config.get("audio")
    if not isinstance(wants_audio, bool | None):
        raise ProtocolError("`config.audio` takes true or false.")
    wishes = SessionConfig(
        label=message.get("sessionId"),  # has been read
        model=_text(config, "model", _MODEL, "a model's name, such as gemini-3.8-live"),
        language=_language(config),
        voice=_text(config, "voice", _VOICE, "a voice's name, such as Kore"),
        instructions=_instructions(config),
        threshold=_number(vad, "threshold", low=0.01, high=0.99),
        silence_ms=_whole(vad, "silence_ms", low=96, high=5_000),
    )
    return StartSession(
        user=_text(message, "userId", _LABEL, "1 to 128 printable characters"),
        token=_token(message),
        wishes=wishes,
        output=Output(wants_audio is not False, _format(output), _output_rate(output)),
    )


def _object(message: dict[str, Any], name: str) -> dict[str, Any]:
    value = message.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ProtocolError(f"`{name}` takes an object.")
    return value


def _text(message: dict[str, Any], name: str, accepted: re.Pattern[str], told: str) -> str | None:
    value = message.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not accepted.fullmatch(value):
        raise ProtocolError(f"`{name}` takes {told}.")
    return value


def _token(message: dict[str, Any]) -> str | None:
    value = message.get("token")
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not value.isascii():
        raise ProtocolError("`token` takes an access token.")
    return value.removeprefix("Bearer ").strip()


def _language(config: dict[str, Any]) -> str | None:
    language = _text(config, "language", _LANGUAGE, "a BCP 47 tag, such as en or pt-BR")
    return None if language is None else language.replace("_", "-")


def _instructions(config: dict[str, Any]) -> str | None:
    value = config.get("instructions")
    if value is None:
        return None
    # A lone surrogate passes JSON but cannot be encoded for the engine.
    if not isinstance(value, str) or len(value) > MAX_INSTRUCTIONS or _SURROGATE.search(value):
        raise ProtocolError(f"`config.instructions` takes a string of at most {MAX_INSTRUCTIONS} characters.")
    return value.strip() or None


def _number(message: dict[str, Any], name: str, *, low: float, high: float) -> float | None:
    value = message.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ProtocolError(f"`{name}` takes a number from {low:g} to {high:g}.")
    return float(value)


def _whole(message: dict[str, Any], name: str, *, low: int, high: int) -> int | None:
    value = _number(message, name, low=low, high=high)
    return None if value is None else int(value)


def _format(output: dict[str, Any]) -> OutputFormat:
    match output.get("format"):
        case None:
            return OutputFormat.WAV
        case "wav" | "pcm" as name:
            return OutputFormat(name)
        case _:
            raise ProtocolError("`config.output.format` takes wav or pcm.", code=FaultCode.UNSUPPORTED_FORMAT)


def _output_rate(output: dict[str, Any]) -> int:
    match output.get("sample_rate"):
        case None:
            return INPUT_SAMPLE_RATE
        case 16_000 | 24_000 | 48_000 as rate:
            return int(rate)
        case _:
            raise ProtocolError(
                "`config.output.sample_rate` takes 16000, 24000 or 48000.", code=FaultCode.UNSUPPORTED_FORMAT
            )


# Media


def _audio(message: dict[str, Any]) -> AudioInput:
    name = message.get("format")
    if not isinstance(name, str | None):
        raise ProtocolError(f"audio_input takes `format`: {', '.join(AudioFormat)}.")
    try:
        audio_format = AudioFormat(name.lower() if name is not None else "wav")
    except ValueError:
        raise ProtocolError(
            f"audio_input takes `format`: {', '.join(AudioFormat)}.", code=FaultCode.UNSUPPORTED_FORMAT
        ) from None
    # What a WAV or a container says of itself is believed over these.
    rate = _whole(message, "sample_rate", low=1, high=1_000_000)
    channels = _whole(message, "channels", low=1, high=1_000)
    return AudioInput(_base64(message), audio_format, rate or INPUT_SAMPLE_RATE, channels or 1)


def _picture(message: dict[str, Any]) -> ScreenFrameInput:
    name = message.get("format")
    if not isinstance(name, str | None):
        raise ProtocolError("screen_share_frame takes `format`: png, jpeg, webp.")
    if name is not None and name.lower() not in _PICTURES:
        raise ProtocolError("screen_share_frame takes `format`: png, jpeg, webp.", code=FaultCode.UNSUPPORTED_FORMAT)
    _check_timestamp(message.get("timestamp"))
    data = message.get("data")
    if isinstance(data, str) and len(data) * 3 // 4 > MAX_PICTURE + 256:
        raise _too_large(f"A frame may have {MAX_PICTURE} bytes, decoded from base64.")
    return ScreenFrameInput(_base64(message))


def _check_timestamp(value: object) -> None:
    # Only looked at: how old a frame is, is counted from when it came.
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return
    if isinstance(value, str) and len(value) <= 64:
        try:
            datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return
    raise ProtocolError("screen_share_frame takes `timestamp`: an ISO 8601 date and time, or none.")


def _base64(message: dict[str, Any]) -> bytes:
    data = message.get("data")
    if not isinstance(data, str) or not data:
        raise ProtocolError("`data` takes base64.")
    if data.startswith("data:"):  # as browsers' FileReader and canvas say it
        data = data[data.find(",") + 1 :]
    try:
        pieces = [
            binascii.a2b_base64(data[start : start + _PIECE], strict_mode=True) for start in range(0, len(data), _PIECE)
        ]
    except ValueError:
        raise ProtocolError("`data` is not base64 (RFC 4648 section 4, padded, without line breaks).") from None
    if not pieces or any(len(piece) != _PIECE // 4 * 3 for piece in pieces[:-1]):
        raise ProtocolError("`data` is not base64 (RFC 4648 section 4, padded, without line breaks).")
    return b"".join(pieces)


def _too_large(message: str) -> ProtocolError:
    return ProtocolError(message, code=FaultCode.PAYLOAD_TOO_LARGE)


def _refuse_constant(name: str) -> float:
    # json reads NaN and Infinity, which are not JSON and could not be sent back.
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):  # 1e999 is JSON, but would be sent back as Infinity
        raise ValueError(text)
    return number


# What is sent


def encode(body: dict[str, Any]) -> str:
    """Say an object as one text frame; what cannot be UTF-8 is escaped."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(body, separators=(",", ":")) if _SURROGATE.search(text) else text


def render_audio(pcm: bytes, label: str, *, turn: int, seq: int, output: Output) -> str:
    """Say a piece of the assistant's voice (16-bit mono PCM at `output.rate`) as one text frame."""
    data = pcm if output.format is OutputFormat.PCM else wav(pcm, output.rate)
    body = {
        "action": "audio_output",
        "sessionId": label,
        "turn": turn,
        "seq": seq,
        "data": b64encode(data).decode("ascii"),
        "format": output.format.value,
        "sample_rate": output.rate,
        "channels": 1,
    }
    return encode(body)


def wav(pcm: bytes, rate: int) -> bytes:
    """Put a header before 16-bit mono PCM."""
    sizes = (36 + len(pcm)).to_bytes(4, "little"), len(pcm).to_bytes(4, "little")
    shape = b"\1\0\1\0" + rate.to_bytes(4, "little") + (2 * rate).to_bytes(4, "little") + b"\2\0\x10\0"
    return b"RIFF" + sizes[0] + b"WAVEfmt \x10\0\0\0" + shape + b"data" + sizes[1] + pcm
