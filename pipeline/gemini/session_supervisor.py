"""The link to the engine as a machine without a network: what to open next, what goes along, and what is lost."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from itertools import zip_longest

from google.genai import types

from pipeline.engine import (
    EngineConfig,
    EngineDisconnected,
    EngineDowngraded,
    EngineEvent,
    EngineListener,
    EngineReady,
    EngineUnavailable,
    ReplyAudio,
    ReplyCancelled,
    ReplyEnded,
    ReplyText,
    ToolCall,
    UserText,
)
from pipeline.errors import EngineError, FaultCode, Severity
from pipeline.events import Role
from pipeline.gemini.live_session import LiveSession
from pipeline.gemini.pending_input import PendingInput, PendingText, PendingUtterance
from pipeline.gemini.retry_policy import EngineTimeouts, ReconnectBackoff
from pipeline.gemini.sdk_errors import as_retried, downgraded_error, is_expiry, make_engine_error
from pipeline.gemini.session_plan import SessionPlan, SessionPlanner
from pipeline.gemini.transcript_memory import TranscriptMemory
from pipeline.media import AudioChunk, EncodedFrame

# What a session may die of without the user losing anything: they are told only if the next one cannot be made.
_HARMLESS = {FaultCode.ENGINE_NETWORK, FaultCode.ENGINE_INTERNAL, FaultCode.ENGINE_PROTOCOL}
# One lost connection is bad luck; what two die of, one after the other, may be the question itself.
_MAX_FAILED_ATTEMPTS = 2


class Phase(StrEnum):
    """Where the link stands."""

    CONNECTING = "connecting"  # nothing has been open yet
    RESUMING = "resuming"  # a session ended, and the next is being made
    READY = "ready"  # nobody says anything
    LISTENING = "listening"  # the user speaks
    RESPONDING = "responding"  # a reply is expected or being made
    DRAINING = "draining"  # the reply is the last thing of a session that must go
    FAILED = "failed"  # given up


class SessionSupervisor:
    """Decides everything about the sessions of one conversation; somebody else opens and closes connections.

    In turn: `attempt`, then `opened` or `lost`; while one is open its `live` says what to send and when it is over, and
    `take` takes what it says; then `lost` or `left`, and after `delay` seconds again. What the user says is kept until
    a reply to it begins, and goes to whichever session is open by then. `tell` is called with everything that the
    conversation must know, in order.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        listener: EngineListener,
        timeouts: EngineTimeouts,
        jitter: Callable[[], float],
        clock: Callable[[], float],
    ):
        self.live: LiveSession | None = None
        """The session that is open."""
        self.delay = 0.0
        """Seconds to wait before the next attempt."""
        self.failure: EngineError | None = None
        """Why nothing more can be done, if so."""
        self._listener = listener
        self._timeouts = timeouts
        self._clock = clock
        self._backoff = ReconnectBackoff(timeouts, jitter, began=clock())
        self._pending = PendingInput()
        self._transcript = TranscriptMemory()
        self._planner = SessionPlanner(config, self._transcript, timeouts)
        self._newest_turn = 0  # turn
        self._has_share_ended = False
        self._context_note: str | None = None
        self._is_note_unanswered = False  # the engine has been told something of the past, and has not answered since
        self._was_open = False
        self._is_loss_reported = False
        self._dropped_seconds = 0.0

    @property
    def phase(self) -> Phase:
        """Where it stands."""
        live = self.live
        if self.failure is not None:
            return Phase.FAILED
        if live is None:
            return Phase.RESUMING if self._was_open else Phase.CONNECTING
        if live.is_listening:
            return Phase.LISTENING
        if live.is_idle:
            return Phase.READY
        return Phase.DRAINING if live.is_leaving else Phase.RESPONDING

    @property
    def dropped_seconds(self) -> float:
        """Audio (s) that gave way: because the socket was stuck, or too much was said while there was none."""
        stuck = self.live.dropped_seconds if self.live else 0.0
        return self._dropped_seconds + stuck

    # What the conversation says.

    def start_utterance(self, turn: int) -> None:
        """The user begins to speak turn `turn`; whatever is being said or made ends here."""
        self._newest_turn = turn
        self._pending.start(turn, self._take_context_note())
        if self.live is not None:
            self.live.start_utterance(turn)

    def push_audio(self, chunk: AudioChunk) -> None:
        """Take 16 kHz audio of the utterance; outside of one it is dropped."""
        self._pending.push_audio(chunk)
        if self.live is not None:
            self.live.push_audio(chunk)

    def end_utterance(self) -> None:
        """The utterance is complete and wants an answer."""
        self._pending.end()
        if self.live is not None:
            self.live.end_utterance()

    def cancel_utterance(self) -> None:
        """The utterance wants no answer after all. The protocol cannot take it back: its reply is dropped."""
        self._pending.cancel()
        if self.live is not None and self.live.is_listening:
            self.live.end_utterance()
            self.live.interrupt_reply()

    def submit_text(self, turn: int, text: str) -> None:
        """Ask in writing; whatever is being said or made ends here."""
        self._newest_turn = turn
        self._pending.submit_text(turn, text, self._take_context_note())
        if self.live is not None:
            self.live.submit_text(turn, text)

    def interrupt_reply(self) -> None:
        """Let nothing more of the reply through that is being said or made."""
        self._pending.discard_closed()
        if self.live is not None:
            self.live.interrupt_reply()

    def push_frame(self, frame: EncodedFrame) -> None:
        """Take what the screen shows now."""
        self._has_share_ended = False
        if self.live is not None:
            self.live.push_frame(frame)

    def stop_screen_share(self) -> None:
        """The screen is no longer shared."""
        self._has_share_ended = True
        if self.live is not None:
            self.live.stop_screen_share()

    def send_tool_response(self, call: ToolCall, result: Mapping[str, object], *, is_silent: bool) -> None:
        """Give the result of a function call, to be spoken about or not; too late or twice is ignored."""
        if self.live is not None:
            self.live.send_tool_response(call, result, is_silent=is_silent)

    def add_context_note(self, text: str) -> None:
        """Let the engine know something before the next question, where the model takes such notes."""
        self._context_note = text
        if self.live is not None:
            self.live.add_turn_note(text)

    def add_transcript(self, turn: int, role: Role, text: str) -> None:
        """Remember for a session that does not: what was said in a turn, as far as it was heard."""
        self._transcript.add(turn, role, text)

    # What becomes of connections.

    def next_plan(self) -> SessionPlan:
        """What to open next."""
        return self._planner.next(self._pending.turns)

    def on_session_opened(self) -> LiveSession:
        """The session stands: it is told what it must know and what was kept for it."""
        attempt = self._planner.latest
        live = LiveSession(
            self._planner.profile,
            listener=self,
            timeouts=self._timeouts,
            clock=self._clock,
        )
        self.live = live
        self._was_open = True
        self._is_loss_reported = False
        self._is_note_unanswered = attempt.history is not None
        if attempt.history is not None:
            live.send_queue.push_control(attempt.history)
        if attempt.is_resumed:
            live.on_handle_received()
            if self._has_share_ended:
                live.stop_screen_share()  # what it remembers may be older than the end of the share
            news = self._planner.missed_transcript(self._pending.turns)
            if news is not None:
                self._is_note_unanswered = True
                live.add_context_note(news)
        self._listener.on_engine_event(EngineReady(attempt.model))
        self._resend_pending(live)
        return live

    def on_server_message(self, message: types.LiveServerMessage) -> None:
        """Take what the session says; raises `EngineError` if it makes no sense."""
        live = self.live
        if live is None:
            return
        if message.usage_metadata is not None and message.usage_metadata.prompt_token_count:
            self._planner.record_context_size(message.usage_metadata.prompt_token_count)
        if not live.is_over:  # what follows is of no use: it could not be told to its end
            live.on_server_message(message)
        update = message.session_resumption_update
        if update is not None and update.resumable and update.new_handle:
            self._on_handle(live, update.new_handle)

    def expire(self) -> None:
        """Do what is due."""
        if self.live is not None:
            self.live.expire()

    def on_session_closed(self) -> None:
        """The session was left in peace, at a moment where nothing is lost."""
        lasted = self._session_age()
        is_cut = self._close_live()
        self._listener.on_engine_event(EngineDisconnected())
        if is_cut:
            self._report_loss(make_engine_error(FaultCode.ENGINE_NETWORK), is_cut=True)
        self._schedule_reconnect(lasted, is_planned=True)

    def on_session_lost(self, error: EngineError) -> None:
        """The session broke, or could not be made; `delay` or `failure` says what follows."""
        was_open = self.live is not None
        if was_open:
            error = self._planner.classify_close(error)
        lasted = self._session_age()
        is_cut = self._close_live(dies=True)
        if was_open:
            self._listener.on_engine_event(EngineDisconnected())
        if error.severity is Severity.FATAL:
            self._downgrade_or_fail(error, is_cut=is_cut)
            return
        is_refused = self._planner.record_outcome(error, lasted)
        is_quiet = is_refused or (was_open and error.code in _HARMLESS)
        if is_cut or not is_quiet:
            self._report_loss(error, is_cut=is_cut)
        if is_refused and not self._planner.has_handle:
            self.delay = 0.0  # another attempt altogether
        else:
            self._schedule_reconnect(lasted, is_planned=is_expiry(error.__cause__), error=error)

    # Private.

    def _on_handle(self, live: LiveSession, handle: str) -> None:
        live.on_handle_received()
        # It may be older than what we have told of the past, which it would then lack: the one before it is better.
        if self._is_note_unanswered:
            return
        open_turns = self._pending.turns | ({live.open_turn} if live.open_turn else set())
        self._planner.adopt_handle(handle, min(open_turns, default=self._newest_turn + 1) - 1)

    def _take_context_note(self) -> str | None:
        mention, self._context_note = self._context_note, None
        return mention

    def _resend_pending(self, live: LiveSession) -> None:
        texts: list[str] = []
        acts = tuple(self._pending)
        for act, following in zip_longest(acts, acts[1:]):
            if act.note is not None:
                live.add_turn_note(act.note)
            match act:
                case PendingText(turn, text):
                    # Each question cuts the answer to the one before: those in a row are asked as one.
                    texts.append(text)
                    if not isinstance(following, PendingText):
                        live.submit_text(turn, "\n".join(texts))
                        texts.clear()
                case PendingUtterance(turn, chunks, is_open):
                    self._dropped_seconds += act.dropped_seconds
                    live.start_utterance(turn)
                    for chunk in chunks:
                        live.push_audio(chunk)
                    if not is_open:
                        live.end_utterance()

    # EngineListener, for the open session.

    def next_turn(self) -> int:
        """Return the number of a new turn."""
        return self._listener.next_turn()

    def on_engine_event(self, event: EngineEvent) -> None:
        """Note what an event answers, and pass it on."""
        match event:
            case ReplyText(turn, text):
                # Until the conversation says how much of it was heard.
                self._transcript.extend(turn, Role.ASSISTANT, text)
                self._on_answered(turn)
            case UserText(turn, text, is_anew):
                remember = self._transcript.add if is_anew else self._transcript.extend
                remember(turn, Role.USER, text)
            case ReplyAudio(turn) | ReplyEnded(turn) | ReplyCancelled(turn) | ToolCall(turn):
                self._on_answered(turn)
            case _:
                pass  # about no turn, or nothing new about one
        self._listener.on_engine_event(event)

    def _on_answered(self, turn: int) -> None:
        self._pending.on_answered(turn)
        self._newest_turn = max(self._newest_turn, turn)
        if self.live is not None and not self.live.has_notes:
            self._is_note_unanswered = False  # whatever the engine was told, it was told before it answered

    def _session_age(self) -> float:
        return 0.0 if self.live is None else self._clock() - self.live.opened_at

    def _close_live(self, *, dies: bool = False) -> bool:
        """Let go of the session; whether a turn of the user's ends with it unanswered, or answered by half."""
        live, self.live = self.live, None
        if live is None:
            return False
        self._dropped_seconds += live.dropped_seconds
        live.on_connection_closed()
        # Whoever has said something since does not wait for an answer to what was before.
        is_given_up = dies and self._pending.record_failed_attempt(_MAX_FAILED_ATTEMPTS) == self._newest_turn
        return live.was_interrupted or is_given_up

    def _downgrade_or_fail(self, error: EngineError, *, is_cut: bool) -> None:
        """A fatal refusal: ask for less, where less can be asked for."""
        message = self._planner.downgrade(error)
        if message is None:
            self.failure = error
            return
        if is_cut:
            loss = make_engine_error(FaultCode.ENGINE_NETWORK)
            loss.__cause__ = error
            self._report_loss(loss, is_cut=True)
        if message:
            self._listener.on_engine_event(EngineDowngraded(downgraded_error(message, error)))
        self._schedule_reconnect(0.0, error=error)

    def _report_loss(self, error: EngineError, *, is_cut: bool) -> None:
        if is_cut or not self._is_loss_reported:
            self._is_loss_reported = True
            self._listener.on_engine_event(EngineUnavailable(error if is_cut else as_retried(error), is_cut))

    def _schedule_reconnect(self, lasted: float, *, is_planned: bool = False, error: EngineError | None = None) -> None:
        now = self._clock()
        if error is not None and error.code is FaultCode.ENGINE_QUOTA:
            delay = self._backoff.quota_delay(now, lasted=lasted)
        else:
            delay = self._backoff.delay(now, lasted=lasted, is_planned=is_planned)
        if delay is None:
            self.failure = make_engine_error(FaultCode.ENGINE_FAILED, **({"cause": error.code.value} if error else {}))
            self.failure.__cause__ = error
        else:
            self.delay = delay
