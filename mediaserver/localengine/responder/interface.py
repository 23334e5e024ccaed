"""The interface between the server, which implements the protocol, and the responder, which answers questions."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

MAX_ENTRIES = 100
"""History entries kept, the newest."""
MAX_ENTRY_LENGTH = 4_000
"""Characters kept of one entry."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the user."""

    audio: bytes
    """The spoken window: 16 kHz mono 16-bit PCM, empty when typed."""
    text: str | None
    """The typed text, None when spoken."""
    screen: bytes | None
    """The newest JPEG (or PNG) seen, None if nothing is shared."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """The transcript of a spoken question, "" if not understood; yielded first."""

    text: str


@dataclass(frozen=True, slots=True)
class Speech:
    """Synthesized speech: 24 kHz mono 16-bit PCM, and its words as (first sample, text with trailing space)."""

    pcm: bytes
    words: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class CallResult:
    """The result of a call; `is_silent` if nothing need be said about it."""

    response: Mapping[str, object]
    is_silent: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A function call, such as point_at; skipped if the client has not declared the function.

    `result` is set for a responder that continues with the result; it is cancelled if the call is taken back.
    """

    name: str
    args: Mapping[str, object]
    result: "asyncio.Future[CallResult] | None" = field(default=None, compare=False)


Role = Literal["user", "model"]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One utterance of the user or the model."""

    role: Role
    text: str


@dataclass(slots=True)
class Memory:
    """The state a responder keeps of one session; subclass it to keep more."""

    language: str = "en-US"
    """The language of the setup (speechConfig.languageCode)."""
    last_answer: str = ""
    """The last answer, for "repeat"."""
    turns: int = 0
    """Questions asked so far."""
    history: deque[HistoryEntry] = field(default_factory=lambda: deque(maxlen=MAX_ENTRIES))
    """The conversation so far, seeded history included; of an answer, the part that was sent."""

    def append(self, role: Role, text: str) -> None:
        """Add an entry, unless it is blank."""
        if text := text.strip():
            self.history.append(HistoryEntry(role, text[:MAX_ENTRY_LENGTH]))


class Responder(Protocol):
    """Answers questions; a cancelled answer (barge-in) must leave it ready for the next one."""

    def new_memory(self) -> Memory:
        """Create the memory of a new session."""
        ...

    def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        """Answer piece by piece; heavy work runs in another process, so that iterating never blocks the loop."""
        ...
