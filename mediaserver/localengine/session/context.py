"""What one session knows, and what a resumption handle brings back."""

import copy
from dataclasses import dataclass

from mediaserver.localengine.responder.interface import Memory


@dataclass(slots=True)
class Context:
    """Everything said, shown and appended so far."""

    memory: Memory
    screen: bytes | None = None
    """The newest JPEG (or PNG) seen, None if nothing is shared."""
    appended: str = ""
    """Client content that waits for the question it belongs to."""

    def copy(self) -> "Context":
        """A context of its own, as this one is now."""
        return copy.deepcopy(self)

    @property
    def size(self) -> int:
        """Bytes it holds, about."""
        remarks = sum(len(remark.text) for remark in self.memory.history)
        return len(self.screen or b"") + len(self.appended) + remarks
