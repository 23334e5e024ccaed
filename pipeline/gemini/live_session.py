"""The state of one Gemini Live session, without a network: incoming messages, the send queue and deadlines."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from google.genai import types

from pipeline.engine import EngineListener, ReplyEvent, ToolCall, ToolCallCancelled
from pipeline.errors import EngineError, FaultCode
from pipeline.gemini.model_profiles import ModelProfile
from pipeline.gemini.reply_tracker import ReplyTracker
from pipeline.gemini.retry_policy import EngineTimeouts
from pipeline.gemini.sdk_errors import blocked_error, make_engine_error
from pipeline.gemini.send_queue import (
    SCREEN_SHARE_ENDED,
    ActivityEnd,
    ActivityStart,
    ContextNote,
    InterruptReply,
    SendQueue,
    Text,
    ToolResponse,
)
from pipeline.media import SAMPLE_BYTES, SPEECH_SAMPLE_RATE, AudioChunk, EncodedFrame

NEVER: Final = float("inf")

_INTERRUPTED = {"error": "The user has interrupted."}
_UNANSWERED = {"error": "The function did not answer in time."}


class LiveSession:
    """Handles one connection from setupComplete to its end.

    No method waits: messages to send are in `send_queue`, and `expire` must be called once the clock reaches
    `deadline`. When `is_over` becomes true the connection must be closed; `error` is the reason, None for a
    planned close.
    """

    def __init__(
        self,
        profile: ModelProfile,
        *,
        listener: EngineListener,
        timeouts: EngineTimeouts,
        clock: Callable[[], float],
    ):
        self.send_queue = SendQueue()
        self.is_over = False
        self.error: EngineError | None = None
        self.is_leaving = False
        """Whether the session closes when idle: the engine has sent goAway, or the session is old."""
        self.opened_at = clock()
        self.profile = profile
        self._timeouts = timeouts
        self._listener = listener
        self._clock = clock
        self._replies = ReplyTracker(listener.next_turn)
        self._notes: list[str] = []
        self._has_share_ended = False
        self._turn_note: str | None = None
        self._calls: dict[str, tuple[ToolCall, float]] = {}  # with the time by which each must be answered
        self._last_interrupted = 0  # results of calls up to this turn are not wanted
        self._response_deadline = NEVER
        self._roll_over_at = NEVER
        self._go_away_at = NEVER
        self._must_leave = False
        self._handle_deadline = NEVER  # for the handle that covers the last turn

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost if the session closes now."""
        return self._replies.is_idle and not self._has_wanted_calls

    @property
    def is_listening(self) -> bool:
        """Whether the user's activity is open."""
        return self.send_queue.is_open

    @property
    def has_notes(self) -> bool:
        """Whether context notes wait for the next question."""
        return bool(self._notes)

    @property
    def open_turn(self) -> int | None:
        """The turn of the open utterance, or of the reply that is expected or being generated."""
        return self._replies.open_turn

    @property
    def was_interrupted(self) -> bool:
        """Whether closing now would lose part of a reply, or the reply to a tool response."""
        return self._replies.is_partial or self._has_wanted_calls

    @property
    def dropped_seconds(self) -> float:
        """Seconds of audio dropped because the socket was blocked."""
        return self.send_queue.dropped_seconds

    @property
    def _has_wanted_calls(self) -> bool:
        return any(call.turn > self._last_interrupted for call, _ in self._calls.values())

    # Input of the conversation.

    def add_context_note(self, note: str) -> None:
        """Queue a context note for the next question, if the model takes notes."""
        if self.profile.takes_content:
            self._notes.append(note)

    def start_utterance(self, turn: int) -> None:
        """Start the user's activity, which interrupts the engine."""
        self._replies.user_started(turn)
        self._last_interrupted = turn - 1
        if not self.send_queue.is_open:
            self._send_notes()
            self.send_queue.push_control(ActivityStart())
        self._update_response_deadline()

    def push_audio(self, chunk: AudioChunk) -> None:
        """Send audio of the open activity."""
        self.send_queue.push_audio(chunk)

    def push_frame(self, frame: EncodedFrame) -> None:
        """Send a frame."""
        self._has_share_ended = False
        self.send_queue.push_frame(frame)

    def stop_screen_share(self) -> None:
        """Send a note before the next question that the screen is no longer shared."""
        # Not now: on these models a context note also interrupts the reply.
        self._has_share_ended = self.profile.takes_content

    def add_turn_note(self, text: str) -> None:
        """Set the note for the next question; it replaces the one before."""
        self._turn_note = text if self.profile.takes_content else None

    def end_utterance(self) -> None:
        """End the user's activity, so that the engine replies."""
        if self.send_queue.is_open:
            self.send_queue.push_control(ActivityEnd())
            self._replies.user_stopped()
            self._update_response_deadline()

    def submit_text(self, turn: int, text: str) -> None:
        """Send a typed question; an open utterance ends here and stays in the context."""
        self.end_utterance()
        self.interrupt_reply()
        self._send_notes()
        self._replies.on_text_submitted(turn)
        self._last_interrupted = turn - 1
        self.send_queue.push_control(Text(text))
        self._update_response_deadline()

    def interrupt_reply(self) -> None:
        """Drop the rest of the open reply, and stop the engine if the model can be interrupted."""
        if self._replies.is_open:
            self._last_interrupted = self._replies.open_turn or self._last_interrupted
            self._replies.cancel_reply()
            if self.profile.takes_content:
                self.send_queue.push_control(InterruptReply())
            self._update_response_deadline()

    def send_tool_response(self, call: ToolCall, result: Mapping[str, object], *, is_silent: bool) -> None:
        """Send a tool response, unless the call is answered or cancelled."""
        pending = self._calls.get(call.id)
        if pending is not None and pending[0] == call:
            del self._calls[call.id]
            self.send_queue.push_control(ToolResponse(call.id, call.name, result, is_silent))
            self._update_response_deadline()

    def _send_notes(self) -> None:
        notes, self._notes = self._notes, []
        if self._has_share_ended:
            self._has_share_ended = False
            notes.append(SCREEN_SHARE_ENDED)
        if self._turn_note is not None:
            notes.append(self._turn_note)
            self._turn_note = None
        for note in notes:
            self.send_queue.push_control(ContextNote(note))

    # Deadlines.

    @property
    def deadline(self) -> float:
        """Clock time (s) of the next call of `expire`."""
        calls = min((at for _, at in self._calls.values()), default=NEVER)
        return min(self._response_deadline, self._go_away_at, self._roll_over_at, self._handle_deadline, calls)

    def expire(self) -> None:
        """Handle all deadlines that have passed."""
        now = self._clock()
        for call, at in list(self._calls.values()):
            if now >= at:
                self.send_tool_response(call, _UNANSWERED, is_silent=False)
        if now >= self._response_deadline:
            # A complete reply that is never closed is harmless, but nothing may wait for its end forever.
            self._close(make_engine_error(FaultCode.ENGINE_STALLED) if self._replies.is_awaited else None)
        if now >= self._roll_over_at:
            self._roll_over_at = NEVER
            self.is_leaving = True
        if now >= self._go_away_at:
            self._go_away_at = NEVER
            self._must_leave = True
        if now >= self._handle_deadline:
            self._handle_deadline = NEVER
        self._close_when_idle()

    def on_handle_received(self) -> None:
        """Note that the session can be resumed from now; it rolls over at the first idle point after some age."""
        if self._roll_over_at == NEVER and not self.is_leaving:
            self._roll_over_at = self.opened_at + self._timeouts.roll_over
        self._handle_deadline = NEVER
        self._close_when_idle()

    def on_connection_closed(self) -> None:
        """Complete a reply that has arrived whole, now that the connection has closed."""
        self._emit(self._replies.on_connection_closed())

    def _update_response_deadline(self) -> None:
        """Restart the response deadline, if a reply is outstanding."""
        if not self._replies.is_open:
            self._response_deadline = NEVER
            return
        is_slow = self._calls or self.profile.thinking
        wait = self._timeouts.slow_response if is_slow else self._timeouts.response
        # Servers close a reply at the end of its real-time playback; for models that think, only that marks its end.
        may_be_whole = self.profile.thinking or not self._replies.is_awaited
        self._response_deadline = self._clock() + wait + (self._replies.seconds if may_be_whole else 0.0)

    def _close_when_idle(self) -> None:
        # When it must close, user input moves to the next session; only a reply in progress cannot.
        is_settled = self.is_idle and self._handle_deadline == NEVER
        if self.is_leaving and (is_settled or (self._must_leave and not self.was_interrupted)):
            self._close(None)

    def _close(self, error: EngineError | None) -> None:
        if not self.is_over:
            self.is_over = True
            self.error = error

    # Messages of the engine.

    def on_server_message(self, message: types.LiveServerMessage) -> None:
        """Handle one message, which can hold several parts; raises `EngineError` if it is malformed."""
        if message.tool_call_cancellation is not None:
            self._cancel_calls(message.tool_call_cancellation.ids or [])
        if message.server_content is not None:
            self._on_content(message.server_content)
        if message.tool_call is not None:
            for call in message.tool_call.function_calls or []:
                self._on_tool_call(call)
        if message.usage_metadata is not None:
            self._emit(self._replies.record_usage(_tokens(message.usage_metadata)))
        if message.server_content is not None:
            self._on_turn_end(message.server_content)
        if message.go_away is not None and self._go_away_at == NEVER and not self._must_leave:
            self.is_leaving = True
            self._go_away_at = self._clock() + max(
                0.0, _seconds(message.go_away.time_left) - self._timeouts.go_away_margin
            )
        self._close_when_idle()
        self._update_response_deadline()

    def _on_content(self, content: types.LiveServerContent) -> None:
        if content.interrupted:
            self._replies.on_interrupted()
        if content.input_transcription is not None:
            words = content.input_transcription
            confidence = _transcript_confidence(content) if self.profile.sends_confidence else None
            is_final = bool(words.finished)
            self._emit(self._replies.on_user_text(words.text or "", confidence, is_final=is_final))
        if content.output_transcription is not None:
            self._emit(self._replies.on_text(content.output_transcription.text or ""))
        if content.model_turn is not None:
            for part in content.model_turn.parts or []:
                # Text parts are thoughts; the spoken text comes as outputTranscription.
                if part.inline_data is not None and not part.thought:
                    self._on_audio(part.inline_data)

    def _on_audio(self, blob: types.Blob) -> None:
        kind, _, parameters = (blob.mime_type or "").partition(";")
        if kind != "audio/pcm" or not blob.data:
            return
        if parameters.strip() not in ("", f"rate={SPEECH_SAMPLE_RATE}") or len(blob.data) % SAMPLE_BYTES:
            raise make_engine_error(FaultCode.ENGINE_PROTOCOL)
        self._emit(self._replies.on_audio(blob.data, SPEECH_SAMPLE_RATE))

    def _on_tool_call(self, call: types.FunctionCall) -> None:
        if call.id is None:
            return  # it cannot be answered
        events = self._replies.on_tool_call(call.id, call.name or "", call.args or {})
        if not events:
            self.send_queue.push_control(ToolResponse(call.id, call.name or "", _INTERRUPTED, is_silent=True))
        for event in events:
            if isinstance(event, ToolCall):
                self._calls[event.id] = event, self._clock() + self._timeouts.tool_call
            self._listener.on_engine_event(event)

    def _on_turn_end(self, content: types.LiveServerContent) -> None:
        # A model that thinks sends generationComplete after every filler.
        if content.generation_complete and not self.profile.thinking:
            self._emit(self._replies.on_generated())
        if _is_turn_over(content):
            self._handle_deadline = self._clock() + self._timeouts.handle
            self._emit(self._replies.on_turn_complete(blocked_error(content.turn_complete_reason)))

    def _cancel_calls(self, ids: Iterable[str]) -> None:
        known = tuple(call_id for call_id in ids if self._calls.pop(call_id, None))
        if known:
            self._listener.on_engine_event(ToolCallCancelled(known))

    def _emit(self, events: Iterable[ReplyEvent]) -> None:
        for event in events:
            self._listener.on_engine_event(event)


