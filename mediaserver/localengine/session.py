"""One live session on its socket: reads, answers one question at a time, and interrupts itself when told to."""

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from mediaserver.localengine.brain import Brain, Call, Question
from mediaserver.localengine.generation import Generation
from mediaserver.localengine.intake import Detector
from mediaserver.localengine.lifetime import TEN_MINUTES, Lifetime, expire
from mediaserver.localengine.live import Live, Stop
from mediaserver.localengine.messages import (
    Interrupted,
    ServerMessage,
    Setup,
    SetupComplete,
    ToolCall,
    ToolCallCancellation,
    ToolResponse,
    TurnComplete,
)
from mediaserver.localengine.wire import parse, render

_MOST_WAITING = 8  # questions, where they may not interrupt; of more, the newest are answered


class Socket(Protocol):
    """The client's connection: iterating ends when it closes normally."""

    async def send(self, message: bytes, /) -> None:
        """Send one binary frame; waits while the client does not read."""
        ...

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...


class Session:
    """What follows an accepted setup, until the socket closes."""

    def __init__(
        self,
        socket: Socket,
        setup: Setup,
        brain: Brain,
        detector: Detector | None,
        *,
        lifetime: Lifetime = TEN_MINUTES,
    ):
        self.id = f"local-{secrets.token_hex(12)}"
        self._socket = socket
        self._setup = setup
        self._brain = brain
        self._memory = brain.new_memory()
        self._memory.language = setup.language or self._memory.language
        self._live = Live(setup, detector)
        self._lifetime = lifetime
        self._generation: Generation | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Question] = deque(maxlen=_MOST_WAITING)
        self._calls = 0
        self._unanswered: list[str] = []

    async def run(self) -> None:
        """Serve until the client leaves; raises (in a group) what ends the session early."""
        async with asyncio.TaskGroup() as tasks:
            await self._send(SetupComplete(self.id))
            expiry = tasks.create_task(expire(self._lifetime, self._send))
            async for frame in self._socket:
                message = parse(frame)
                if isinstance(message, ToolResponse):
                    self._settle(message)
                    continue
                audible = self._generation is not None and self._generation.is_audible
                for action in self._live.push(message, audible=audible):
                    if isinstance(action, Stop):
                        await self._interrupt()
                    else:
                        self._ask(action, tasks)
            expiry.cancel()
            if self._task is not None:
                self._task.cancel()

    def _ask(self, question: Question, tasks: asyncio.TaskGroup) -> None:
        if self._generation is not None:
            self._waiting.append(question)
            return
        self._generation = Generation(question, self._setup, send=self._send, call=self._number)
        self._task = tasks.create_task(self._answer(self._generation, tasks))

    async def _answer(self, generation: Generation, tasks: asyncio.TaskGroup) -> None:
        await generation.run(self._brain, self._memory)
        if self._generation is not generation:
            return
        self._generation = None
        await self._send(TurnComplete(generation.usage))
        if self._waiting and self._generation is None:
            self._ask(self._waiting.popleft(), tasks)

    async def _interrupt(self) -> None:
        self._waiting.clear()
        if self._generation is None or self._task is None:
            return
        generation, self._generation = self._generation, None
        generation.cut()
        self._task.cancel()
        await self._send(Interrupted())
        if self._unanswered:
            await self._send(ToolCallCancellation(tuple(self._unanswered)))
            self._unanswered.clear()
        await self._send(TurnComplete(generation.usage))

    def _number(self, call: Call) -> ToolCall | None:
        if call.name not in self._live.functions:
            return None
        self._calls += 1
        call_id = f"{self.id}-call-{self._calls}"
        self._unanswered.append(call_id)
        return ToolCall(call_id, call.name, call.args)

    def _settle(self, message: ToolResponse) -> None:
        # Nothing is said about a result: every function here is one that shows something, and answers SILENT.
        answered = {response.id for response in message.responses}
        self._unanswered = [call_id for call_id in self._unanswered if call_id not in answered]

    async def _send(self, message: ServerMessage) -> None:
        await self._socket.send(render(message))
