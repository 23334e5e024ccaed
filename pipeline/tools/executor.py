"""Runs the engine's function calls as tasks; each is answered in time unless it is cancelled."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from loguru import logger

from pipeline.engine import ToolCall
from pipeline.events import Event, Fault, Guidance, Pointer
from pipeline.tools.toolbox import Outcome, PlanAnswer, PlanRequest, Tool, Toolbox, ToolContext, ToolError


class ToolResponder(Protocol):
    """The engine, as far as results of function calls are concerned."""

    def send_tool_response(self, call: ToolCall, result: Mapping[str, object], *, is_silent: bool) -> None:
        """Send the result of a call and return at once; `is_silent`: the model need not speak about it."""
        ...


ChangePlan = Callable[[PlanRequest], Awaitable[PlanAnswer]]
"""Changes the conversation's plan; raises `ToolError` if that cannot be done."""


async def _no_plan(_: PlanRequest) -> PlanAnswer:
    raise ToolError("This conversation keeps no plan.")


class ToolExecutor:
    """Runs the calls of one conversation.

    An error or timeout of a tool fails its call and nothing else. Results for a turn that `was_interrupted` are not
    shown. A turn that was played to its end may still get results.
    """

    def __init__(
        self,
        toolbox: Toolbox,
        engine: ToolResponder,
        *,
        send_event: Callable[[Event], None],
        was_interrupted: Callable[[int], bool],
        change_plan: ChangePlan = _no_plan,
    ):
        self._toolbox = toolbox
        self._engine = engine
        self._send_event = send_event
        self._was_interrupted = was_interrupted
        self._change_plan = change_plan
        self._running: dict[str, asyncio.Task[None]] = {}

    def start(self, call: ToolCall, context: ToolContext, tasks: asyncio.TaskGroup) -> None:
        """Run a call as a task of `tasks`."""
        task = tasks.create_task(self._run(call, context))
        self._running[call.id] = task
        task.add_done_callback(lambda _: self._running.pop(call.id, None))

    def cancel(self, ids: Iterable[str]) -> None:
        """Cancel those of these calls that are still running; they are not answered."""
        for call_id in ids:
            task = self._running.pop(call_id, None)
            if task is not None:
                task.cancel()

    def cancel_all(self) -> None:
        """Cancel all calls, as the engine session that made them is closed."""
        self.cancel(tuple(self._running))

    async def _run(self, call: ToolCall, context: ToolContext) -> None:
        try:
            tool = self._toolbox.get(call.name)
            async with asyncio.timeout(tool.seconds):
                # A plug-in's tool may raise anything: every exception is an outcome.
                (outcome,) = await asyncio.gather(self._outcome(tool, call, context), return_exceptions=True)
        except ToolError as error:
            outcome = error
        except TimeoutError:
            outcome = ToolError(f"{call.name} did not finish in {tool.seconds:g} seconds.")
        self._finish(call, outcome)

    async def _outcome(self, tool: Tool, call: ToolCall, context: ToolContext) -> Outcome | PlanAnswer:
        outcome = tool.run(call.args, context)
        if isinstance(outcome, Awaitable):
            outcome = await outcome
        if isinstance(outcome, PlanRequest) and not self._was_interrupted(call.turn):
            return await self._change_plan(outcome)
        return outcome

    def _finish(self, call: ToolCall, outcome: Outcome | PlanAnswer | BaseException) -> None:
        if self._was_interrupted(call.turn):
            self._engine.send_tool_response(call, {"error": "The user has interrupted."}, is_silent=True)
            return
        match outcome:
            case Fault() | Guidance() | Pointer():
                self._send_event(outcome)
                self._engine.send_tool_response(call, {"result": "shown"}, is_silent=True)
            case PlanAnswer(result, is_silent):
                self._engine.send_tool_response(call, result, is_silent=is_silent)
            case ToolError():
                self._engine.send_tool_response(call, {"error": str(outcome)}, is_silent=False)
            case BaseException():
                logger.opt(exception=outcome).error("a tool failed", tool=call.name)
                self._engine.send_tool_response(call, {"error": f"{call.name} failed."}, is_silent=False)
            case Mapping() if _is_json_object(outcome):
                self._engine.send_tool_response(call, outcome, is_silent=False)
            case _:
                logger.error("a tool returned something that is no JSON object", tool=call.name)
                self._engine.send_tool_response(call, {"error": f"{call.name} failed."}, is_silent=False)


def _is_json_object(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)
