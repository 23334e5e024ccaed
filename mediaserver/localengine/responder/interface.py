"""The interface between the server, which implements the protocol, and the responder, which answers questions."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from mediaserver.localengine.protocol.messages import Functions
from pipeline.screen.read_text import ReadText

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
    functions: Functions = field(default_factory=dict)
    """Functions of the client that may be called."""
    instructions: str = ""
    """The client's system instruction."""
    speech_bytes: int | None = None
    """Bytes of `audio` up to a pause that lasted until its end; None if it has none."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """The transcript of a spoken question and its confidence (0 to 1, None without evidence); yielded first.

    `is_rejected`: it was no speech, or too unclear to be put into words.
    """

    text: str
    confidence: float | None = None
    is_rejected: bool = False


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
    speed: float = 1.0
    """The speed of speech that the user asked for, as a multiple of the voice's own."""
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


class Reader(Protocol):
    """Reads the text on a frame, such as `pipeline.screen.ocr.Ocr`."""

    async def read(self, jpeg: bytes, /) -> tuple[ReadText, ...]:
        """Return the lines of text on a frame; raises `MediaError`."""
        ...


class Responder(Protocol):
    """Answers questions; a cancelled answer (barge-in) must leave it ready for the next one."""

    def new_memory(self) -> Memory:
        """Create the memory of a new session."""
        ...

    def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        """Answer piece by piece; heavy work runs in another process, so that iterating never blocks the loop."""
        ...


@runtime_checkable
class ListensAhead(Protocol):
    """A responder that uses a pause of the speaker to begin its work."""

    def listen_ahead(self, audio: bytes, memory: Memory) -> Callable[[], None]:
        """Begin to transcribe what may be a whole question; the function that is returned abandons it."""
        ...
