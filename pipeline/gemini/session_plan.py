"""Plans the setup of the next engine session from the outcome of those before it."""

from collections.abc import Set
from dataclasses import dataclass, replace

from google.genai import types

from pipeline.engine import EngineConfig
from pipeline.errors import EngineError, FaultCode
from pipeline.events import Role
from pipeline.gemini.model_profiles import ModelProfile, profile_of, reduced_profile, setup_of
from pipeline.gemini.retry_policy import EngineTimeouts
from pipeline.gemini.sdk_errors import close_code, make_engine_error
from pipeline.gemini.send_queue import InitialHistory
from pipeline.gemini.transcript_memory import TranscriptMemory, format_as_context

LARGE_CONTEXT = 98_304
"""Tokens, three quarters of the models' limit: a session refused above this has outgrown its context."""

_MISSED_HEADING = "The connection was interrupted. This was said meanwhile, and you may not remember it:"
_HISTORY_HEADING = "What was said in this conversation before this session began:"

_REFUSAL_CODES = {1007, 1008, 1011}


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """The model and setup of a session, and the history it is sent first."""

    model: str
    setup: types.LiveConnectConfig
    is_resumed: bool
    history: InitialHistory | None = None


class SessionPlanner:
    """Plans either to resume the last session or to send a fresh one the history; requests less after a refusal."""

    def __init__(self, config: EngineConfig, transcript: TranscriptMemory, timeouts: EngineTimeouts):
        self._config = config
        self._transcript = transcript
        self._timeouts = timeouts
        self._profile = profile_of(config.model)
        self._is_minimal = False
        self._handle: str | None = None
        self._handle_turn = 0  # the newest turn that the handle covers
        self._refused_handles = 0
        self._may_send_history = True
        self._context_tokens = 0  # tokens
        self._latest: SessionPlan | None = None

    @property
    def model(self) -> str:
        """The requested model."""
        return self._config.model

    @property
    def profile(self) -> ModelProfile:
        """The capabilities of that model, reduced after a refusal."""
        return reduced_profile(self._profile) if self._is_minimal else self._profile

    @property
    def has_handle(self) -> bool:
        """Whether the next session resumes the last one."""
        return self._handle is not None

    def plan_next(self, pending_turns: Set[int]) -> SessionPlan:
        """Plan the next session. Its history leaves out `kept_turns`, which will be sent again."""
        config, profile = self._config, self.profile
        if self._transcript.lines(after=self._handle_turn, but=pending_turns) and not profile.takes_content:
            self._forget_handle()  # the missed transcript could not be sent to a resumed session
        lines = self._transcript.lines(but=pending_turns) if self._handle is None and self._may_send_history else ()
        has_history = bool(lines) and profile.takes_history
        setup = setup_of(
            config,
            profile,
            handle=self._handle,
            recap=format_as_context(lines, _HISTORY_HEADING) if lines and not has_history else "",
            has_history=has_history,
            is_minimal=self._is_minimal,
        )
        seed = InitialHistory(tuple((line.role is Role.USER, line.text) for line in lines)) if has_history else None
        self._latest = SessionPlan(config.model, setup, self._handle is not None, seed)
        return self._latest

    @property
    def latest(self) -> SessionPlan:
        """The newest plan."""
        assert self._latest is not None
        return self._latest

    def missed_transcript(self, pending_turns: Set[int]) -> str | None:
        """Return the transcript that the resumed session has missed, without `kept_turns`, or None."""
        lines = self._transcript.lines(after=self._handle_turn, but=pending_turns)
        return format_as_context(lines, _MISSED_HEADING) if lines else None

    # Outcomes.

    def adopt_handle(self, handle: str, turn: int) -> None:
        """Resume by this handle from now on; the session covers all turns up to `turn`."""
        self._handle = handle
        self._handle_turn = turn

    def record_context_size(self, tokens: int) -> None:
        """Record the size of the session's context."""
        self._context_tokens = tokens

    def classify_close(self, error: EngineError) -> EngineError:
        """Classify why an open session was closed: a context that is too large, or a message it does not accept."""
        code = close_code(error)
        if code not in (1000, 1006, 1007):
            return error
        is_large = self._context_tokens >= LARGE_CONTEXT
        is_about_context = error.code is FaultCode.ENGINE_CONTEXT_LIMIT
        if is_large == is_about_context:
            return error
        classified = make_engine_error(
            FaultCode.ENGINE_CONTEXT_LIMIT if is_large else FaultCode.ENGINE_PROTOCOL, close_code=code
        )
        classified.__cause__ = error.__cause__
        return classified

    def record_outcome(self, error: EngineError, lasted: float) -> bool:
        """Record how a session ended after `lasted` s; whether only its resumption failed."""
        if error.code is FaultCode.ENGINE_CONTEXT_LIMIT:
            self._forget_handle()
        if error.code is FaultCode.ENGINE_QUOTA:
            return False
        if lasted > self._timeouts.refusal:
            self._may_send_history = True
            self._refused_handles = 0
            return False
        if close_code(error) not in _REFUSAL_CODES:
            return False
        if self.latest.is_resumed:
            self._refused_handles += 1
            # 1011 is any internal error, such as when the server has not noticed the old connection's end.
            if close_code(error) != 1011 or self._refused_handles > 1:
                self._forget_handle()
            return True
        if self.latest.history is not None or self.latest.setup.history_config is not None:
            self._may_send_history = False
        return False

    def downgrade(self, error: EngineError) -> str | None:
        """Request less after a fatal refusal; returns the message for the client, "" for none, None if impossible."""
        # A setup that was accepted before is refused for its handle: a stale one is "not found" too.
        is_stale = error.code in (FaultCode.ENGINE_CONFIG_REJECTED, FaultCode.ENGINE_MODEL_UNAVAILABLE)
        if is_stale and self.latest.is_resumed:
            self._forget_handle()
            return ""
        if error.code is FaultCode.ENGINE_CONFIG_REJECTED and not self._is_minimal:
            self._is_minimal = True
            return "The assistant's service refused some settings; this session does without."
        fallback = self._config.fallback
        if error.code is FaultCode.ENGINE_MODEL_UNAVAILABLE and fallback and fallback != self.model:
            message = f"The model {self.model} is not available; {fallback} answers instead."
            self._config = replace(self._config, model=fallback)
            self._profile = profile_of(fallback)
            self._forget_handle()
            return message
        return None

    def _forget_handle(self) -> None:
        self._handle = None
        self._refused_handles = 0
        self._context_tokens = 0
