"""The control that the parts of a participant's session have over the whole."""

from typing import Protocol

from livekit.protocol.models import DisconnectReason
from livekit.protocol.rtc import SignalResponse

from mediaserver.livekit.room.room import LeaveAction


class SessionControl(Protocol):
    """Posts signal messages and ends the session; `ParticipantSession` implements it."""

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        ...

    def post(self, response: SignalResponse) -> None:
        """Send a signal message if a socket is attached."""
        ...

    def end(self, reason: DisconnectReason, action: LeaveAction | None = None) -> None:
        """Leave the room now; with an `action`, the client gets a leave message."""
        ...

    def schedule_end(self, reason: DisconnectReason, delay: float, action: LeaveAction = "DISCONNECT") -> None:
        """End the session after `delay` seconds; later calls have no effect."""
        ...
