"""Messages that clients receive, as models.

They are made here from the pipeline's own values, so free text is not validated again: a lone surrogate that an engine
sent must reach the encoder, which escapes it, and a message that cannot be made would cost the session.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SkipValidation

from mediaserver.messages.refusals import action_of
from pipeline.errors import FaultCode
from pipeline.events import EndReason, EvidenceSource, Role, SeenReason, State, StepState

Text = SkipValidation[str]
Turn = Annotated[int, Field(description="the turn's number; a user's utterance and its reply share it")]
Coordinate = Annotated[int, Field(json_schema_extra={"minimum": 0, "maximum": 1000})]
Box = Annotated[list[Coordinate], Field(json_schema_extra={"minItems": 4, "maxItems": 4})]
Confidence = Annotated[float, Field(json_schema_extra={"minimum": 0, "maximum": 1})]


class ServerMessage(BaseModel):
    """A message that the server sends."""

    model_config = ConfigDict(
        use_enum_values=True, serialize_by_alias=True, json_schema_serialization_defaults_required=True
    )

    action: str
    session_id: Text = Field(alias="sessionId", description="the client's own label of the session, else its id")

    def body(self) -> dict[str, Any]:
        """The message as an object for the JSON encoder."""
        return self.model_dump(warnings=False)


class LanguageModelFields(BaseModel):
    """A language model, and the host and port that questions and frames are sent to."""

    model: Text
    host: Text


class SessionStartedMessage(ServerMessage):
    """The session has started, or was rejoined."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "session_started",
                    "sessionId": "session456",
                    "id": "0f4b8f7c6a5e4d3c8b2a190817263544",
                    "engine": "gemini",
                    "model": "gemini-3.8-live",
                    "requested_model": "gemini-1.5-flash",
                    "language": "en",
                    "limits": {"idle_seconds": 600, "max_seconds": 3600, "unused_seconds": 120},
                    "warnings": ["gemini-1.5-flash is retired, so gemini-3.8-live answers."],
                    "language_model": None,
                }
            ]
        }
    )

    action: Literal["session_started"] = "session_started"
    id: Text = Field(description="the server's own id of the session, as in /api/v1/sessions")
    engine: Text = Field(description="gemini or local")
    model: Text = Field(description="the model that answers")
    requested_model: Text | None = Field(description="the model that the client asked for")
    language: Text
    limits: dict[str, int] = Field(description="such as idle_seconds and max_seconds")
    warnings: list[Text] = Field(description="what was asked for and is not given, in words")
    language_model: LanguageModelFields | None = Field(
        description="the operator's own model that answers in the local engine, with its host; null without one"
    )


class StateMessage(ServerMessage):
    """The assistant's state has changed."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "state", "sessionId": "session456", "state": "listening"}]}
    )

    action: Literal["state"] = "state"
    state: State


class TranscriptMessage(ServerMessage):
    """Everything that one side has said in a turn so far."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "transcript",
                    "sessionId": "session456",
                    "turn": 3,
                    "role": "user",
                    "text": "where is the save button?",
                    "final": True,
                    "confidence": 0.84,
                }
            ]
        }
    )

    action: Literal["transcript"] = "transcript"
    turn: Turn
    role: Role
    text: Text = Field(description="cumulative: it replaces the text of the earlier transcript of this turn and role")
    final: bool = Field(description="true when nothing more follows for this turn and role")
    confidence: Confidence | None = Field(
        None, description="0 to 1, of recognised speech where the engine has evidence for it, else null"
    )


class TextResponseMessage(ServerMessage):
    """The whole reply of a turn, once, at its end; after an interruption what was heard of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "text_response",
                    "sessionId": "session456",
                    "turn": 3,
                    "text": "I can see a spreadsheet.",
                    "confidence": 0.95,
                }
            ]
        }
    )

    action: Literal["text_response"] = "text_response"
    turn: Turn
    text: Text
    confidence: Confidence | None = Field(description="0 to 1 where the engine has evidence for one, else null")


class AudioOutputMessage(ServerMessage):
    """A piece of the assistant's speech, at most 2 s ahead of real time; only on the JSON WebSocket."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "audio_output",
                    "sessionId": "session456",
                    "turn": 3,
                    "seq": 0,
                    "data": "AAAAAA==",
                    "format": "pcm",
                    "sample_rate": 16_000,
                    "channels": 1,
                }
            ]
        }
    )

    action: Literal["audio_output"] = "audio_output"
    turn: Turn
    seq: int = Field(description="counts the pieces of a turn from 0")
    data: Text = Field(description="the audio in base64", json_schema_extra={"contentEncoding": "base64"})
    format: Literal["wav", "pcm"] = Field(description="a WAV file, or bare 16-bit little-endian samples")
    sample_rate: int = Field(description="in Hz", json_schema_extra={"enum": [16_000, 24_000, 48_000]})
    channels: Literal[1]


