"""All events from a conversation to its peers (`Event`) and all commands from a peer (`Command`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.errors import FaultCode, MediaError


class State(StrEnum):
    """The assistant's activity, in one word."""

    CONNECTING = "connecting"
    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    RECONNECTING = "reconnecting"


class Role(StrEnum):
    """The speaker of a text."""

    USER = "user"
    ASSISTANT = "assistant"


class EndReason(StrEnum):
    """The reason for the end of a conversation."""

    CLIENT = "client"
    IDLE = "idle"
    LIMIT = "limit"
    SHUTDOWN = "shutdown"
    ERROR = "error"


class SeenReason(StrEnum):
    """The reason for sending a frame to the engine."""

    FIRST = "first"
    CHANGED = "changed"
    TURN = "turn"


class StepState(StrEnum):
    """The progress of a step of guidance."""

    DONE = "done"
    CURRENT = "current"
    AHEAD = "todo"


class EvidenceSource(StrEnum):
    """The sources of evidence that a step is done."""

    SCREEN = "screen"  # read on the screen by the server
    ASSISTANT = "assistant"  # seen by the model
    USER = "user"


class GuideAction(StrEnum):
    """The ways in which a user moves the plan."""

    NEXT = "next"
    DONE = "done"
    BACK = "back"
    SKIP = "skip"
    REPEAT = "repeat"
    WHERE = "where"
    HINT = "hint"
    RESTART = "restart"
    CLOSE = "close"
    REMARKS_ON = "remarks_on"
    REMARKS_OFF = "remarks_off"


Box = tuple[int, int, int, int]
"""[ymin, xmin, ymax, xmax], integers 0 to 1000 of the shared frame."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak; `pts` (s) is the session time of the first window of speech."""

    pts: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The user's utterance is over; `pts` (s) is where its last window of speech ended.

    `is_too_long`: speech has not ended, but the utterance has reached its longest length.
    """

    pts: float
    is_too_long: bool = False


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """A language model that answers inside of the local engine, and the host (with port) it runs on."""

    model: str
    host: str


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A peer has joined: the session, its engine and its limits."""

    id: str
    label: str
    engine: str
    model: str
    requested_model: str | None
    language: str
    limits: Mapping[str, int]
    warnings: tuple[str, ...] = ()
    """Requests of the client that were not granted, in words."""
    language_model: LanguageModel | None = None
    """The operator's own model, if it answers."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The assistant's activity has changed."""

    state: State


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The reply to turn `turn` begins to play."""

    turn: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of `role` in `turn` so far; `final` if it is complete.

    `confidence` is that of recognised speech, 0 to 1, or None without evidence.
    """

    turn: int
    role: Role
    text: str
    final: bool
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The reply was interrupted after `heard_ms` of it were played; `heard_text` is the text of that part.

    `latency_ms` has speech_start_to_silence if the user's speech interrupted it.
    """

    turn: int
    heard_ms: int
    heard_text: str
    latency_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resumed:
    """The reply that `Interrupted` cut is taken up again from `from_ms`: the interruption was nothing."""

    turn: int
    from_ms: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one turn by kind, as the engine counts them, such as {"total": 120}."""

    tokens: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextResponse:
    """The text of `turn`, up to its interruption; `confidence` is 0 to 1, or None without evidence."""

    turn: int
    text: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class TurnUsageReport:
    """Tokens of a reply that was interrupted; those of other replies are in `TurnEnded`."""

    turn: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The reply was played to its end, `heard_ms` of it."""

    turn: int
    heard_ms: int
    latency_ms: Mapping[str, int]
    usage: Usage


@dataclass(frozen=True, slots=True)
class ScreenFrameSent:
    """Frame number `frame` was sent to the engine, `age_ms` after its arrival."""

    frame: int
    age_ms: int
    reason: SeenReason


@dataclass(frozen=True, slots=True)
class Evidence:
    """The reason for which a step counts as done: `words` read on frame number `frame`, or said by `source`."""

    source: EvidenceSource
    words: str
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of guidance; `evidence` for one that is done."""

    id: int
    text: str
    state: StepState
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Guidance:
    """The task as steps, with the current one marked; without steps, the plan was closed."""

    title: str
    steps: tuple[Step, ...]
    guide: str | None = None
    """The id of the guide that it follows; None for a plan made on the fly."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """The assistant points at `box` of frame number `frame`."""

    frame: int
    box: Box
    label: str


@dataclass(frozen=True, slots=True)
class Fault:
    """An error; `fatal` means the session ends with it."""

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
    """The session has ended; no event follows."""

    reason: EndReason


Event = (
    SessionStarted
    | StateChanged
    | TurnStarted
    | Transcript
    | Interrupted
    | Resumed
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
    """Turn an exception into a `Fault`; one that is not a `MediaError` shows no detail."""
    if isinstance(error, MediaError):
        return Fault(error.code, error.message, error.details, fatal=error.severity == "fatal")
    return Fault(FaultCode.INTERNAL_ERROR, "The server made a mistake and ended this session.", fatal=True)


@dataclass(frozen=True, slots=True)
class TextInput:
    """A typed question."""

    text: str


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Stop the reply."""


@dataclass(frozen=True, slots=True)
class AudioEnd:
    """End the utterance now, whatever the VAD detects."""


@dataclass(frozen=True, slots=True)
class ScreenShareEnd:
    """The screen is no longer shared."""


@dataclass(frozen=True, slots=True)
class Playback:
    """The client has played `played_ms` milliseconds of this turn's reply."""

    turn: int
    played_ms: int


@dataclass(frozen=True, slots=True)
class Ping:
    """Request a `Pong`."""

    t: int | float | str | None


@dataclass(frozen=True, slots=True)
class EndSession:
    """End the session."""


@dataclass(frozen=True, slots=True)
class NameTracks:
    """Maps video sections (mid) to "screen" or "camera"."""

    mids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StartGuide:
    """Follow the guide with this id."""

    guide: str


@dataclass(frozen=True, slots=True)
class GuideCommand:
    """Move the plan."""

    command: GuideAction


Command = (
    TextInput
    | Interrupt
    | AudioEnd
    | ScreenShareEnd
    | Playback
    | Ping
    | EndSession
    | NameTracks
    | StartGuide
    | GuideCommand
)
