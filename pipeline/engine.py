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


@dataclass(frozen=True, slots=True)
class EngineReady:
    """A fresh session with `model` has begun; it has seen nothing of the screen yet."""

    model: str


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The session broke, and with it every open turn; the bridge is making a new one by itself."""

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
    """What the user was understood to say next."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplyGenerated:
    """All of the reply's voice has been told."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply is over; `usage` is what was spent since the last `ReplyEnded`, interrupted turns included."""

    turn: int
    usage: Usage
    blocked: EngineError | None


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


ReplyEvent = ReplyAudio | ReplyText | UserText | ReplyGenerated | ReplyEnded | ToolCall
EngineEvent = EngineReady | EngineLost | ReplyEvent | ToolCallCancelled
