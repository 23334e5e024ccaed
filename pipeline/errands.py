"""The engine's function calls being carried out: every one is answered, in time, unless nobody wants it any more."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from loguru import logger

from pipeline.engine import ToolCall
from pipeline.events import Event, Guidance, Pointer
from pipeline.tools import Outcome, Tool, Toolbox, ToolContext, ToolError


class GiveAnswer(Protocol):
    """Answers a call; `is_silent`: the model need say nothing about it."""

    def __call__(self, call: ToolCall, result: Mapping[str, object], /, *, is_silent: bool) -> None:
        """Return at once."""
        ...


class Errands:
    """Runs the calls of one conversation; `tell` takes what they show, `answer` what the engine is told.

    A tool that fails, takes too long or has a mistake in it costs its call and nothing else.
    """

    def __init__(self, toolbox: Toolbox, *, answer: GiveAnswer, tell: Callable[[Event], None]):
        self._toolbox = toolbox
        self._answer = answer
        self._tell = tell
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, call: ToolCall, context: ToolContext, tasks: asyncio.TaskGroup) -> None:
        """Carry out a call: at once, or in `tasks`."""
        try:
            tool = self._toolbox.get(call.name)
            outcome = tool.run(call.args, context)
        except ToolError as error:
            self._refuse(call, str(error))
            return
        if isinstance(outcome, Awaitable):
            task = tasks.create_task(self._wait(call, tool, outcome))
            self._running[call.id] = task
            task.add_done_callback(lambda _: self._running.pop(call.id, None))
        else:
            self._finish(call, outcome)

    def cancel(self, ids: Iterable[str]) -> None:
        """Stop those of these calls that are still running: nobody waits for their answers."""
        for call_id in ids:
            task = self._running.pop(call_id, None)
            if task is not None:
                task.cancel()

    def cancel_all(self) -> None:
        """Stop every call: the session that made them is gone."""
        self.cancel(tuple(self._running))

    async def _wait(self, call: ToolCall, tool: Tool, outcome: Awaitable[Outcome]) -> None:
        try:
            async with asyncio.timeout(tool.seconds):
                # A tool is somebody else's code: whatever it raises is an outcome.
                (result,) = await asyncio.gather(outcome, return_exceptions=True)
        except TimeoutError:
            self._refuse(call, f"{call.name} did not finish in {tool.seconds:g} seconds.")
            return
        match result:
            case ToolError():
                self._refuse(call, str(result))
            case BaseException():
                logger.opt(exception=result).error("a tool failed", tool=call.name)
                self._refuse(call, f"{call.name} failed.")
            case _:
                self._finish(call, result)

    def _finish(self, call: ToolCall, outcome: Outcome) -> None:
        if isinstance(outcome, Guidance | Pointer):
            self._tell(outcome)
            self._answer(call, {"result": "shown"}, is_silent=True)
        else:
            self._answer(call, outcome, is_silent=False)

    def _refuse(self, call: ToolCall, why: str) -> None:
        self._answer(call, {"error": why}, is_silent=False)
