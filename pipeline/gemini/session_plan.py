"""What the next session with the engine is asked for, learnt from how those before it ended."""

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
"""Tokens, three quarters of what the models take: a session that is refused with more of them has grown too long."""

_MISSED_HEADING = "The connection was interrupted. This was said meanwhile, and you may not remember it:"
_HISTORY_HEADING = "What was said in this conversation before this session began:"

_REFUSAL_CODES = {1007, 1008, 1011}


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """A session to open: its model, its setup, and what it is told before anything else."""

    model: str
    setup: types.LiveConnectConfig
    is_resumed: bool
    history: InitialHistory | None = None


class SessionPlanner:
    """Either resumes the session before or tells a fresh one what was said, never both; asks for less when refused."""

    def __init__(self, config: EngineConfig, recollection: TranscriptMemory, timeouts: EngineTimeouts):
        self._config = config
        self._transcript = recollection
        self._timeouts = timeouts
        self._profile = profile_of(config.model)
        self._is_minimal = False
        self._handle: str | None = None
        self._handle_turn = 0  # the newest turn that the session behind the handle knows all of
        self._refused_handles = 0
        self._may_send_history = True
        self._context_tokens = 0  # tokens
        self._latest: SessionPlan | None = None

    @property
    def model(self) -> str:
        """The model that is asked for."""
        return self._config.model

    @property
    def profile(self) -> ModelProfile:
        """What that model takes, as far as is known by now."""
        return reduced_profile(self._profile) if self._is_minimal else self._profile

    @property
    def has_handle(self) -> bool:
        """Whether the next attempt resumes a session."""
        return self._handle is not None

    def next(self, kept_turns: Set[int]) -> SessionPlan:
        """What to open next; of turns in `kept_turns`, which will be asked again, it is told nothing."""
        config, profile = self._config, self.profile
        if self._transcript.lines(after=self._handle_turn, but=kept_turns) and not profile.takes_content:
            self._forget_handle()  # there would be no way to tell a resumed session what was said since
        lines = self._transcript.lines(but=kept_turns) if self._handle is None and self._may_send_history else ()
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
        """The attempt made last."""
        assert self._latest is not None
        return self._latest

    def missed_transcript(self, kept_turns: Set[int]) -> str | None:
        """What a session resumed by this handle does not know of what was said, if anything; see `next`."""
        lines = self._transcript.lines(after=self._handle_turn, but=kept_turns)
        return format_as_context(lines, _MISSED_HEADING) if lines else None

    # What is learnt.

    def adopt_handle(self, handle: str, turn: int) -> None:
        """Resume by this handle from now on; the session knows all of the turns up to `turn`."""
        self._handle = handle
        self._handle_turn = turn

    def record_context_size(self, tokens: int) -> None:
        """Note how large the session's context has become."""
        self._context_tokens = tokens

    def classify_close(self, error: EngineError) -> EngineError:
        """What an open session died of: tells one that grew too long from one told something it does not know."""
        code = close_code(error)
        if code not in (1000, 1006, 1007):
            return error
        is_large = self._context_tokens >= LARGE_CONTEXT
        is_about_context = error.code is FaultCode.ENGINE_CONTEXT_LIMIT
        if is_large == is_about_context:
            return error
        named = make_engine_error(
            FaultCode.ENGINE_CONTEXT_LIMIT if is_large else FaultCode.ENGINE_PROTOCOL, close_code=code
        )
        named.__cause__ = error.__cause__
        return named

    def record_outcome(self, error: EngineError, lasted: float) -> bool:
        """Learn from a session that was open for `lasted` s; whether it failed only because it was to be resumed."""
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
            # 1011 may be any trouble of theirs, such as that they have not noticed the old connection's end.
            if close_code(error) != 1011 or self._refused_handles > 1:
                self._forget_handle()
            return True
        if self.latest.history is not None or self.latest.setup.history_config is not None:
            self._may_send_history = False
        return False

    def downgrade(self, error: EngineError) -> str | None:
        """Ask for less after a fatal refusal; what the client is told of that, "" for nothing, None if it cannot be."""
        # What was accepted a moment ago is refused for what came with it: a stale handle is "not found" too.
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
