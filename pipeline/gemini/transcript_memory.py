"""What a conversation remembers of itself, for an engine that does not."""

from collections import deque
from collections.abc import Container
from dataclasses import dataclass

from pipeline.events import Role

MAX_CHARACTERS = 8_000
"""Kept of what was said, newest first: some 2,000 tokens, which are billed again with every turn."""


@dataclass(frozen=True, slots=True)
class TranscriptLine:
    """What one of them said in one turn, as far as it was heard."""

    turn: int
    role: Role
    text: str


class TranscriptMemory:
    """The newest lines of the transcript, each complete."""

    def __init__(self) -> None:
        self._lines: deque[TranscriptLine] = deque()
        self._characters = 0

    def add(self, turn: int, role: Role, text: str) -> None:
        """Remember a line; said again for the same turn and role, it replaces the one before."""
        text = text[-MAX_CHARACTERS:]
        known = self._find(turn, role)
        if known is not None:
            self._lines.remove(known)
            self._characters -= len(known.text)
        if not text.strip():
            return
        self._lines.append(TranscriptLine(turn, role, text))
        self._characters += len(text)
        while self._characters > MAX_CHARACTERS:
            self._characters -= len(self._lines.popleft().text)

    def extend(self, turn: int, role: Role, piece: str) -> None:
        """Remember what was said next in a line."""
        known = self._find(turn, role)
        self.add(turn, role, piece if known is None else known.text + piece)

    def lines(self, *, after: int = 0, but: Container[int] = ()) -> tuple[TranscriptLine, ...]:
        """What was said in turns after `after`, without those in `but`, oldest turn first."""
        chosen = [line for line in self._lines if line.turn > after and line.turn not in but]
        return tuple(sorted(chosen, key=lambda line: (line.turn, line.role is Role.ASSISTANT)))

    def _find(self, turn: int, role: Role) -> TranscriptLine | None:
        return next((line for line in reversed(self._lines) if (line.turn, line.role) == (turn, role)), None)


def format_as_context(lines: tuple[TranscriptLine, ...], opening: str) -> str:
    """The lines as one text in brackets, which is no question."""
    spoken = "\n".join(f"{line.role.value.capitalize()}: {line.text.strip()}" for line in lines)
    return f"[{opening}\n{spoken}]"
