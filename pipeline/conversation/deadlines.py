"""How long a conversation may last: idle, alone, at most."""

from pipeline.events import EndReason

LAST_WORDS = 15.0
"""Seconds a reply may go on past the end of the session's time."""

SOON = 0.25
"""Seconds until the next look when it is already late, such as while a reply is still being spoken."""


class Deadlines:
    """Says when and why time is up; `now` is any clock in seconds that never goes back. Begins alone."""

    def __init__(self, *, idle: float, longest: float, grace: float, now: float):
        self.began = now
        self._idle = idle
        self._longest = longest
        self._active = now
        self._alone: tuple[float, float] | None = now, grace

    def touch(self, now: float) -> None:
        """Something happened: the conversation is not idle."""
        self._active = now

    def on_peer_attached(self) -> None:
        """Somebody is here."""
        self._alone = None

    def on_peer_detached(self, now: float, *, grace: float) -> None:
        """Nobody is here any more; for `grace` seconds somebody may come back."""
        self._alone = now, grace

    def expired_reason(self, now: float, *, is_speaking: bool) -> EndReason | None:
        """Why the conversation ends now, or None; a reply that `is_speaking` may say its last words."""
        if self._alone is not None and now >= sum(self._alone):
            return EndReason.CLIENT
        if now >= self._active + self._idle:
            return EndReason.IDLE
        return EndReason.LIMIT if now >= self.began + self._longest + (LAST_WORDS if is_speaking else 0.0) else None

    def seconds_to_deadline(self, now: float) -> float:
        """Seconds until time may be up."""
        moments = [self._active + self._idle, self.began + self._longest]
        if self._alone is not None:
            moments.append(sum(self._alone))
        return max(SOON, min(moments) - now)
