"""The seam between the server, which speaks the protocol, and the brain, which hears, reads the screen and answers."""

from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

MOST_REMARKS = 100
"""Of a conversation; of more, the newest are kept."""
LONGEST_REMARK = 4_000
"""Characters that are kept of what was said at once."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the user wants answered now."""

    audio: bytes
    """The spoken window: 16 kHz mono 16-bit PCM, empty when typed."""
    text: str | None
    """The typed text, None when spoken."""
    screen: bytes | None
    """The newest JPEG (or PNG) seen, None if nothing is shared."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was understood of a spoken question, "" if nothing; told before anything else."""

    text: str


@dataclass(frozen=True, slots=True)
class Speech:
    """A finished piece of voice: 24 kHz mono 16-bit PCM, and its words as (first sample, text with trailing space)."""

    pcm: bytes
    words: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function call on the wire, such as point_at; left out when the client has not declared the function."""

    name: str
    args: Mapping[str, object]


Role = Literal["user", "model"]


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Something one of the two has said."""

    role: Role
    text: str


@dataclass(slots=True)
class Memory:
    """What a brain keeps of one session; a brain that needs more subclasses it."""

    language: str = "en-US"
    """What the client asked for in its setup (speechConfig.languageCode)."""
    last_answer: str = ""
    """What was said last, for "repeat"."""
    turns: int = 0
    """Questions asked so far."""
    history: deque[HistoryEntry] = field(default_factory=lambda: deque(maxlen=MOST_REMARKS))
    """The conversation so far, with what the client told of an earlier one; of an answer, what was sent."""

    def append(self, role: Role, text: str) -> None:
        """Keep what was said, unless it was nothing."""
        if text := text.strip():
            self.history.append(HistoryEntry(role, text[:LONGEST_REMARK]))


class Responder(Protocol):
    """Whatever can answer a question; cancelling an answer half way (a barge-in) leaves it ready for the next one."""

    def new_memory(self) -> Memory:
        """Begin one session."""
        ...

    def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        """Answer piece by piece; heavy work happens in another process, so that iterating never holds up the loop."""
        ...
