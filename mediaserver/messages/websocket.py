"""Messages that clients send on the JSON WebSocket, as models: the session, its media and the commands."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from mediaserver.messages.commands import ClientMessage, SharedCommandUnion
from mediaserver.messages.fields import (
    MAX_FRAME_BYTES,
    MAX_TOKEN,
    AudioFormatName,
    Base64,
    CaptureTime,
    FrameBase64,
    OutputFormatName,
    OutputRate,
    PictureFormatName,
)
from mediaserver.messages.refusals import Refusal, action_of, protocol_error
from mediaserver.session_limits import (
    GUIDE,
    INSTRUCTIONS,
    LABEL,
    LANGUAGE,
    MAX_SILENCE_MS,
    MIN_SILENCE_MS,
    MODEL,
    VOICE,
    GuideId,
    Instructions,
    Label,
    Language,
    Model,
    Voice,
)
from pipeline.codecs.audio_decoder import AudioFormat
from pipeline.errors import FaultCode

_FIRST, _LAST = -1, 1  # ranks of errors


class OutputConfig(BaseModel):
    """The encoding of the assistant's speech."""

    model_config = ConfigDict(strict=True, frozen=True)

    format: Annotated[
        OutputFormatName,
        Refusal("`config.output.format` takes wav or pcm.", FaultCode.UNSUPPORTED_FORMAT, _LAST),
    ] = Field(default=None, description="each message a WAV file (default), or bare 16-bit little-endian samples")
    sample_rate: Annotated[
        OutputRate,
        Refusal("`config.output.sample_rate` takes 16000, 24000 or 48000.", FaultCode.UNSUPPORTED_FORMAT, _LAST),
    ] = Field(default=None, description="in Hz; 16000 by default")


class VadConfig(BaseModel):
    """The voice activity detection of this client's microphone."""

    model_config = ConfigDict(strict=True, frozen=True)

    threshold: Annotated[
        float | None, Field(ge=0.01, le=0.99), Refusal("`threshold` takes a number from 0.01 to 0.99.")
    ] = Field(default=None, description="the probability of speech that begins an utterance")
    silence_ms: Annotated[
        float | None,
        Field(ge=MIN_SILENCE_MS, le=MAX_SILENCE_MS),
        Refusal(f"`silence_ms` takes a number from {MIN_SILENCE_MS} to {MAX_SILENCE_MS}."),
    ] = Field(
        default=None, description="milliseconds of silence that end an utterance; alone it means turn_model silence"
    )
    turn_model: Annotated[
        Literal["smart-turn", "silence"] | None, Refusal("`turn_model` takes smart-turn or silence.")
    ] = Field(default=None, description="smart-turn (a model judges each pause) or silence (its length alone decides)")


class StartConfig(BaseModel):
    """The options of a session; the user's settings, then the server's, fill what is left out."""

    model_config = ConfigDict(strict=True, frozen=True)

    audio: Annotated[bool | None, Refusal("`config.audio` takes true or false.")] = Field(
        default=None, description="false for text only: no audio_output is sent"
    )
    model: Annotated[Model | None, Refusal(f"`model` takes {MODEL.description}.")] = None
    language: Annotated[Language | None, Refusal(f"`language` takes {LANGUAGE.description}.")] = None
    voice: Annotated[Voice | None, Refusal(f"`voice` takes {VOICE.description}.")] = None
    guide: Annotated[GuideId | None, Refusal(f"`config.guide` takes {GUIDE.description}.")] = None
    instructions: Annotated[Instructions | None, Refusal(f"`config.instructions` takes {INSTRUCTIONS}.")] = Field(
        default=None, description="text added to the assistant's instructions"
    )
    output: Annotated[OutputConfig | None, Refusal("`output` takes an object.", rank=_FIRST)] = None
    vad: Annotated[VadConfig | None, Refusal("`vad` takes an object.", rank=_FIRST)] = None


