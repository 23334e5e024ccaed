"""Derives the reported state of the assistant from the user's activity, the reply and the engine."""

from pipeline.errors import EngineError
from pipeline.events import State


class AssistantState:
    """Tracks whether the engine is available, and holds an outage error that is still to be reported."""

    def __init__(self) -> None:
        self.state = State.CONNECTING
        """The state that peers were sent last."""
        self._is_ready = False
        self._was_ready = False
        self._is_outage = False
        self._untold: EngineError | None = None

    def engine_ready(self) -> None:
        """Note that a session is open; an unreported outage error is dropped."""
        self._is_ready = self._was_ready = True
        self._is_outage = False
        self._untold = None

    def engine_disconnected(self) -> None:
        """Note that there is no session for a moment."""
        self._is_ready = False

    def engine_failed(self) -> None:
        """Note that an outage has become noticeable."""
        self._is_ready = False
        self._is_outage = True

    def defer(self, error: EngineError) -> None:
        """Hold an error until the current reply, which has arrived completely, was played."""
        self._untold = error

    def take_deferred(self) -> EngineError | None:
        """Return and clear the held error, if any."""
        error, self._untold = self._untold, None
        return error

    def next_state(self, *, is_listening: bool, is_awaiting: bool, is_speaking: bool) -> State | None:
        """Return the new state, or None if unchanged. A reply is awaited until it was played to its end."""
        state = self._state(is_listening, is_awaiting, is_speaking)
        if state is self.state:
            return None
        self.state = state
        return state

    def _state(self, is_listening: bool, is_awaiting: bool, is_speaking: bool) -> State:
        if not self._was_ready:
            return State.CONNECTING
        # A session of the engine's that is replaced between two turns is nothing anyone need know.
        is_missed = is_listening or (is_awaiting and not is_speaking)
        if not self._is_ready and (self._is_outage or is_missed):
            return State.RECONNECTING
        if is_listening:
            return State.LISTENING
        if is_speaking:
            return State.SPEAKING
        return State.THINKING if is_awaiting else State.IDLE
