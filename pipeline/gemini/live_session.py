"""One connection to the engine, without a network: what it says means, what goes up, and when it must end."""

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
    """What is said and heard between setupComplete and the end of one connection; dies with it.

    Nothing here waits: what must be sent is in `uplink`, and `expire` is to be called once the clock has reached
    `deadline`. When `is_over` turns true the connection is to be closed: for the reason in `fault`, or in peace.
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
        """Whether the connection ends at the first idle point: the engine has announced its end, or it is old."""
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
        self._last_interrupted = 0  # nobody waits for what comes of calls up to this one
        self._response_deadline = NEVER
        self._roll_over_at = NEVER
        self._go_away_at = NEVER
        self._must_leave = False
        self._handle_deadline = NEVER  # until when the handle that covers the last turn is waited for

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost if the session ends here."""
        return self._replies.is_idle and not self._has_wanted_calls

    @property
    def is_listening(self) -> bool:
        """Whether the user's window is open."""
        return self.send_queue.is_open

    @property
    def has_notes(self) -> bool:
        """Whether there is something the engine will be told only before the next question."""
        return bool(self._notes)

    @property
    def open_turn(self) -> int | None:
        """The turn the user is speaking, or whose reply is expected or being made."""
        return self._replies.open_turn

    @property
    def was_interrupted(self) -> bool:
        """Whether part of a reply would be missing if the connection ended here, or what follows a function call."""
        return self._replies.is_partial or self._has_wanted_calls

    @property
    def dropped_seconds(self) -> float:
        """Audio that gave way because the socket was stuck."""
        return self.send_queue.dropped_seconds

    @property
    def _has_wanted_calls(self) -> bool:
        return any(call.turn > self._last_interrupted for call, _ in self._calls.values())

    # What the conversation says.

    def add_context_note(self, note: str) -> None:
        """Let the engine know something before the next question, if this model takes it."""
        if self.profile.takes_content:
            self._notes.append(note)

    def start_utterance(self, turn: int) -> None:
        """Open the user's window, which interrupts the engine."""
        self._replies.user_started(turn)
        self._last_interrupted = turn - 1
        if not self.send_queue.is_open:
            self._send_notes()
            self.send_queue.push_control(ActivityStart())
        self._update_response_deadline()

    def push_audio(self, chunk: AudioChunk) -> None:
        """Send audio of the open window."""
        self.send_queue.push_audio(chunk)

    def push_frame(self, frame: EncodedFrame) -> None:
        """Send a frame."""
        self._has_share_ended = False
        self.send_queue.push_frame(frame)

    def stop_screen_share(self) -> None:
        """Let the engine know before the next question that the screen is no longer shared."""
        # Not now: on these models a word about the context also cuts what is being said.
        self._has_share_ended = self.profile.takes_content

    def add_turn_note(self, text: str) -> None:
        """Let the engine know something before the next question; only the newest is told."""
        self._turn_note = text if self.profile.takes_content else None

    def end_utterance(self) -> None:
        """Close the window: the engine answers."""
        if self.send_queue.is_open:
            self.send_queue.push_control(ActivityEnd())
            self._replies.user_stopped()
            self._update_response_deadline()

    def submit_text(self, turn: int, text: str) -> None:
        """Ask in writing; an utterance that is open ends here and stays as context."""
        self.end_utterance()
        self.interrupt_reply()
        self._send_notes()
        self._replies.on_text_submitted(turn)
        self._last_interrupted = turn - 1
        self.send_queue.push_control(Text(text))
        self._update_response_deadline()

    def interrupt_reply(self) -> None:
        """Let nothing more of the open reply through, and spare the engine the rest where it can be told."""
        if self._replies.is_open:
            self._last_interrupted = self._replies.open_turn or self._last_interrupted
            self._replies.cancel_reply()
            if self.profile.takes_content:
                self.send_queue.push_control(InterruptReply())
            self._update_response_deadline()

    def send_tool_response(self, call: ToolCall, result: Mapping[str, object], *, is_silent: bool) -> None:
        """Answer a call, to be spoken about or not, unless that was done or nobody waits for it any more."""
        waiting = self._calls.get(call.id)
        if waiting is not None and waiting[0] == call:
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

    # Time.

    @property
    def deadline(self) -> float:
        """When `expire` has something to do (s, of the clock)."""
        calls = min((at for _, at in self._calls.values()), default=NEVER)
        return min(self._response_deadline, self._go_away_at, self._roll_over_at, self._handle_deadline, calls)

    def expire(self) -> None:
        """Do what is due."""
        now = self._clock()
        for call, at in list(self._calls.values()):
            if now >= at:
                self.send_tool_response(call, _UNANSWERED, is_silent=False)
        if now >= self._response_deadline:
            # A reply that is whole and is never closed harms nobody, but nothing must wait for its end for ever.
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
        """The session can be resumed as it is now: from some age on, it is left at the first idle point."""
        if self._roll_over_at == NEVER and not self.is_leaving:
            self._roll_over_at = self.opened_at + self._timeouts.roll_over
        self._handle_deadline = NEVER
        self._close_when_idle()

    def on_connection_closed(self) -> None:
        """The connection has ended: a reply of which everything has arrived is complete."""
        self._emit(self._replies.on_connection_closed())

    def _update_response_deadline(self) -> None:
        """Begin to wait anew for a sign of life, if the engine owes us one."""
        if not self._replies.is_open:
            self._response_deadline = NEVER
            return
        is_slow = self._calls or self.profile.thinking
        wait = self._timeouts.slow_response if is_slow else self._timeouts.response
        # Servers close a reply when they think that it was heard; of models that think, only that says it is whole.
        may_be_whole = self.profile.thinking or not self._replies.is_awaited
        self._response_deadline = self._clock() + wait + (self._replies.seconds if may_be_whole else 0.0)

    def _close_when_idle(self) -> None:
        # Once it is time, what the user says goes with us; only a reply that is still being sent cannot.
        is_settled = self.is_idle and self._handle_deadline == NEVER
        if self.is_leaving and (is_settled or (self._must_leave and not self.was_interrupted)):
            self._close(None)

    def _close(self, why: EngineError | None) -> None:
        if not self.is_over:
            self.is_over = True
            self.error = why

    # What the engine says.

    def on_server_message(self, message: types.LiveServerMessage) -> None:
        """Take one message, which can carry many things at once; raises `EngineError` if it makes no sense."""
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
            self._emit(self._replies.on_user_text(content.input_transcription.text or ""))
        if content.output_transcription is not None:
            self._emit(self._replies.on_text(content.output_transcription.text or ""))
        if content.model_turn is not None:
            for part in content.model_turn.parts or []:
                # Text parts are thoughts: what is said comes as outputTranscription.
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
            return  # there is no way to answer it
        told = self._replies.on_tool_call(call.id, call.name or "", call.args or {})
        if not told:
            self.send_queue.push_control(ToolResponse(call.id, call.name or "", _INTERRUPTED, is_silent=True))
        for event in told:
            if isinstance(event, ToolCall):
                self._calls[event.id] = event, self._clock() + self._timeouts.tool_call
            self._listener.on_engine_event(event)

    def _on_turn_end(self, content: types.LiveServerContent) -> None:
        # A model that thinks completes a generation with every filler.
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


def _is_turn_over(content: types.LiveServerContent) -> bool:
    # A model that thinks at length says turnComplete after every filler; only IDLE is the end there.
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
