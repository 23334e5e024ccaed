"""One session with the engine over the SDK: a reader, a writer, and the timers that end it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import assert_never

from google.genai import types
from google.genai.live import AsyncSession

from pipeline.engine import EngineEvent, ReplyEvent, ToolCall, ToolCallCancelled
from pipeline.engine_errors import RECEIVE_FAILURES, SEND_FAILURES, blocked, engine_error, fault
from pipeline.errors import EngineError, FaultCode
from pipeline.media import SAMPLE_BYTES, AudioChunk, StillFrame
from pipeline.profiles import Calls, Profile
from pipeline.replies import Replies
from pipeline.setbacks import Patience
from pipeline.uplink import SCREEN_GONE, Answer, CloseWindow, Item, Note, OpenWindow, Stop, Text, Uplink

REPLY_RATE = 24_000
"""Sample rate (Hz) of every reply."""

_INTERRUPTED = {"error": "The user has interrupted."}
_UNANSWERED = {"error": "The function did not answer in time."}


class LiveSession:
    """What is said and heard between setupComplete and the end of one connection; dies with it."""

    def __init__(
        self,
        session: AsyncSession,
        profile: Profile,
        *,
        is_local: bool,
        patience: Patience,
        tell: Callable[[EngineEvent], None],
        next_turn: Callable[[], int],
    ):
        self._session = session
        self._profile = profile
        self._is_local = is_local
        self._patience = patience
        self._tell = tell
        self._replies = Replies(next_turn)
        self._uplink = Uplink()
        self._is_screen_gone = False
        self._mentioned: str | None = None
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[EngineError | None] = self._loop.create_future()
        self._calls: dict[str, ToolCall] = {}
        self._call_timers: dict[str, asyncio.TimerHandle] = {}
        self._mute_timer: asyncio.TimerHandle | None = None
        self._leave_timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Carry everything both ways until the engine asks us to leave; raises `EngineError` if it breaks."""
        lost: EngineError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(self._read()), tasks.create_task(self._write())
                lost = await self._over
                for task in work:
                    task.cancel()
        except* EngineError as group:
            lost = next(error for error in group.exceptions if isinstance(error, EngineError))
        if lost is not None:
            raise lost

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost if the session ends here."""
        return self._replies.is_idle and not self._calls

    @property
    def is_listening(self) -> bool:
        """Whether the user's window is open."""
        return self._uplink.is_open

    @property
    def is_leaving(self) -> bool:
        """Whether the engine has announced the end of this session."""
        return self._leave_timer is not None

    @property
    def dropped_seconds(self) -> float:
        """Audio that gave way because the socket was stuck."""
        return self._uplink.dropped_seconds

    def close(self) -> None:
        """Stop waiting for anything."""
        for timer in (self._mute_timer, self._leave_timer, *self._call_timers.values()):
            if timer is not None:
                timer.cancel()

    # What the conversation says: nothing here waits.

    def start_utterance(self, turn: int) -> None:
        """Open the user's window, which interrupts the engine."""
        self._replies.open_window(turn)
        if not self._uplink.is_open:
            self._tell_notes()
            self._uplink.control(OpenWindow())
        self._watch()

    def hear(self, chunk: AudioChunk) -> None:
        """Send audio of the open window."""
        self._uplink.hear(chunk)

    def show(self, frame: StillFrame) -> None:
        """Send a frame."""
        self._is_screen_gone = False
        self._uplink.show(frame)

    def hide(self) -> None:
        """Let the engine know before the next question that the screen is no longer shared."""
        # Not now: on these models a word about the context also cuts what is being said.
        self._is_screen_gone = self._profile.takes_content

    def mention(self, text: str) -> None:
        """Let the engine know something before the next question; only the newest is told."""
        self._mentioned = text if self._profile.takes_content else None

    def end_utterance(self) -> None:
        """Close the window: the engine answers."""
        if self._uplink.is_open:
            self._uplink.control(CloseWindow())
            self._replies.close_window()
            self._watch()

    def ask(self, turn: int, text: str) -> None:
        """Ask in writing; an utterance that is open ends here and stays as context."""
        self.end_utterance()
        self.stop_reply()
        self._tell_notes()
        self._replies.ask(turn)
        self._uplink.control(Text(text))
        self._watch()

    def stop_reply(self) -> None:
        """Let nothing more of the open reply through, and spare the engine the rest where it can be told."""
        if self._replies.is_open:
            self._replies.stop()
            if self._profile.takes_content:
                self._uplink.control(Stop())
            self._watch()

    def answer(self, call: ToolCall, result: Mapping[str, object]) -> None:
        """Answer a call, unless that was done or nobody waits for it any more."""
        if self._calls.get(call.id) == call:
            self._forget_call(call.id)
            self._uplink.control(Answer(call.id, call.name, result))
            self._watch()

    def _tell_notes(self) -> None:
        if self._is_screen_gone:
            self._is_screen_gone = False
            self._uplink.control(Note(SCREEN_GONE))
        if self._mentioned is not None:
            self._uplink.control(Note(self._mentioned))
            self._mentioned = None

    # The reader.

    async def _read(self) -> None:
        while True:
            turn = self._session.receive()  # ends with every turn of the model
            while True:
                try:
                    message = await anext(turn)
                except StopAsyncIteration:
                    break
                except RECEIVE_FAILURES as error:
                    raise engine_error(error, is_ready=True, is_local=self._is_local) from error
                self._take(message)

    def _take(self, message: types.LiveServerMessage) -> None:
        # One message can carry all of these at once.
        if message.tool_call_cancellation is not None:
            self._cancel_calls(message.tool_call_cancellation.ids or [])
        if message.server_content is not None:
            self._take_content(message.server_content)
        if message.tool_call is not None:
            for call in message.tool_call.function_calls or []:
                self._take_call(call)
        if message.usage_metadata is not None:
            self._replies.spent(_tokens(message.usage_metadata))
        if message.server_content is not None:
            self._take_end(message.server_content)
        if message.go_away is not None and self._leave_timer is None:
            wait = max(0.0, _seconds(message.go_away.time_left) - self._patience.leave)
            self._leave_timer = self._loop.call_later(wait, self._end, None)
        if self.is_leaving and self.is_idle:
            self._end(None)
        self._watch()

    def _take_content(self, content: types.LiveServerContent) -> None:
        if content.interrupted:
            self._replies.interrupted()
        if content.input_transcription is not None:
            self._tell_all(self._replies.user_text(content.input_transcription.text or ""))
        if content.output_transcription is not None:
            self._tell_all(self._replies.text(content.output_transcription.text or ""))
        if content.model_turn is not None:
            for part in content.model_turn.parts or []:
                # Text parts are thoughts: what is said comes as outputTranscription.
                if part.inline_data is not None and not part.thought:
                    self._take_voice(part.inline_data)

    def _take_voice(self, blob: types.Blob) -> None:
        kind, _, parameters = (blob.mime_type or "").partition(";")
        if kind != "audio/pcm" or not blob.data:
            return
        if parameters.strip() not in ("", f"rate={REPLY_RATE}") or len(blob.data) % SAMPLE_BYTES:
            raise fault(FaultCode.ENGINE_PROTOCOL)
        self._tell_all(self._replies.audio(blob.data, REPLY_RATE))

    def _take_call(self, call: types.FunctionCall) -> None:
        if call.id is None:
            return  # there is no way to answer it
        told = self._replies.call(call.id, call.name or "", call.args or {})
        if not told:
            self._uplink.control(Answer(call.id, call.name or "", _INTERRUPTED))
        for event in told:
            if isinstance(event, ToolCall):
                self._calls[event.id] = event
                self._call_timers[event.id] = self._loop.call_later(self._patience.call, self._give_up_call, event)
            self._tell(event)

    def _take_end(self, content: types.LiveServerContent) -> None:
        # A model that thinks completes a generation with every filler.
        if content.generation_complete and not self._profile.thinking:
            self._tell_all(self._replies.generated())
        if _is_turn_over(content):
            self._tell_all(self._replies.ended(blocked(content.turn_complete_reason)))

    def _cancel_calls(self, ids: Iterable[str]) -> None:
        known = tuple(call_id for call_id in ids if call_id in self._calls)
        for call_id in known:
            self._forget_call(call_id)
        if known:
            self._tell(ToolCallCancelled(known))

    def _give_up_call(self, call: ToolCall) -> None:
        self.answer(call, _UNANSWERED)

    def _forget_call(self, call_id: str) -> None:
        del self._calls[call_id]
        self._call_timers.pop(call_id).cancel()

    def _tell_all(self, events: Iterable[ReplyEvent]) -> None:
        for event in events:
            self._tell(event)

    # The writer.

    async def _write(self) -> None:
        while True:
            item = await self._uplink.next()
            try:
                await self._send(item)
            except SEND_FAILURES as error:
                raise engine_error(error, is_ready=True, is_local=self._is_local) from error

    async def _send(self, item: Item) -> None:
        session = self._session
        match item:
            case AudioChunk():
                blob = types.Blob(data=item.pcm, mime_type=f"audio/pcm;rate={item.rate}")
                await session.send_realtime_input(audio=blob)
            case StillFrame():
                await session.send_realtime_input(video=types.Blob(data=item.jpeg, mime_type="image/jpeg"))
            case OpenWindow():
                await session.send_realtime_input(activity_start=types.ActivityStart())
            case CloseWindow():
                await session.send_realtime_input(activity_end=types.ActivityEnd())
            case Text(text):
                await session.send_realtime_input(text=text)
            case Stop():
                await session.send_client_content(turn_complete=False)
            case Note(text):
                turn = types.Content(role="user", parts=[types.Part(text=text)])
                await session.send_client_content(turns=turn, turn_complete=False)
            case Answer():
                await session.send_tool_response(function_responses=self._response(item))
            case _:
                assert_never(item)

    def _response(self, answer: Answer) -> types.FunctionResponse:
        is_scheduled = self._profile.calls is Calls.SCHEDULED
        scheduling = types.FunctionResponseScheduling.SILENT if is_scheduled else None
        return types.FunctionResponse(
            id=answer.id, name=answer.name, response=dict(answer.result), scheduling=scheduling
        )

    # Time.

    def _watch(self) -> None:
        """Begin to wait anew for a sign of life, if the engine owes us one."""
        if self._mute_timer is not None:
            self._mute_timer.cancel()
            self._mute_timer = None
        if self._replies.is_awaited and not self._over.done():
            is_slow = self._calls or self._profile.thinking
            wait = self._patience.mute_at_work if is_slow else self._patience.mute
            self._mute_timer = self._loop.call_later(wait, self._end, fault(FaultCode.ENGINE_STALLED))

    def _end(self, error: EngineError | None) -> None:
        if not self._over.done():
            self._over.set_result(error)


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
