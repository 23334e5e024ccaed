"""User input that no reply has begun to answer; it is sent again after a reconnect."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.media import AudioChunk

MAX_PENDING_SECONDS = 60.0
"""Most speech that is kept: 2 MB."""

MAX_PENDING_INPUTS = 8


@dataclass(slots=True, eq=False)
class PendingText:
    """A typed question."""

    turn: int
    text: str
    note: str | None = None  # context note for this question
    failed_attempts: int = 0


@dataclass(slots=True, eq=False)
class PendingUtterance:
    """An utterance, as far as it was spoken."""

    turn: int
    chunks: deque[AudioChunk] = field(default_factory=deque)
    is_open: bool = True
    note: str | None = None
    failed_attempts: int = 0
    dropped_seconds: float = 0.0  # from its beginning


UserInput = PendingText | PendingUtterance


class PendingInput:
    """Questions and utterances in order; beyond the limits the oldest speech and the oldest items are dropped."""

    def __init__(self) -> None:
        self._inputs: deque[UserInput] = deque()
        self._seconds = 0.0

    def __iter__(self) -> Iterator[UserInput]:
        return iter(tuple(self._inputs))

    @property
    def turns(self) -> set[int]:
        """The turns that have pending input."""
        return {item.turn for item in self._inputs}

    def start(self, turn: int, note: str | None = None) -> None:
        """Begin an utterance."""
        self.end()
        self._add(PendingUtterance(turn, note=note))

    def push_audio(self, chunk: AudioChunk) -> None:
        """Keep audio of the open utterance; audio outside of one is dropped."""
        utterance = self._open_utterance()
        if utterance is None:
            return
        utterance.chunks.append(chunk)
        self._seconds += chunk.duration
        while self._seconds > MAX_PENDING_SECONDS:
            oldest = next(item for item in self._inputs if isinstance(item, PendingUtterance) and item.chunks)
            dropped = oldest.chunks.popleft()
            self._seconds -= dropped.duration
            oldest.dropped_seconds += dropped.duration

    def end(self) -> None:
        """Complete the open utterance."""
        utterance = self._open_utterance()
        if utterance is not None:
            utterance.is_open = False

    def cancel(self) -> None:
        """Remove the newest item if it is an utterance, which is not to be answered."""
        if self._inputs and isinstance(self._inputs[-1], PendingUtterance):
            self._remove(self._inputs[-1])

    def submit_text(self, turn: int, text: str, note: str | None = None) -> None:
        """Add a typed question; an open utterance ends here."""
        self.end()
        self._add(PendingText(turn, text, note))

    def on_answered(self, turn: int) -> None:
        """Remove all input up to `turn`, as its reply begins."""
        for item in self:
            if item.turn <= turn and not _is_open(item):
                self._remove(item)

    def discard_closed(self) -> None:
        """Remove all complete items, as they are not to be answered."""
        for item in self:
            if not _is_open(item):
                self._remove(item)

    def record_failed_attempt(self, limit: int) -> int | None:
        """Count a lost connection; returns the newest turn dropped after `most` of them, or None."""
        given_up = None
        for item in self:
            item.failed_attempts += 1
            if item.failed_attempts >= limit and not _is_open(item):
                self._remove(item)
                given_up = item.turn
        return given_up

    def _add(self, item: UserInput) -> None:
        self._inputs.append(item)
        if len(self._inputs) > MAX_PENDING_INPUTS:
            self._remove(self._inputs[0])

    def _remove(self, item: UserInput) -> None:
        self._inputs.remove(item)
        if isinstance(item, PendingUtterance):
            self._seconds -= sum(chunk.duration for chunk in item.chunks)

    def _open_utterance(self) -> PendingUtterance | None:
        last = self._inputs[-1] if self._inputs else None
        return last if isinstance(last, PendingUtterance) and last.is_open else None


def _is_open(item: UserInput) -> bool:
    return isinstance(item, PendingUtterance) and item.is_open
