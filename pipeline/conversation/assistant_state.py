"""Where a conversation stands, in one word: what its user does, what its assistant does, and whether that is there."""

from pipeline.errors import EngineError
from pipeline.events import State


class AssistantState:
    """Follows whether there is an engine, and what is still to be told of its absence."""

    def __init__(self) -> None:
        self.state = State.CONNECTING
        """What peers were told last."""
        self._is_ready = False
        self._was_ready = False
        self._is_outage = False
        self._untold: EngineError | None = None

    def engine_ready(self) -> None:
        """A session with the engine is open: what was to be told of its absence is of no interest any more."""
        self._is_ready = self._was_ready = True
        self._is_outage = False
        self._untold = None

    def engine_disconnected(self) -> None:
        """There is no session for a moment."""
        self._is_ready = False

    def engine_failed(self) -> None:
        """There is none for longer than could be hidden."""
        self._is_ready = False
        self._is_outage = True

    def defer(self, error: EngineError) -> None:
        """Keep what is to be told until the reply that has come whole was heard."""
        self._untold = error

    def take_deferred(self) -> EngineError | None:
        """What is to be told now, if anything still is."""
        error, self._untold = self._untold, None
        return error

    def next_state(self, *, is_listening: bool, is_awaiting: bool, is_speaking: bool) -> State | None:
        """The state, if it is another than before. A reply is awaited until it was heard, also while it is spoken."""
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
