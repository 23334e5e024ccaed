"""The speed of speech, which users change by saying so."""

from mediaserver.localengine.responder.interface import Memory

SPEEDS = (0.7, 0.85, 1.0, 1.2, 1.4)
"""Speeds to choose from, as multiples of the voice's own."""


def slow_down(memory: Memory) -> bool:
    """Let the session's speech be one step slower; False if it is the slowest."""
    slower = [speed for speed in SPEEDS if speed < memory.speed]
    memory.speed = max(slower, default=memory.speed)
    return bool(slower)


def speed_up(memory: Memory) -> bool:
    """Let the session's speech be one step faster; False if it is the fastest."""
    faster = [speed for speed in SPEEDS if speed > memory.speed]
    memory.speed = min(faster, default=memory.speed)
    return bool(faster)