def _transcript_confidence(content: types.LiveServerContent) -> float | None:
    """Return the score that the local engine sends with a transcript (its `rendering._evidence`)."""
    supports = (content.grounding_metadata and content.grounding_metadata.grounding_supports) or ()
    scores = [score for support in supports for score in support.confidence_scores or ()]
    return min(1.0, max(0.0, scores[0])) if scores else None


def _is_turn_over(content: types.LiveServerContent) -> bool:
    # A model with long thinking sends turnComplete after every filler; only IDLE marks the end.
    status = content.interaction_status
    if status is None or status is types.InteractionStatus.INTERACTION_STATUS_UNSPECIFIED:
        return bool(content.turn_complete)
    return status is types.InteractionStatus.IDLE


def _tokens(usage: types.UsageMetadata) -> dict[str, int]:
    counts = {
        "total": usage.total_token_count,
        "prompt": usage.prompt_token_count,
        "response": usage.response_token_count,
        "thoughts": usage.thoughts_token_count,
    }
    for side, details in (("prompt", usage.prompt_tokens_details), ("response", usage.response_tokens_details)):
        for detail in details or []:
            if detail.modality is not None:
                counts[f"{side}_{detail.modality.value.lower()}"] = detail.token_count
    return {kind: count for kind, count in counts.items() if count}


def _seconds(duration: str | None) -> float:
    # protobuf's JSON for a Duration: "50s", "3.5s".
    try:
        return float((duration or "").removesuffix("s"))
    except ValueError:
        return 0.0
