"""The timeouts and intervals of rooms."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """Timeouts and intervals, in seconds."""

    connect: float = 10.0
    """Time from a join in which the media link must stand."""
    resume: float = 30.0
    """Time without a socket after which a session ends."""
    grace: float = 60.0
    """Time without any participant after which the conversation ends."""
    silence: float = 20.0
    """Receive timeout of a socket; clients ping every 5 s."""
    send: float = 10.0
    """Send timeout of one message."""
    flush: float = 3.0
    """Send timeout of all queued messages before a socket closes."""
    leave_delay: float = 0.3
    """Delay between the last event, on a data channel, and the leave message, on the socket."""
    publish: float = 0.5
    """Delay of a subscription report, in which the client finishes the publication."""
    hung_up: float = 1.0
    """Time for a client that has closed its connection to send `leave`."""
    tick: float = 0.3
    """Interval of health checks and speaker updates."""
    quality: float = 5.0
    """Interval of connection quality updates."""
    refresh: float = 300.0
    """Interval of token refreshes."""
