"""One live session on its socket: reads input, answers one question at a time, and handles interruptions."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Protocol, assert_never

from websockets.exceptions import ConnectionClosed

from mediaserver.localengine.fault_points import FaultPoint
from mediaserver.localengine.protocol.codec import parse
from mediaserver.localengine.protocol.messages import (
    Behavior,
    ClientMessage,
    GoAway,
    Interrupted,
    ServerMessage,
    SessionResumptionUpdate,
    Setup,
    SetupComplete,
    SpokenAudio,
    ToolCall,
    ToolCallCancellation,
    ToolResponse,
    TurnComplete,
)
from mediaserver.localengine.protocol.model_rules import is_blocking
from mediaserver.localengine.protocol.rendering import render
from mediaserver.localengine.responder.interface import Call, ListensAhead, Question, Responder
from mediaserver.localengine.session.audio_input import Detector
from mediaserver.localengine.session.connection_lifetime import DEFAULT_LIFETIME, Lifetime, expire
from mediaserver.localengine.session.context import Context
from mediaserver.localengine.session.generation import Generation
from mediaserver.localengine.session.input_reducer import InputReducer, SpeechPaused, SpeechResumed, StopReply
from mediaserver.localengine.session.pause_detector import PauseDetector
from mediaserver.localengine.session.resumption import SessionConnection
from mediaserver.localengine.session.tool_calls import PendingToolCalls

_MAX_WAITING = 8  # questions that may not interrupt; the newest are kept


class Socket(Protocol):
    """The client's connection; iteration ends at a normal close."""

    async def send(self, message: bytes, /) -> None:
        """Send one binary frame; waits while the client does not read."""
        ...

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...


async def _no_fault(point: FaultPoint) -> None:
    """Do nothing: no fault is scheduled."""


class EngineSession:
    """The session after an accepted setup, until the socket closes."""

    def __init__(
        self,
        socket: Socket,
        setup: Setup,
        responder: Responder,
        detector: Detector | None,
        *,
        pauses: PauseDetector | None = None,
        lifetime: Lifetime = DEFAULT_LIFETIME,
        context: Context | None = None,
        connection: SessionConnection | None = None,
        reached: Callable[[FaultPoint], Awaitable[None]] = _no_fault,
    ):
        self.id = f"local-{secrets.token_hex(12)}"
        self._socket = socket
        self._setup = setup
        self._responder = responder
        self._context = context or Context(responder.new_memory())
        self._memory = self._context.memory
        self._memory.language = setup.language or self._memory.language
        self._input = InputReducer(setup, detector, self._context, pauses=pauses, is_resumed=context is not None)
        self._connection = connection
        self._reached = reached
        self._has_sent_audio = False
        self._is_resumable = False
        self._lifetime = lifetime
        self._generation: Generation | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Question] = deque(maxlen=_MAX_WAITING)
        self._abandon_listening: Callable[[], None] | None = None
        self._calls = PendingToolCalls(f"{self.id}-call")

    async def run(self) -> None:
        """Serve until the client leaves; raises an exception group if the session ends early."""
        async with asyncio.TaskGroup() as tasks:
            try:
                expiry = tasks.create_task(expire(self._lifetime, self._send))
                await self._reached(FaultPoint.SETUP)
                await self._send(SetupComplete(self.id))
                await self._offer_handle()
                async for frame in self._socket:
                    await self._handle(parse(frame), tasks)
            finally:
                self._stop_listening_ahead()
                # Before the running answer ends: the client's next connection need not wait for it.
                if self._connection is not None:
                    self._connection.close()
            expiry.cancel()
            if self._task is not None:
                self._task.cancel()

    async def _handle(self, message: ClientMessage, tasks: asyncio.TaskGroup) -> None:
        if isinstance(message, ToolResponse):
            await self._settle(message)
            return
        audible = self._generation is not None and self._generation.is_audible
        was_listening = self._input.is_listening
        for action in self._input.push(message, audible=audible):
            match action:
                case StopReply():
                    await self._interrupt()
                case SpeechPaused(audio):
                    self._listen_ahead(audio)
                case SpeechResumed():
                    self._stop_listening_ahead()
                case Question():
                    self._start_generation(action, tasks)
                case _:
                    assert_never(action)
        if self._input.is_listening and not was_listening:
            await self._reached(FaultPoint.LISTENING)

    async def send_go_away(self, max_wait: float) -> None:
        """Send goAway for an immediate end; waits at most `max_wait` seconds for the client to read."""
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(max_wait):
                await self._send(GoAway(0))

    def _listen_ahead(self, audio: bytes) -> None:
        self._stop_listening_ahead()
        if isinstance(self._responder, ListensAhead):
            self._abandon_listening = self._responder.listen_ahead(audio, self._memory)

    def _stop_listening_ahead(self) -> None:
        if self._abandon_listening is not None:
            self._abandon_listening()
            self._abandon_listening = None

    def _start_generation(self, question: Question, tasks: asyncio.TaskGroup) -> None:
        if self._generation is not None:
            self._waiting.append(question)
            return
        self._has_sent_audio = False
        self._generation = Generation(
            question, self._setup, send=self._send, call=self._number, answered=self._answered
        )
        self._task = tasks.create_task(self._answer(self._generation, tasks))

    async def _answer(self, generation: Generation, tasks: asyncio.TaskGroup) -> None:
        await self._withdraw_handle()
        await self._reached(FaultPoint.THINKING)
        await generation.run(self._responder, self._memory)
        if self._generation is not generation:
            return
        self._generation = None
        await self._send(TurnComplete(generation.usage))
        if self._waiting and self._generation is None:
            self._start_generation(self._waiting.popleft(), tasks)
        await self._offer_handle()

    async def _interrupt(self) -> None:
        self._waiting.clear()
        if self._generation is None or self._task is None:
            return
        generation, self._generation = self._generation, None
        generation.interrupt()
        self._task.cancel()
        await self._send(Interrupted())
        if ids := self._calls.cancel():
            await self._send(ToolCallCancellation(ids))
        await self._send(TurnComplete(generation.usage))
        await self._offer_handle()

    def _number(self, call: Call) -> ToolCall | None:
        return self._calls.open(call) if call.name in self._input.functions else None

    async def _answered(self, call: ToolCall) -> None:
        declared = self._input.functions.get(call.name)
        if is_blocking(self._setup.model, declared.behavior if declared else Behavior.UNSPECIFIED):
            await self._calls.answered(call.id)

    async def _settle(self, message: ToolResponse) -> None:
        # A result begins no answer; one that waits for it goes on by itself.
        if self._calls.settle(message.responses):
            await self._offer_handle()

    async def _offer_handle(self) -> None:
        if self._connection is not None and self._generation is None and not self._calls.are_open:
            self._is_resumable = True
            await self._send(SessionResumptionUpdate(self._connection.save(self._context)))

    async def _withdraw_handle(self) -> None:
        if self._is_resumable:
            self._is_resumable = False
            await self._send(SessionResumptionUpdate(""))

    async def _send(self, message: ServerMessage) -> None:
        await self._socket.send(render(message))
        match message:
            case SetupComplete():
                await self._reached(FaultPoint.READY)
            case SpokenAudio() if not self._has_sent_audio:
                self._has_sent_audio = True
                await self._reached(FaultPoint.SPEAKING)
            case ToolCall():
                await self._reached(FaultPoint.TOOL)
            case TurnComplete():
                await self._reached(FaultPoint.IDLE)
