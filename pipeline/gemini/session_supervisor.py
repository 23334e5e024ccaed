"""Supervises the engine sessions of a conversation, without a network: connect, resume, back off, give up."""

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

# Errors after which the user has lost nothing: they are reported only if the reconnect fails.
_HARMLESS = {FaultCode.ENGINE_NETWORK, FaultCode.ENGINE_INTERNAL, FaultCode.ENGINE_PROTOCOL}
# One lost connection is chance; after two in a row the question itself may be the cause.
_MAX_FAILED_ATTEMPTS = 2


class Phase(StrEnum):
    """The state of the connection to the engine."""

    CONNECTING = "connecting"  # no session has been open yet
    RESUMING = "resuming"  # a session ended, and the next one is being opened
    READY = "ready"  # neither side is speaking
    LISTENING = "listening"  # the user speaks
    RESPONDING = "responding"  # a reply is expected or being generated
    DRAINING = "draining"  # the session closes after the current reply
    FAILED = "failed"  # reconnecting was given up


class SessionSupervisor:
    """Decides about all sessions of one conversation; `GeminiBridge` opens and closes the connections.

    The cycle: `next_plan`, then `on_session_opened` or `on_session_lost`. While a session is open, `live` holds what to
    send, and `on_server_message` takes its messages. Then `on_session_lost` or `on_session_closed`, and the next cycle
    begins after `delay` seconds. User input is kept until a reply to it begins, and is sent again to the next session.
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
        """The open session."""
        self.delay = 0.0
        """Seconds to wait before the next connect."""
        self.failure: EngineError | None = None
        """The error with which reconnecting was given up."""
        self._listener = listener
        self._timeouts = timeouts
        self._clock = clock
        self._backoff = ReconnectBackoff(timeouts, jitter, began=clock())
        self._pending = PendingInput()
        self._transcript = TranscriptMemory()
        self._planner = SessionPlanner(config, self._transcript, timeouts)
        self._newest_turn = 0
        self._has_share_ended = False
        self._context_note: str | None = None
        self._is_note_unanswered = False  # no reply since the engine got a history or transcript
        self._was_open = False
        self._is_loss_reported = False
        self._dropped_seconds = 0.0

    @property
    def phase(self) -> Phase:
        """The phase of the current session."""
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
        """Seconds of audio dropped because the socket was blocked or an outage lasted too long."""
        return self._dropped_seconds + (self.live.dropped_seconds if self.live else 0.0)

    # Input of the conversation.

    def start_utterance(self, turn: int) -> None:
        """Start the user's utterance of this turn; it interrupts any reply."""
        self._newest_turn = turn
        self._pending.start(turn, self._take_context_note())
        if self.live is not None:
            self.live.start_utterance(turn)

    def push_audio(self, chunk: AudioChunk) -> None:
        """Send 16 kHz audio of the utterance; audio outside of one is dropped."""
        self._pending.push_audio(chunk)
        if self.live is not None:
            self.live.push_audio(chunk)

    def end_utterance(self) -> None:
        """Complete the utterance, which expects a reply."""
        self._pending.end()
        if self.live is not None:
            self.live.end_utterance()

    def cancel_utterance(self) -> None:
        """Abandon the utterance. The protocol cannot take it back, so its reply is dropped."""
        self._pending.cancel()
        if self.live is not None and self.live.is_listening:
            self.live.end_utterance()
            self.live.interrupt_reply()

    def submit_text(self, turn: int, text: str) -> None:
        """Send a typed question; it interrupts any reply."""
        self._newest_turn = turn
        self._pending.submit_text(turn, text, self._take_context_note())
        if self.live is not None:
            self.live.submit_text(turn, text)

    def interrupt_reply(self) -> None:
        """Drop everything that still arrives of the open reply."""
        self._pending.discard_closed()
        if self.live is not None:
            self.live.interrupt_reply()

    def push_frame(self, frame: EncodedFrame) -> None:
        """Send a screen frame."""
        self._has_share_ended = False
        if self.live is not None:
            self.live.push_frame(frame)

    def stop_screen_share(self) -> None:
        """Note that the screen is no longer shared."""
        self._has_share_ended = True
        if self.live is not None:
            self.live.stop_screen_share()

    def send_tool_response(self, call: ToolCall, result: Mapping[str, object], *, is_silent: bool) -> None:
        """Send the result of a function call; a second or late result is ignored."""
        if self.live is not None:
            self.live.send_tool_response(call, result, is_silent=is_silent)

    def add_context_note(self, text: str) -> None:
        """Give the engine a note with the next question, if the model takes such notes."""
        self._context_note = text
        if self.live is not None:
            self.live.add_turn_note(text)

    def add_transcript(self, turn: int, role: Role, text: str) -> None:
        """Record the text of a turn, as far as it was played, for a session that cannot be resumed."""
        self._transcript.add(turn, role, text)

    # Sessions.

    def next_plan(self) -> SessionPlan:
        """Plan the next session."""
        return self._planner.plan_next(self._pending.turns)

    def on_session_opened(self) -> LiveSession:
        """Begin a session: send its history or missed transcript, then the pending input."""
        plan = self._planner.latest
        live = LiveSession(
            self._planner.profile,
            listener=self,
            timeouts=self._timeouts,
            clock=self._clock,
        )
        self.live = live
        self._was_open = True
        self._is_loss_reported = False
        self._is_note_unanswered = plan.history is not None
        if plan.history is not None:
            live.send_queue.push_control(plan.history)
        if plan.is_resumed:
            live.on_handle_received()
            if self._has_share_ended:
                live.stop_screen_share()  # the resumed state may be older than the end of the share
            missed = self._planner.missed_transcript(self._pending.turns)
            if missed is not None:
                self._is_note_unanswered = True
                live.add_context_note(missed)
        self._listener.on_engine_event(EngineReady(plan.model))
        self._resend_pending(live)
        return live

    def on_server_message(self, message: types.LiveServerMessage) -> None:
        """Handle a message of the session; raises `EngineError` if it is malformed."""
        live = self.live
        if live is None:
            return
        if message.usage_metadata is not None and message.usage_metadata.prompt_token_count:
            self._planner.record_context_size(message.usage_metadata.prompt_token_count)
        if not live.is_over:  # later messages are incomplete replies
            live.on_server_message(message)
        update = message.session_resumption_update
        if update is not None and update.resumable and update.new_handle:
            self._on_handle(live, update.new_handle)

    def expire(self) -> None:
        """Handle all deadlines that have passed."""
        if self.live is not None:
            self.live.expire()

    def on_session_closed(self) -> None:
        """Handle a planned close, at a moment where nothing is lost."""
        lasted = self._session_age()
        is_turn_lost = self._close_live()
        self._listener.on_engine_event(EngineDisconnected())
        if is_turn_lost:
            self._report_loss(make_engine_error(FaultCode.ENGINE_NETWORK), is_turn_lost=True)
        self._schedule_reconnect(lasted, is_planned=True)

    def on_session_lost(self, error: EngineError) -> None:
        """Handle a broken session or a failed connect; sets `delay` or `failure`."""
        was_open = self.live is not None
        if was_open:
            error = self._planner.classify_close(error)
        lasted = self._session_age()
        is_turn_lost = self._close_live(is_lost=True)
        if was_open:
            self._listener.on_engine_event(EngineDisconnected())
        if error.severity is Severity.FATAL:
            self._downgrade_or_fail(error, is_turn_lost=is_turn_lost)
            return
        is_refused = self._planner.record_outcome(error, lasted)
        is_quiet = is_refused or (was_open and error.code in _HARMLESS)
        if is_turn_lost or not is_quiet:
            self._report_loss(error, is_turn_lost=is_turn_lost)
        if is_refused and not self._planner.has_handle:
            self.delay = 0.0  # the next plan is a different one
        else:
            self._schedule_reconnect(lasted, is_planned=is_expiry(error.__cause__), error=error)

    def _on_handle(self, live: LiveSession, handle: str) -> None:
        live.on_handle_received()
        # The handle may be older than the history sent, and would lack it; the one before is better.
        if self._is_note_unanswered:
            return
        open_turns = self._pending.turns | ({live.open_turn} if live.open_turn else set())
        self._planner.adopt_handle(handle, min(open_turns, default=self._newest_turn + 1) - 1)

    def _take_context_note(self) -> str | None:
        note, self._context_note = self._context_note, None
        return note

    def _resend_pending(self, live: LiveSession) -> None:
        texts: list[str] = []
        inputs = tuple(self._pending)
        for item, following in zip_longest(inputs, inputs[1:]):
            if item.note is not None:
                live.add_turn_note(item.note)
            match item:
                case PendingText(turn, text):
                    # Each question interrupts the reply to the one before, so consecutive ones are sent as one.
                    texts.append(text)
                    if not isinstance(following, PendingText):
                        live.submit_text(turn, "\n".join(texts))
                        texts.clear()
                case PendingUtterance(turn, chunks, is_open):
                    self._dropped_seconds += item.dropped_seconds
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
        """Update pending input and transcript, and pass the event on."""
        match event:
            case ReplyText(turn, text):
                # Until the conversation reports how much of it was played.
                self._transcript.extend(turn, Role.ASSISTANT, text)
                self._on_answered(turn)
            case UserText(turn, text, is_anew):
                remember = self._transcript.add if is_anew else self._transcript.extend
                remember(turn, Role.USER, text)
            case ReplyAudio(turn) | ReplyEnded(turn) | ReplyCancelled(turn) | ToolCall(turn):
                self._on_answered(turn)
            case _:
                pass  # no text and no reply
        self._listener.on_engine_event(event)

    def _on_answered(self, turn: int) -> None:
        self._pending.on_answered(turn)
        self._newest_turn = max(self._newest_turn, turn)
        if self.live is not None and not self.live.has_notes:
            self._is_note_unanswered = False  # the history was sent before this reply

    def _session_age(self) -> float:
        return 0.0 if self.live is None else self._clock() - self.live.opened_at

    def _close_live(self, *, is_lost: bool = False) -> bool:
        """Close the session; whether the newest turn ends without a complete reply."""
        live, self.live = self.live, None
        if live is None:
            return False
        self._dropped_seconds += live.dropped_seconds
        live.on_connection_closed()
        # A user with newer input does not wait for the reply to the older.
        is_given_up = is_lost and self._pending.record_failed_attempt(_MAX_FAILED_ATTEMPTS) == self._newest_turn
        return live.was_interrupted or is_given_up

    def _downgrade_or_fail(self, error: EngineError, *, is_turn_lost: bool) -> None:
        """Downgrade the plan after a fatal refusal, or fail if it cannot be reduced further."""
        message = self._planner.downgrade(error)
        if message is None:
            self.failure = error
            return
        if is_turn_lost:
            loss = make_engine_error(FaultCode.ENGINE_NETWORK)
            loss.__cause__ = error
            self._report_loss(loss, is_turn_lost=True)
        if message:
            self._listener.on_engine_event(EngineDowngraded(downgraded_error(message, error)))
        self._schedule_reconnect(0.0, error=error)

    def _report_loss(self, error: EngineError, *, is_turn_lost: bool) -> None:
        if is_turn_lost or not self._is_loss_reported:
            self._is_loss_reported = True
            self._listener.on_engine_event(
                EngineUnavailable(error if is_turn_lost else as_retried(error), is_turn_lost)
            )

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
