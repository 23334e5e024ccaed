"""The points in a connection's life at which a fault can be injected."""

from enum import StrEnum


class FaultPoint(StrEnum):
    """A point at which a fault can be injected, in the order of a connection's life."""

    UPGRADE = "upgrade"
    RESUME = "resume"
    SETUP = "setup"
    READY = "ready"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    TOOL = "tool"
    IDLE = "idle"
