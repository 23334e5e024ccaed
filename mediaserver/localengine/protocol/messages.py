"""What the two sides of Gemini Live's protocol say to each other, as values (ai.google.dev/api/live)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Behavior(StrEnum):
    """Whether the model waits for what a function returns; unspecified is as the model likes."""

    UNSPECIFIED = "UNSPECIFIED"
    BLOCKING = "BLOCKING"
    NON_BLOCKING = "NON_BLOCKING"


Functions = Mapping[str, Behavior]
"""What can be called, by name."""


@dataclass(frozen=True, slots=True)
class Detection:
    """Who decides where an utterance begins and ends (realtimeInputConfig.automaticActivityDetection); times in ms."""

    automatic: bool = True
    silence_ms: int | None = None
    prefix_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """The first message: what the client wants for the whole session."""

    model: str
    modalities: tuple[str, ...] = ()
    media_resolution: str | None = None
    language: str | None = None
    thinking_level: str | None = None
    has_thinking_budget: bool = False
    affective: bool = False
    proactive: bool | None = None
    functions: Functions = field(default_factory=dict)
    transcribe_input: bool = False
    transcribe_output: bool = False
    detection: Detection = Detection()
    resumption: str | None = None
    """The handle of the session to go on with, "" for a new one that can be resumed, None if nobody will."""
    seeds_history: bool = False
    """Whether client content tells of an earlier conversation first (historyConfig)."""
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
    """Text of the realtime stream: a turn of its own."""

    text: str


@dataclass(frozen=True, slots=True)
class ActivityStart:
    """The user began to speak, says the client."""


@dataclass(frozen=True, slots=True)
class ActivityEnd:
    """The user's utterance is over, says the client."""


@dataclass(frozen=True, slots=True)
class AudioStreamEnd:
    """The microphone was turned off."""


Input = Audio | ImageInput | TextInput | ActivityStart | ActivityEnd | AudioStreamEnd


@dataclass(frozen=True, slots=True)
class RealtimeInput:
    """Everything one realtimeInput message carries, in the order in which it takes effect."""

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
    """What the client's function returned."""

    id: str | None
    response: Mapping[str, object]
    scheduling: str | None


@dataclass(frozen=True, slots=True)
class ToolResponse:
    """Answers to function calls."""

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
    """What was understood of the user's speech."""

    text: str


@dataclass(frozen=True, slots=True)
class OutputTranscription:
    """The words that begin with the audio that follows."""

    text: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The answer was cut short; none of its audio follows."""


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
    """The turn is over, played to its end or cut short."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One function the client is asked to run."""

    id: str
    name: str
    args: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCallCancellation:
    """Calls whose answers nobody waits for any more."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionResumptionUpdate:
    """The handle with which to resume from here, "" while that would lose something."""

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
