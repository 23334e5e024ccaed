"""The state of a session, restored by a resumption handle."""

import copy
from dataclasses import dataclass

from mediaserver.localengine.responder.interface import Memory


@dataclass(slots=True)
class Context:
    """The conversation, the screen and the appended content."""

    memory: Memory
    screen: bytes | None = None
    """The newest JPEG (or PNG) seen, None if nothing is shared."""
    appended: str = ""
    """Client content that belongs to the next question."""

    def copy(self) -> "Context":
        """Return an independent copy."""
        return copy.deepcopy(self)

    @property
    def size(self) -> int:
        """Approximate size in bytes."""
        remarks = sum(len(remark.text) for remark in self.memory.history)
        return len(self.screen or b"") + len(self.appended) + remarks
