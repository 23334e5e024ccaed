"""The engine's function calls being carried out: every one is answered, in time, unless nobody wants it any more."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from loguru import logger

from pipeline.engine import ToolCall
from pipeline.events import Event, Guidance, Pointer
from pipeline.tools.toolbox import Outcome, Tool, Toolbox, ToolContext, ToolError


class ToolResponder(Protocol):
    """Answers a call; `is_silent`: the model need say nothing about it."""

    def __call__(self, call: ToolCall, result: Mapping[str, object], /, *, is_silent: bool) -> None:
        """Return at once."""
        ...


class ToolExecutor:
    """Runs the calls of one conversation; `tell` takes what they show, `answer` what the engine is told.

    A tool that fails, takes too long or has a mistake in it costs its call and nothing else. Once `is_cut` says that
    the turn of a call was interrupted, nothing of it is shown; a reply that was heard to its end may still wait for it.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        *,
        answer: ToolResponder,
        tell: Callable[[Event], None],
        is_cut: Callable[[int], bool],
    ):
        self._toolbox = toolbox
        self._answer = answer
        self._tell = tell
        self._is_cut = is_cut
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, call: ToolCall, context: ToolContext, tasks: asyncio.TaskGroup) -> None:
        """Carry out a call in `tasks`."""
        task = tasks.create_task(self._run(call, context))
        self._running[call.id] = task
        task.add_done_callback(lambda _: self._running.pop(call.id, None))

    def cancel(self, ids: Iterable[str]) -> None:
        """Stop those of these calls that are still running: nobody waits for their answers."""
        for call_id in ids:
            task = self._running.pop(call_id, None)
            if task is not None:
                task.cancel()

    def cancel_all(self) -> None:
        """Stop every call: the session that made them is gone."""
        self.cancel(tuple(self._running))

    async def _run(self, call: ToolCall, context: ToolContext) -> None:
        try:
            tool = self._toolbox.get(call.name)
            async with asyncio.timeout(tool.seconds):
                # A tool is somebody else's code: whatever it raises is an outcome.
                (outcome,) = await asyncio.gather(_outcome(tool, call, context), return_exceptions=True)
        except ToolError as error:
            outcome = error
        except TimeoutError:
            outcome = ToolError(f"{call.name} did not finish in {tool.seconds:g} seconds.")
        self._finish(call, outcome)

    def _finish(self, call: ToolCall, outcome: Outcome | BaseException) -> None:
        if self._is_cut(call.turn):
            self._answer(call, {"error": "The user has interrupted."}, is_silent=True)
            return
        match outcome:
            case Guidance() | Pointer():
                self._tell(outcome)
                self._answer(call, {"result": "shown"}, is_silent=True)
            case ToolError():
                self._answer(call, {"error": str(outcome)}, is_silent=False)
            case BaseException():
                logger.opt(exception=outcome).error("a tool failed", tool=call.name)
                self._answer(call, {"error": f"{call.name} failed."}, is_silent=False)
            case _ if _is_json_object(outcome):
                self._answer(call, outcome, is_silent=False)
            case _:
                logger.error("a tool returned something that is no JSON object", tool=call.name)
                self._answer(call, {"error": f"{call.name} failed."}, is_silent=False)


async def _outcome(tool: Tool, call: ToolCall, context: ToolContext) -> Outcome:
    outcome = tool.run(call.args, context)
    return await outcome if isinstance(outcome, Awaitable) else outcome


def _is_json_object(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
