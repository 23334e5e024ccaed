"""Decides which frames of a screen share are sent to the engine."""

from pipeline.events import SeenReason
from pipeline.media import ScreenFrame
from pipeline.screen.change_detector import Change, ChangeDetector
from pipeline.screen.frame_signature import TURN_TOLERANCE

INTERVAL = 1.0
"""Least seconds between two frames sent, but for those that a question needs."""

SETTLED = 1.2
"""Seconds for which a small change must be still: a cursor blinks and a pointer moves on sooner."""

SMALL_INTERVAL = 100.0
"""Least seconds between two frames sent for small changes."""

PASSING_INTERVAL = 150.0
"""Seconds after which a frame is sent although nothing but a pointer, a cursor or a clock differs."""

_RECHECK = 0.5
"""Seconds after which a difference is assessed again: what was restless may have come to rest."""


class Deduplicator:
    """Selects frames for the engine: only the newest, only if it has changed, and one per second, or with a question.

    It has no clock: `now` is any monotonic clock in seconds. When `reason_to_send` or `reason_for_turn` returns a
    reason, the caller calls `mark_sent(latest, now)` before it encodes, so that the same frame is not sent twice.
    """

    def __init__(self) -> None:
        self.offered_frames = 0
        self.sent_frames = 0
        self.dropped_frames = 0  # offered and never sent
        self._latest: ScreenFrame | None = None
        self._is_latest_sent = False
        self._detector = ChangeDetector()
        self._sent_at = float("-inf")
        self._next_send_time = 0.0  # when the timer may send again
        self._next_small_time = 0.0
        self._is_change_small = False
        self._next_check: float | None = None

    @property
    def latest(self) -> ScreenFrame | None:
        """The newest frame of the share, or None if nothing is shared."""
        return self._latest

    @property
    def next_check(self) -> float | None:
        """When `reason_to_send` is worth asking again although no frame has come; None if it is not."""
        return self._next_check

    def offer(self, frame: ScreenFrame) -> None:
        """Take a frame, which replaces the one before."""
        self._release()
        self.offered_frames += 1
        self._latest = frame
        self._is_latest_sent = False

    def reason_to_send(self, now: float) -> SeenReason | None:
        """Return the reason to send the latest frame now, or None."""
        self._next_check = None
        if self._latest is None:
            return None
        change, still_since = self._detector.assess(self._latest, now)
        self._is_change_small = change is Change.SMALL
        if change is Change.NONE:
            return None
        due = self._next_send_time
        if change is Change.SMALL:
            due = max(due, self._next_small_time, still_since + SETTLED)
        elif change is Change.PASSING:
            due = max(due, self._sent_at + PASSING_INTERVAL)
        if now < due:
            self._next_check = min(due, now + _RECHECK)
            return None
        return SeenReason.FIRST if self._detector.is_empty else SeenReason.CHANGED

    def reason_for_turn(self) -> SeenReason | None:
        """Return the reason to send the latest frame with a question, or None if the engine has seen it."""
        self._is_change_small = False
        if self._latest is None:
            return None
        if self._detector.is_empty:
            return SeenReason.FIRST
        return SeenReason.TURN if self._detector.has_changed(self._latest, tolerance=TURN_TOLERANCE) else None

    def mark_sent(self, frame: ScreenFrame, now: float) -> None:
        """Note that this frame is sent."""
        self.sent_frames += 1
        self._is_latest_sent = self._is_latest_sent or frame is self._latest
        self._detector.remember(frame)
        self._sent_at = now
        self._next_send_time = now + INTERVAL
        if self._is_change_small:
            self._next_small_time = now + SMALL_INTERVAL
            self._is_change_small = False

    def forget_sent(self) -> None:
        """Note that the engine has no frame, such as in a fresh session: the latest one is due again."""
        self._detector.forget()

    def clear(self) -> None:
        """Drop the share, which has ended."""
        self._release()
        self._latest = None
        self._next_check = None
        self._detector = ChangeDetector()

    def _release(self) -> None:
        if self._latest is not None and not self._is_latest_sent:
            self.dropped_frames += 1
