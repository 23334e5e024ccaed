"""Everything a conversation tells its peers (`Event`) and everything a peer can ask of it (`Command`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.errors import FaultCode, MediaError


class State(StrEnum):
    """What the assistant is doing, in one word."""

    CONNECTING = "connecting"
    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    RECONNECTING = "reconnecting"


class Role(StrEnum):
    """Who said it."""

    USER = "user"
    ASSISTANT = "assistant"


class EndReason(StrEnum):
    """Why a conversation ended."""

    CLIENT = "client"
    IDLE = "idle"
    LIMIT = "limit"
    SHUTDOWN = "shutdown"
    ERROR = "error"


class SeenReason(StrEnum):
    """Why a frame was sent to the engine."""

    FIRST = "first"
    CHANGED = "changed"
    TURN = "turn"


class StepState(StrEnum):
    """How far a step of guidance is."""

    DONE = "done"
    CURRENT = "current"
    AHEAD = "todo"


Box = tuple[int, int, int, int]
"""[ymin, xmin, ymax, xmax], integers 0 to 1000 of the shared frame."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak; `pts` (s) is the session time of the first window of speech."""

    pts: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The user's utterance is over; `pts` (s) is where its last window of speech ended."""

    pts: float


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A peer has joined: what it joined, and what answers there."""

    id: str
    label: str
    engine: str
    model: str
    requested_model: str | None
    language: str
    limits: Mapping[str, int]
    warnings: tuple[str, ...] = ()
    """What the client asked for and does not get, in words."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The assistant does something else now."""

    state: State


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """A reply to turn `turn` may be heard from here on."""

    turn: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """All that `role` has said in `turn` so far; `final` when nothing more follows."""

    turn: int
    role: Role
    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The reply was cut short: the user heard `heard_ms` of it, which was `heard_text`.

    `latency_ms` has speech_start_to_silence where it was the user's voice that cut it.
    """

    turn: int
    heard_ms: int
    heard_text: str
    latency_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one turn by kind, as the engine counts them, such as {"total": 120}."""

    tokens: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextResponse:
    """What was said in `turn` (when interrupted: what was heard); `confidence` is 0 to 1, or None without evidence."""

    turn: int
    text: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class TurnUsageReport:
    """What a reply has cost that was interrupted; of others, `TurnEnded` says it."""

    turn: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The reply was heard to its end, `heard_ms` of it."""

    turn: int
    heard_ms: int
    latency_ms: Mapping[str, int]
    usage: Usage


@dataclass(frozen=True, slots=True)
class ScreenFrameSent:
    """Frame number `frame` went up to the engine, `age_ms` after it arrived here."""

    frame: int
    age_ms: int
    reason: SeenReason


@dataclass(frozen=True, slots=True)
class Step:
    """One step of guidance."""

    id: int
    text: str
    state: StepState


@dataclass(frozen=True, slots=True)
class Guidance:
    """The task as steps, the current one marked."""

    title: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Pointer:
    """The assistant points at `box` of frame number `frame`."""

    frame: int
    box: Box
    label: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something went wrong; `fatal` means the session ends with it."""

    code: FaultCode
    message: str
    details: Mapping[str, object] = field(default_factory=dict)
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping, with the client's own stamp."""

    t: int | float | str | None


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """Nothing follows."""

    reason: EndReason


Event = (
    SessionStarted
    | StateChanged
    | TurnStarted
    | Transcript
    | Interrupted
    | TextResponse
    | TurnEnded
    | TurnUsageReport
    | ScreenFrameSent
    | Guidance
    | Pointer
    | Fault
    | Pong
    | SessionEnded
)


def fault_from(error: BaseException) -> Fault:
    """Say an error to the client; a bug shows nothing of itself."""
    if isinstance(error, MediaError):
        return Fault(error.code, error.message, error.details, fatal=error.severity == "fatal")
    return Fault(FaultCode.INTERNAL_ERROR, "The server made a mistake and ended this session.", fatal=True)


@dataclass(frozen=True, slots=True)
class TextInput:
    """A typed question."""

    text: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop talking now."""


@dataclass(frozen=True, slots=True)
class AudioEnd:
    """The utterance is over, whatever the VAD thinks."""


@dataclass(frozen=True, slots=True)
class ScreenShareEnd:
    """The screen is no longer shared."""


@dataclass(frozen=True, slots=True)
class Playback:
    """How much of a turn's reply the client has really played, in milliseconds."""

    turn: int
    played_ms: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there?"""

    t: int | float | str | None


@dataclass(frozen=True, slots=True)
class EndSession:
    """Goodbye."""


@dataclass(frozen=True, slots=True)
class NameTracks:
    """Which video section (mid) shows what: "screen" or "camera"."""

    mids: Mapping[str, str]


Command = TextInput | Interrupt | AudioEnd | ScreenShareEnd | Playback | Ping | EndSession | NameTracks
