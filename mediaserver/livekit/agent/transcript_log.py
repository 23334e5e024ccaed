"""What was said in a conversation lately, for a client that asks."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from pipeline.events import Event, Interrupted, Role, Transcript, TurnEnded
from pipeline.peer import ConversationPort

MAX_ENTRIES = 200


class TranscriptLog:
    """A witness that remembers the newest entries, one for each turn and role, shaped as history's are."""

    def __init__(self, clock: Callable[[], datetime]):
        self._clock = clock
        self._entries: deque[dict[str, Any]] = deque(maxlen=MAX_ENTRIES)

    def __call__(self, event: Event) -> None:
        """Remember an event if it says what was said."""
        match event:
            case Transcript(turn, role, text):
                self._entry(turn, role)["text"] = text
            case Interrupted(turn, heard_ms, heard_text) if heard_ms or heard_text:
                self._entry(turn, Role.ASSISTANT).update(text=heard_text, heard_ms=heard_ms, interrupted=True)
            case TurnEnded(turn, heard_ms) if (found := self._find(turn, Role.ASSISTANT)) is not None:
                found["heard_ms"] = heard_ms

    def newest(self, most: int) -> list[dict[str, Any]]:
        """The newest entries, oldest of them first."""
        return list(self._entries)[-most:] if most > 0 else []

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
    """A chronicle of each conversation that `observe` has been told of as it began; each lives as long as that does."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._clock = clock
        self._all: WeakKeyDictionary[ConversationPort, TranscriptLog] = WeakKeyDictionary()

    def observe(self, host: ConversationPort) -> TranscriptLog:
        """The witness of a conversation that begins."""
        chronicle = self._all[host] = TranscriptLog(self._clock)
        return chronicle

    def of(self, host: ConversationPort) -> TranscriptLog:
        """What was said in a conversation: if it was not observed, from now on."""
        found = self._all.get(host)
        if found is None:
            found = self.observe(host)
            host.add_observer(found)
        return found
