"""When an endpoint that failed is asked again."""

from collections.abc import Callable
from typing import Literal

from mediaserver.localengine.responder.chat_model.chat_fault import ChatFault
from pipeline.errors import FaultCode

BACKOFF = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds until the endpoint is asked again after each failure in a row; the last value repeats."""

# The next question may well be answered after these.
_WITHOUT_BACKOFF = {FaultCode.LLM_CUT_OFF, FaultCode.LLM_REFUSED}

State = Literal["untried", "ok", "failing"]


class Availability:
    """The state of one endpoint for all sessions; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]):
        self.code: FaultCode | None = None
        """The last failure, None after an answer."""
        self._clock = clock
        self._state: State = "untried"
        self._failures = 0
        self._retry_at = float("-inf")

    @property
    def state(self) -> State:
        """The outcome of the last request."""
        return self._state

    def check(self) -> None:
        """Raise the last failure while it is too early to ask again."""
        if self.code is not None and self._clock() < self._retry_at:
            raise ChatFault(self.code, is_known=True)

    def on_answered(self) -> None:
        """Note an answer."""
        self.code = None
        self._state = "ok"
        self._failures = 0

    def on_failed(self, fault: ChatFault) -> None:
        """Note a failure."""
        self.code = fault.code
        self._state = "failing"
        if fault.code not in _WITHOUT_BACKOFF:
            delay = BACKOFF[min(self._failures, len(BACKOFF) - 1)]
            self._failures += 1
            self._retry_at = self._clock() + max(delay, fault.retry_after)