class StartSessionMessage(ClientMessage):
    """Start a session, or rejoin the live one of this label."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "start_session",
                    "userId": "user123",
                    "sessionId": "session456",
                    "config": {"model": "gemini-1.5-flash", "language": "en"},
                },
                {
                    "action": "start_session",
                    "token": "<access token>",
                    "config": {
                        "voice": "Kore",
                        "instructions": "Use short sentences.",
                        "output": {"format": "pcm", "sample_rate": 24_000},
                        "vad": {"threshold": 0.6, "silence_ms": 700},
                        "audio": True,
                    },
                },
            ]
        }
    )

    action: Literal["start_session"]
    config: Annotated[StartConfig | None, Refusal("`config` takes an object.", rank=_FIRST)] = None
    user_id: Annotated[Label | None, Field(alias="userId"), Refusal(f"`userId` takes {LABEL.description}.")] = Field(
        default=None, description="the username or id of the token's user; for guests any label"
    )
    token: Annotated[
        str | None,
        Field(max_length=MAX_TOKEN, pattern=r"^[\x00-\x7f]*$"),
        Refusal("`token` takes an access token."),
    ] = Field(
        default=None,
        repr=False,
        description="an access token, where the handshake carried none; `Bearer ` may precede it",
    )


class AudioInputMessage(ClientMessage):
    """Send a piece of the microphone's audio, from 10 ms to 10 s."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "audio_input",
                    "sessionId": "session456",
                    "data": "AAAAAA==",
                    "format": "pcm",
                    "sample_rate": 16_000,
                    "channels": 1,
                }
            ]
        }
    )

    action: Literal["audio_input"]
    format: Annotated[
        AudioFormatName,
        Refusal(f"audio_input takes `format`: {', '.join(AudioFormat)}.", FaultCode.UNSUPPORTED_FORMAT),
    ] = Field(default=None, description="wav by default")
    sample_rate: Annotated[
        float | None,
        Field(ge=1, le=1_000_000),
        Refusal(f"`sample_rate` takes a number from 1 to {1_000_000:g}."),
    ] = Field(
        default=None, description="in Hz, 8000 to 48000, 16000 by default; the header of a WAV or a container wins"
    )
    channels: Annotated[
        float | None,
        Field(ge=1, le=1_000),
        Refusal("`channels` takes a number from 1 to 1000."),
    ] = Field(default=None, description="1 or 2, 1 by default; the header of a WAV or a container wins")
    data: Annotated[Base64, Refusal("`data` takes base64.")] = Field(repr=False, description="the audio in base64")


class ScreenShareFrameMessage(ClientMessage):
    """Send a picture of the screen."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "screen_share_frame",
                    "sessionId": "session456",
                    "data": "iVBORw0KGgo=",
                    "format": "png",
                    "timestamp": "2024-01-01T12:00:00Z",
                }
            ]
        }
    )

    action: Literal["screen_share_frame"]
    format: Annotated[
        PictureFormatName,
        Refusal("screen_share_frame takes `format`: png, jpeg, webp.", FaultCode.UNSUPPORTED_FORMAT),
    ] = Field(default=None, description="only checked: the picture's own header tells its format")
    # Only checked: the age of a frame counts from its arrival.
    timestamp: Annotated[
        CaptureTime,
        Refusal("screen_share_frame takes `timestamp`: an ISO 8601 date and time, or none."),
    ] = Field(default=None, description="when it was captured: ISO 8601, or a number")
    data: Annotated[FrameBase64, Refusal("`data` takes base64.")] = Field(
        repr=False, description=f"the picture in base64, at most {MAX_FRAME_BYTES} bytes decoded"
    )


WebSocketUnion = StartSessionMessage | AudioInputMessage | ScreenShareFrameMessage | SharedCommandUnion
WEBSOCKET_MODELS: tuple[type[ClientMessage], ...] = get_args(WebSocketUnion)
"""Accepted on the JSON WebSocket, which has no tracks to name."""

ACTIONS = ", ".join(action_of(model) for model in WEBSOCKET_MODELS)
"""Their actions, for error messages."""

_ADAPTER: TypeAdapter[WebSocketUnion] = TypeAdapter(Annotated[WebSocketUnion, Field(discriminator="action")])


def validate_websocket_message(message: dict[str, Any]) -> WebSocketUnion:
    """Validate a decoded message of the JSON WebSocket, or raise `ProtocolError` and nothing else."""
    try:
        return _ADAPTER.validate_python(message)
    except ValidationError as error:
        raise protocol_error(error, WEBSOCKET_MODELS, ACTIONS) from None
