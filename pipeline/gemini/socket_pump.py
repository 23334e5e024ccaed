"""Carries one session over the SDK's socket: a reader, a writer, and one timer."""

import asyncio
from typing import assert_never

from google.genai import types
from google.genai.live import AsyncSession

from pipeline.errors import EngineError
from pipeline.gemini.live_session import NEVER, LiveSession
from pipeline.gemini.model_profiles import FunctionCallingMode
from pipeline.gemini.sdk_errors import RECEIVE_FAILURES, SEND_FAILURES, engine_error
from pipeline.gemini.send_queue import (
    ActivityEnd,
    ActivityStart,
    ContextNote,
    InitialHistory,
    InterruptReply,
    Item,
    Text,
    ToolResponse,
)
from pipeline.gemini.session_supervisor import SessionSupervisor
from pipeline.media import AudioChunk, EncodedFrame


class SocketPump:
    """Moves what `live` wants said and what the socket says, until `live` is over or the socket breaks."""

    def __init__(self, session: AsyncSession, link: SessionSupervisor, live: LiveSession, *, is_local: bool):
        self._session = session
        self._supervisor = link
        self._live = live
        self._is_local = is_local
        self._loop = asyncio.get_running_loop()
        self._closed = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Carry until the session is to be left; raises `EngineError` if it breaks."""
        self.reschedule()
        broke: EngineError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(self._read()), tasks.create_task(self._write())
                await self._closed.wait()
                for task in work:
                    task.cancel()
        except* EngineError as group:
            broke = next(error for error in group.exceptions if isinstance(error, EngineError))
        finally:
            if self._timer is not None:
                self._timer.cancel()
        broke = broke or self._live.error
        if broke is not None:
            raise broke

    def reschedule(self) -> None:
        """Look again at what `live` waits for, as something has happened to it."""
        if self._live.is_over:
            self._closed.set()
            return
        deadline = self._live.deadline
        # Deadlines mostly move away, with every message: a timer that rings too early costs less than setting it anew.
        if self._timer is not None and self._timer.when() <= deadline:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline != NEVER:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._supervisor.expire()
        self.reschedule()

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
                self._supervisor.on_server_message(message)
                self.reschedule()

    async def _write(self) -> None:
        while True:
            item = await self._live.send_queue.next()
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
            case EncodedFrame():
                await session.send_realtime_input(video=types.Blob(data=item.jpeg, mime_type="image/jpeg"))
            case ActivityStart():
                await session.send_realtime_input(activity_start=types.ActivityStart())
            case ActivityEnd():
                await session.send_realtime_input(activity_end=types.ActivityEnd())
            case Text(text):
                await session.send_realtime_input(text=text)
            case InterruptReply():
                await session.send_client_content(turn_complete=False)
            case ContextNote(text):
                await session.send_client_content(turns=_content("user", text), turn_complete=False)
            case InitialHistory(said):
                past = [_content("user" if is_user else "model", text) for is_user, text in said]
                await session.send_client_content(turns=[*past], turn_complete=True)
            case ToolResponse():
                await session.send_tool_response(function_responses=self._response(item))
            case _:
                assert_never(item)

    def _response(self, answer: ToolResponse) -> types.FunctionResponse:
        # Without a word about it, the model speaks of a result as soon as it has nothing else to say.
        is_silent = answer.is_silent and self._live.profile.calls is FunctionCallingMode.SCHEDULED
        scheduling = types.FunctionResponseScheduling.SILENT if is_silent else None
        return types.FunctionResponse(
            id=answer.id, name=answer.name, response=dict(answer.result), scheduling=scheduling
        )


def _content(role: str, text: str) -> types.Content:
    return types.Content(role=role, parts=[types.Part(text=text)])
