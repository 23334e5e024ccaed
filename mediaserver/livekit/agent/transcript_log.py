"""The latest transcript entries of each conversation, for RPC `get_history`."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from pipeline.events import Event, Interrupted, Resumed, Role, Transcript, TurnEnded
from pipeline.peer import ConversationPort

MAX_ENTRIES = 200


class TranscriptLog:
    """Observes a conversation and keeps the newest entries, one per turn and role, in the form of the history API."""

    def __init__(self, clock: Callable[[], datetime]):
        self._clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)

    def __call__(self, event: Event) -> None:
        """Record an event that carries or corrects a transcript."""
        match event:
            case Transcript(turn, role, text):
                self._entry(turn, role)["text"] = text
            case Interrupted(turn, heard_ms, heard_text) if heard_ms or heard_text:
                self._entry(turn, Role.ASSISTANT).update(text=heard_text, heard_ms=heard_ms, interrupted=True)
            case Resumed(turn) if (found := self._find(turn, Role.ASSISTANT)) is not None:
                found.update(heard_ms=None, interrupted=False)
            case TurnEnded(turn, heard_ms) if (found := self._find(turn, Role.ASSISTANT)) is not None:
                found["heard_ms"] = heard_ms

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """Return the newest entries in chronological order."""
        return list(self._entries)[-limit:] if limit > 0 else []

    def _find(self, turn: int, role: Role) -> dict[str, Any] | None:
        return next((each for each in self._entries if (each["turn"], each["role"]) == (turn, role.value)), None)

    def _entry(self, turn: int, role: Role) -> dict[str, Any]:
        entry = self._find(turn, role)
        if entry is None:
            entry = {
                "at": self._clock().isoformat(),
                "role": role.value,
                "text": "",
                "turn": turn,
                "interrupted": False,
                "heard_ms": None,
            }
            self._entries.append(entry)
        return entry


class TranscriptLogs:
    """Keeps one transcript log per conversation, for as long as the conversation exists."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._clock = clock
        self._logs: WeakKeyDictionary[ConversationPort, TranscriptLog] = WeakKeyDictionary()

    def observe(self, conversation: ConversationPort) -> TranscriptLog:
        """Create the log of a new conversation, for the caller to add as an observer."""
        log = self._logs[conversation] = TranscriptLog(self._clock)
        return log

    def of(self, conversation: ConversationPort) -> TranscriptLog:
        """Return the log of a conversation; one without a log is observed from now on."""
        found = self._logs.get(conversation)
        if found is None:
            found = self.observe(conversation)
            conversation.add_observer(found)
        return found
