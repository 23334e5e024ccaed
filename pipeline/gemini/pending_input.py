"""What the user has said and no reply has begun to answer, so that no connection takes it along when it dies."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.media import AudioChunk

MAX_PENDING_SECONDS = 60.0
"""How much speech is kept: 2 MB."""

MAX_PENDING_INPUTS = 8


@dataclass(slots=True, eq=False)
class PendingText:
    """Something typed."""

    turn: int
    text: str
    note: str | None = None  # what the engine is to know with it
    failed_attempts: int = 0


@dataclass(slots=True, eq=False)
class PendingUtterance:
    """Something said, as far as it has been said."""

    turn: int
    chunks: deque[AudioChunk] = field(default_factory=deque)
    is_open: bool = True
    note: str | None = None
    failed_attempts: int = 0
    dropped_seconds: float = 0.0  # seconds of its beginning


UserInput = PendingText | PendingUtterance


class PendingInput:
    """Questions and utterances in order, bounded: the oldest speech and the oldest acts give way."""

    def __init__(self) -> None:
        self._inputs: deque[UserInput] = deque()
        self._seconds = 0.0

    def __iter__(self) -> Iterator[UserInput]:
        return iter(tuple(self._inputs))

    @property
    def turns(self) -> set[int]:
        """The turns of which something is kept."""
        return {act.turn for act in self._inputs}

    def start(self, turn: int, note: str | None = None) -> None:
        """An utterance begins."""
        self.end()
        self._add(PendingUtterance(turn, note=note))

    def push_audio(self, chunk: AudioChunk) -> None:
        """Keep audio of the open utterance; outside of one it is nobody's."""
        utterance = self._open_utterance()
        if utterance is None:
            return
        utterance.chunks.append(chunk)
        self._seconds += chunk.duration
        while self._seconds > MAX_PENDING_SECONDS:
            oldest = next(act for act in self._inputs if isinstance(act, PendingUtterance) and act.chunks)
            dropped = oldest.chunks.popleft()
            self._seconds -= dropped.duration
            oldest.dropped_seconds += dropped.duration

    def end(self) -> None:
        """The open utterance is complete."""
        utterance = self._open_utterance()
        if utterance is not None:
            utterance.is_open = False

    def cancel(self) -> None:
        """The newest act, if it is an utterance, wants no answer after all."""
        if self._inputs and isinstance(self._inputs[-1], PendingUtterance):
            self._remove(self._inputs[-1])

    def submit_text(self, turn: int, text: str, note: str | None = None) -> None:
        """Something is typed; an utterance that is open ends here."""
        self.end()
        self._add(PendingText(turn, text, note))

    def on_answered(self, turn: int) -> None:
        """The reply to `turn` begins, and with it to all that was said before."""
        for act in self:
            if act.turn <= turn and not _is_open(act):
                self._remove(act)

    def discard_closed(self) -> None:
        """Nobody wants an answer to what is complete."""
        for act in self:
            if not _is_open(act):
                self._remove(act)

    def record_failed_attempt(self, most: int) -> int | None:
        """A connection has died with what is kept; the newest turn of what died with `most` of them, now forgotten."""
        given_up = None
        for act in self:
            act.failed_attempts += 1
            if act.failed_attempts >= most and not _is_open(act):
                self._remove(act)
                given_up = act.turn
        return given_up

    def _add(self, act: UserInput) -> None:
        self._inputs.append(act)
        if len(self._inputs) > MAX_PENDING_INPUTS:
            self._remove(self._inputs[0])

    def _remove(self, act: UserInput) -> None:
        self._inputs.remove(act)
        if isinstance(act, PendingUtterance):
            self._seconds -= sum(chunk.duration for chunk in act.chunks)

    def _open_utterance(self) -> PendingUtterance | None:
        last = self._inputs[-1] if self._inputs else None
        return last if isinstance(last, PendingUtterance) and last.is_open else None


def _is_open(act: UserInput) -> bool:
    return isinstance(act, PendingUtterance) and act.is_open
