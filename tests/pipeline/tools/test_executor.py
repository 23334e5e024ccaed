"""Tools that take their time: every call is answered, whatever becomes of it."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pipeline.engine import EngineDisconnected, ToolCall, ToolCallCancelled
from pipeline.events import Fault, Interrupt, Pointer, TextInput, TurnEnded
from pipeline.tools.toolbox import Outcome, Tool, ToolContext, ToolError
from tests.support.conversation_harness import ConversationHarness, enter

NOTHING: Mapping[str, object] = {"type": "object", "properties": {}}


class Weather:
    """A tool that waits until it is told what to do."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.tool = Tool("weather", "Say the weather.", NOTHING, self.run)

    async def run(self, args: Mapping[str, object], context: ToolContext) -> Outcome:
        self.started.set()
        return await self.result


async def called(weather: Weather, tool: Tool | None = None) -> ConversationHarness:
    room = await enter(tools=(tool or weather.tool,))
    room.conversation.submit(room.peer, TextInput("what is the weather"))
    await room.settle()
    room.engine.tell(ToolCall(1, "c1", "weather", {}))
    await weather.started.wait()
    return room


async def test_what_a_tool_finds_out_goes_to_the_engine() -> None:
    weather = Weather()
    room = await called(weather)
    assert not room.engine.answers
    weather.result.set_result({"sky": "clear"})
    await room.settle()
    assert room.engine.answers == [{"sky": "clear"}]
    await room.leave()


async def test_what_is_found_out_after_the_reply_was_heard_still_goes_to_the_engine() -> None:
    weather = Weather()
    room = await called(weather)
    room.engine.reply(1, "Let me see.")
    room.ticker.tick(80)
    assert any(isinstance(event, TurnEnded) for event in room.peer.events)
    weather.result.set_result({"sky": "clear"})
    await room.settle()
    assert room.engine.answers == [{"sky": "clear"}]
    await room.leave()


async def test_what_is_found_out_after_the_next_question_is_of_no_interest() -> None:
    weather = Weather()
    room = await called(weather)
    room.engine.reply(1, "Let me see.")
    room.ticker.tick(80)
    room.conversation.submit(room.peer, TextInput("never mind, what time is it"))
    await room.settle()
    weather.result.set_result({"sky": "clear"})
    await room.settle()
    assert [list(answer) for answer in room.engine.answers] == [["error"]]
    await room.leave()


@pytest.mark.parametrize(
    ("error", "told"),
    [(ToolError("No such place."), "No such place."), (ZeroDivisionError("a secret"), "weather failed.")],
)
async def test_a_tool_that_fails_is_answered_for_and_harms_nobody(error: Exception, told: str) -> None:
    weather = Weather()
    room = await called(weather)
    weather.result.set_exception(error)
    await room.settle()
    assert room.engine.answers == [{"error": told}]
    assert not [event for event in room.peer.events if isinstance(event, Fault)]
    await room.leave()


@pytest.mark.parametrize("result", ["sunny", None, {1: "x"}, {"warmth": float("nan")}, {"at": object()}])
async def test_a_tool_that_returns_nonsense_is_answered_for(result: Any) -> None:
    room = await enter(tools=(Tool("weather", "Say the weather.", NOTHING, lambda args, context: result),))
    room.conversation.submit(room.peer, TextInput("what is the weather"))
    await room.settle()
    room.engine.tell(ToolCall(1, "c1", "weather", {}))
    await room.settle()
    assert room.engine.answers == [{"error": "weather failed."}]
    await room.leave()


async def test_a_tool_that_is_no_coroutine_may_fail_too() -> None:
    def fails(args: Mapping[str, object], context: ToolContext) -> Outcome:
        raise KeyError("place")

    room = await enter(tools=(Tool("weather", "Say the weather.", NOTHING, fails),))
    room.conversation.submit(room.peer, TextInput("what is the weather"))
    await room.settle()
    room.engine.tell(ToolCall(1, "c1", "weather", {}))
    await room.settle()
    assert room.engine.answers == [{"error": "weather failed."}]
    await room.leave()


async def test_nothing_is_shown_of_a_turn_that_was_interrupted_meanwhile() -> None:
    weather = Weather()
    room = await called(weather)
    room.conversation.submit(room.peer, Interrupt())
    await room.settle()
    weather.result.set_result(Pointer(1, (0, 0, 1, 1), "Save"))
    await room.settle()
    assert room.engine.answers == [{"error": "The user has interrupted."}]
    assert not [event for event in room.peer.events if isinstance(event, Pointer)]
    await room.leave()


async def test_a_tool_that_takes_too_long_is_answered_for() -> None:
    weather = Weather()
    room = await called(weather, replace(weather.tool, seconds=0.01))
    await room.until(lambda: bool(room.engine.answers))
    assert room.engine.answers == [{"error": "weather did not finish in 0.01 seconds."}]
    assert weather.result.cancelled()
    await room.leave()


@pytest.mark.parametrize("event", [ToolCallCancelled(("c1",)), EngineDisconnected()])
async def test_a_call_that_nobody_waits_for_is_stopped(event: ToolCallCancelled | EngineDisconnected) -> None:
    weather = Weather()
    room = await called(weather)
    room.engine.tell(event)
    await room.settle()
    assert weather.result.cancelled()
    assert not room.engine.answers
    await room.leave()


async def test_a_conversation_that_ends_takes_its_calls_along() -> None:
    weather = Weather()
    room = await called(weather)
    await room.leave()
    assert weather.result.cancelled()


async def test_a_function_nobody_has_is_refused_with_those_there_are() -> None:
    room = await enter()
    room.conversation.submit(room.peer, TextInput("erase it all"))
    await room.settle()
    room.engine.tell(ToolCall(1, "c1", "erase", {}))
    await room.settle()
    (answer,) = room.engine.answers
    assert answer == {"error": "There is no function 'erase'; there are: point_at, show_steps."}
    await room.leave()
