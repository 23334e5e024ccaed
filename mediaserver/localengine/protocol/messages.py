"""Messages of the Gemini Live protocol, in both directions (ai.google.dev/api/live)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Behavior(StrEnum):
    """Behavior of the model while a function runs; the model decides when unspecified."""

    UNSPECIFIED = "UNSPECIFIED"
    BLOCKING = "BLOCKING"
    NON_BLOCKING = "NON_BLOCKING"


@dataclass(frozen=True, slots=True)
class FunctionDeclaration:
    """A function that the client offers; `parameters` is a JSON Schema, empty if it takes none."""

    behavior: Behavior = Behavior.UNSPECIFIED
    description: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)


Functions = Mapping[str, FunctionDeclaration]
"""Callable functions, by name."""


@dataclass(frozen=True, slots=True)
class Detection:
    """Activity detection by the server (realtimeInputConfig.automaticActivityDetection); times in ms."""

    automatic: bool = True
    silence_ms: int | None = None
    prefix_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message: the configuration of the session."""

    model: str
    modalities: tuple[str, ...] = ()
    media_resolution: str | None = None
    language: str | None = None
    thinking_level: str | None = None
    has_thinking_budget: bool = False
    affective: bool = False
    proactive: bool | None = None
    functions: Functions = field(default_factory=dict)
    instructions: str = ""
    """The system instruction."""
    transcribe_input: bool = False
    transcribe_output: bool = False
    detection: Detection = Detection()
    resumption: str | None = None
    """The handle to resume from, "" for a new resumable session, None without resumption."""
    seeds_history: bool = False
    """Whether the session starts with the history of an earlier conversation (historyConfig)."""
    may_interrupt: bool = True
    """False for activityHandling NO_INTERRUPTION: a new question waits for the end of the running answer."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Mono 16-bit little-endian PCM at `rate` Hz; an odd trailing byte is possible."""

    pcm: bytes
    rate: int


@dataclass(frozen=True, slots=True)
class ImageInput:
    """One encoded still of the shared screen."""

    data: bytes


@dataclass(frozen=True, slots=True)
class TextInput:
    """Text of the realtime stream; it is a complete turn."""

    text: str


@dataclass(frozen=True, slots=True)
class ActivityStart:
    """The client detected the start of speech."""


@dataclass(frozen=True, slots=True)
class ActivityEnd:
    """The client detected the end of an utterance."""


@dataclass(frozen=True, slots=True)
class AudioStreamEnd:
    """The microphone was turned off."""


Input = Audio | ImageInput | TextInput | ActivityStart | ActivityEnd | AudioStreamEnd


@dataclass(frozen=True, slots=True)
class RealtimeInput:
    """The parts of one realtimeInput message, in the order they take effect."""

    items: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class ContentTurn:
    """One entry of clientContent.turns: `role` is user or model."""

    role: str
    text: str
    picture: bytes | None


@dataclass(frozen=True, slots=True)
class ClientContent:
    """Text for the conversation; `is_complete` asks for an answer."""

    turns: tuple[ContentTurn, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class FunctionResponse:
    """The result of a client's function."""

    id: str | None
    response: Mapping[str, object]
    scheduling: str | None


@dataclass(frozen=True, slots=True)
class ToolResponse:
    """Results of function calls."""

    responses: tuple[FunctionResponse, ...]


@dataclass(frozen=True, slots=True)
class ContextUpdate:
    """New tools in mid-session; None leaves them as they are."""

    functions: Functions | None


ClientMessage = Setup | RealtimeInput | ClientContent | ToolResponse | ContextUpdate


@dataclass(frozen=True, slots=True)
class SetupComplete:
    """The session is ready."""

    session_id: str


@dataclass(frozen=True, slots=True)
class SpokenAudio:
    """A piece of the answer: 24 kHz mono 16-bit PCM."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class InputTranscription:
    """The transcript of the user's speech, and its confidence (0 to 1, None without evidence).

    `is_final`: no other piece follows.
    """

    text: str
    confidence: float | None = None
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class OutputTranscription:
    """The transcript of the audio that follows."""

    text: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The answer was interrupted; no more of its audio follows."""


@dataclass(frozen=True, slots=True)
class GenerationComplete:
    """All of the answer has been sent."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one turn by modality (TEXT, IMAGE, AUDIO)."""

    prompt: Mapping[str, int]
    response: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TurnComplete:
    """The turn has ended, completely or by an interruption."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of one client function."""

    id: str
    name: str
    args: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCallCancellation:
    """Calls whose results are no longer needed."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionResumptionUpdate:
    """The handle to resume from here, "" while resuming would lose data."""

    handle: str


@dataclass(frozen=True, slots=True)
class GoAway:
    """This connection will be closed in `time_left` seconds."""

    time_left: float


ControlMessage = (
    SetupComplete
    | InputTranscription
    | OutputTranscription
    | Interrupted
    | GenerationComplete
    | TurnComplete
    | ToolCall
    | ToolCallCancellation
    | SessionResumptionUpdate
    | GoAway
)
"""Everything the server sends besides audio."""

ServerMessage = SpokenAudio | ControlMessage
