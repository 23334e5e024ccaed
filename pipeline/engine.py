"""What a conversation says to its engine and hears from it, whichever engine that is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import EngineError
from pipeline.events import Usage
from pipeline.media import AudioChunk


class Function(Protocol):
    """A function the engine may call to show something; `parameters` is a JSON Schema object."""

    @property
    def name(self) -> str:
        """What the engine calls it by."""
        ...

    @property
    def description(self) -> str:
        """When to call it, in words for the model."""
        ...

    @property
    def parameters(self) -> Mapping[str, object]:
        """The schema of its arguments."""
        ...


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What every session with the engine is set up with; `media_resolution` is low, medium or high."""

    model: str
    voice: str | None
    language: str | None
    instructions: str
    media_resolution: str
    tools: tuple[Function, ...] = ()
    fallback: str | None = None
    """The model to use if `model` turns out not to be available."""


@dataclass(frozen=True, slots=True)
class EngineReady:
    """A session with `model` is open, new or resumed; it is to be shown the screen before anything else is said."""

    model: str


@dataclass(frozen=True, slots=True)
class EngineDisconnected:
    """There is no session for a moment; the bridge makes one by itself, and keeps what the user says until then."""


@dataclass(frozen=True, slots=True)
class EngineUnavailable:
    """The bridge could not hide that a session broke or cannot be made, and goes on trying.

    `is_cut`: the turn that was open is over. If not, what the user said last is kept and will be asked.
    """

    error: EngineError
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class EngineDowngraded:
    """The service refused what was asked for, and less of it is used from here on."""

    error: EngineError


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """A piece of the reply's voice: 24 kHz mono, `pts` (s) counted from the start of the reply."""

    turn: int
    chunk: AudioChunk


@dataclass(frozen=True, slots=True)
class ReplyText:
    """What the reply says next."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class UserText:
    """What the user was understood to say next; `is_anew`: what was understood before was of an earlier try."""

    turn: int
    text: str
    is_anew: bool = False


@dataclass(frozen=True, slots=True)
class ReplyGenerated:
    """All of the reply's voice has been told."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply is over, and has cost `usage`."""

    turn: int
    usage: Usage
    blocked: EngineError | None


@dataclass(frozen=True, slots=True)
class ReplyCancelled:
    """The engine has closed a reply that was interrupted, or counts on after the end of one: it has cost `usage`."""

    turn: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The engine calls a function; answer it with `GeminiBridge.answer`."""

    turn: int
    id: str
    name: str
    args: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCallCancelled:
    """The engine no longer wants these calls answered."""

    ids: tuple[str, ...]


ReplyEvent = ReplyAudio | ReplyText | UserText | ReplyGenerated | ReplyEnded | ReplyCancelled | ToolCall
EngineEvent = EngineReady | EngineDisconnected | EngineUnavailable | EngineDowngraded | ReplyEvent | ToolCallCancelled


class EngineListener(Protocol):
    """Receives the events of an engine and numbers its proactive turns. No method waits or raises."""

    def on_engine_event(self, event: EngineEvent) -> None:
        """Handle an event; events come in order."""
        ...

    def next_turn(self) -> int:
        """Return the number of a new turn, for speech that no question asked for."""
        ...