class InterruptedMessage(ServerMessage):
    """The reply was cut short; drop the audio that is queued."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "interrupted",
                    "sessionId": "session456",
                    "turn": 3,
                    "heard_ms": 1240,
                    "heard_text": "I can see",
                    "latency_ms": {"speech_start_to_silence": 18},
                }
            ]
        }
    )

    action: Literal["interrupted"] = "interrupted"
    turn: Turn
    heard_ms: int = Field(description="milliseconds of the reply that were heard")
    heard_text: Text = Field(description="the words that were heard")
    latency_ms: dict[str, int] = Field(description="speech_start_to_silence where the user's voice interrupted")


class ResumedMessage(ServerMessage):
    """The reply that was cut short is taken up again: what interrupted it was nothing."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "resumed", "sessionId": "session456", "turn": 3, "from_ms": 1040}]}
    )

    action: Literal["resumed"] = "resumed"
    turn: Turn
    from_ms: int = Field(description="milliseconds of the reply that come before")


class TurnCompleteMessage(ServerMessage):
    """The reply was heard to its end."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "turn_complete",
                    "sessionId": "session456",
                    "turn": 3,
                    "heard_ms": 3100,
                    "latency_ms": {"speech_end_to_first_audio": 412},
                    "usage": {"total": 120},
                }
            ]
        }
    )

    action: Literal["turn_complete"] = "turn_complete"
    turn: Turn
    heard_ms: int = Field(description="milliseconds of the reply that were heard")
    latency_ms: dict[str, int] = Field(description="such as speech_end_to_first_audio")
    usage: dict[str, int] = Field(description="tokens by kind, as the engine counts them")


class ScreenSeenMessage(ServerMessage):
    """A frame of the screen was sent to the engine."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"action": "screen_seen", "sessionId": "session456", "frame": 17, "age_ms": 80, "reason": "changed"}
            ]
        }
    )

    action: Literal["screen_seen"] = "screen_seen"
    frame: int = Field(description="the frame's number")
    age_ms: int = Field(description="milliseconds from its arrival at the server")
    reason: SeenReason


class EvidenceBody(BaseModel):
    """The reason for which a step counts as done."""

    model_config = ConfigDict(use_enum_values=True)

    source: EvidenceSource = Field(description="screen: read by the server; assistant: seen by the model; user")
    words: Text = Field(description="the words that show it; empty where the user said so, or where words are gone")
    frame: int | None = Field(description="the number of the frame that shows it")


class StepBody(BaseModel):
    """One step of the guidance."""

    model_config = ConfigDict(use_enum_values=True)

    id: int
    text: Text
    state: StepState
    evidence: EvidenceBody | None = Field(description="null for a step that is not done")


class GuidanceMessage(ServerMessage):
    """The task as steps, the current one marked; an empty list when the plan was closed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "guidance",
                    "sessionId": "session456",
                    "title": "Save the file",
                    "guide": "save-a-file",
                    "steps": [
                        {
                            "id": 1,
                            "text": "Open File",
                            "state": "done",
                            "evidence": {"source": "screen", "words": "Save as", "frame": 17},
                        },
                        {"id": 2, "text": "Click Save", "state": "current", "evidence": None},
                    ],
                }
            ]
        }
    )

    action: Literal["guidance"] = "guidance"
    title: Text
    guide: str | None = Field(description="the id of the guide that is followed; null for a plan made on the fly")
    steps: list[StepBody]


class PointerMessage(ServerMessage):
    """The assistant points at a part of the shared screen."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "pointer",
                    "sessionId": "session456",
                    "frame": 17,
                    "box": [120, 40, 160, 110],
                    "label": "Save",
                }
            ]
        }
    )

    action: Literal["pointer"] = "pointer"
    frame: int = Field(description="the number of the frame that the box belongs to")
    box: Box = Field(description="[ymin, xmin, ymax, xmax], integers from 0 to 1000 of the shared frame")
    label: Text


class ErrorMessage(ServerMessage):
    """Something went wrong."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "action": "error",
                    "sessionId": "session456",
                    "code": "AUDIO_PROCESSING_ERROR",
                    "message": "The audio cannot be decoded.",
                    "details": {},
                    "fatal": False,
                }
            ]
        }
    )

    action: Literal["error"] = "error"
    code: FaultCode
    message: Text = Field(description="a sentence for people")
    details: dict[str, Any] = Field(description="what else is known, by name")
    fatal: bool = Field(description="true when the session ends with this error")


class PongMessage(ServerMessage):
    """The answer to a ping."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"action": "pong", "sessionId": "session456", "t": 1}]})

    action: Literal["pong"] = "pong"
    t: SkipValidation[int | float | str | None] = Field(description="the ping's own")


class SessionEndedMessage(ServerMessage):
    """The session has ended; nothing follows."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"action": "session_ended", "sessionId": "session456", "reason": "client"}]}
    )

    action: Literal["session_ended"] = "session_ended"
    reason: EndReason


ServerUnion = (
    SessionStartedMessage
    | StateMessage
    | TranscriptMessage
    | TextResponseMessage
    | AudioOutputMessage
    | InterruptedMessage
    | ResumedMessage
    | TurnCompleteMessage
    | ScreenSeenMessage
    | GuidanceMessage
    | PointerMessage
    | ErrorMessage
    | PongMessage
    | SessionEndedMessage
)
SERVER_MODELS: tuple[type[ServerMessage], ...] = get_args(ServerUnion)
"""Sent on the JSON WebSocket."""

EVENT_MODELS = tuple(model for model in SERVER_MODELS if action_of(model) != "audio_output")
"""Sent on the data channel `events` and as LiveKit data, where media has tracks of its own."""
