"""The interface between a conversation and its engine, whichever engine it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pipeline.errors import EngineError
from pipeline.events import Usage
from pipeline.media import AudioChunk

NOT_UNDERSTOOD = "[not understood]"
"""The transcript of speech that an engine has rejected instead of guessing words."""


class Function(Protocol):
    """A function the engine may call to show something; `parameters` is a JSON Schema object."""

    @property
    def name(self) -> str:
        """The function's name for the engine."""
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
    """Settings of all sessions of one conversation; `media_resolution` is low, medium or high."""

    model: str
    voice: str | None
    language: str | None
    instructions: str
    media_resolution: str
    tools: tuple[Function, ...] = ()
    fallback: str | None = None
    """The model to use if `model` is not available."""


@dataclass(frozen=True, slots=True)
class EngineReady:
    """A session with `model` is open, new or resumed; the screen must be sent before any other input."""

    model: str


@dataclass(frozen=True, slots=True)
class EngineDisconnected:
    """There is no session for a moment; the bridge reconnects and keeps the user's input until then."""


@dataclass(frozen=True, slots=True)
class EngineUnavailable:
    """An outage has become noticeable; the bridge goes on reconnecting.

    `is_cut`: the open turn is lost. If not, the newest question is kept and sent again.
    """

    error: EngineError
    is_turn_lost: bool = False


@dataclass(frozen=True, slots=True)
class EngineDowngraded:
    """The service refused some settings, and the bridge uses fewer from now on."""

    error: EngineError


@dataclass(frozen=True, slots=True)
class ReplyAudio:
    """A piece of the reply's speech: 24 kHz mono, `pts` (s) counted from the start of the reply."""

    turn: int
    chunk: AudioChunk


@dataclass(frozen=True, slots=True)
class ReplyText:
    """The next piece of the reply's text."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class UserText:
    """The next piece of the user's transcript, and the confidence of the whole (0 to 1, None without evidence).

    `is_restart`: it replaces the text of an earlier attempt. `is_final`: no other piece follows, and there may be no
    words at all.
    """

    turn: int
    text: str
    is_restart: bool = False
    confidence: float | None = None
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class ReplyGenerated:
    """All speech of the reply has arrived."""

    turn: int


@dataclass(frozen=True, slots=True)
class ReplyEnded:
    """The reply is complete; `usage` are its tokens."""

    turn: int
    usage: Usage
    blocked: EngineError | None


@dataclass(frozen=True, slots=True)
class ReplyCancelled:
    """The engine has closed an interrupted reply, or counts more tokens after the end of one."""

    turn: int
    usage: Usage


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function call; answer it with `GeminiBridge.send_tool_response`."""

    turn: int
    id: str
    name: str
    args: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolCallCancelled:
    """The engine has cancelled these calls."""

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
