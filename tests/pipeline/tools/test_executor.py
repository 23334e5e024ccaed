"""Slow tools: every call is answered in every outcome."""

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
    """A tool that waits for the test's result."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.result: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.tool = Tool("weather", "Say the weather.", NOTHING, self.run)

    async def run(self, args: Mapping[str, object], context: ToolContext) -> Outcome:
        self.started.set()
        return await self.result


async def called(weather: Weather, tool: Tool | None = None) -> ConversationHarness:
    harness = await enter(tools=(tool or weather.tool,))
    harness.conversation.submit(harness.peer, TextInput("what is the weather"))
    await harness.settle()
    harness.engine.emit(ToolCall(1, "c1", "weather", {}))
    await weather.started.wait()
    return harness


async def test_what_a_tool_finds_out_goes_to_the_engine() -> None:
    weather = Weather()
    harness = await called(weather)
    assert not harness.engine.answers
    weather.result.set_result({"sky": "clear"})
    await harness.settle()
    assert harness.engine.answers == [{"sky": "clear"}]
    await harness.leave()


async def test_what_is_found_out_after_the_reply_was_heard_still_goes_to_the_engine() -> None:
    weather = Weather()
    harness = await called(weather)
    harness.engine.reply(1, "Let me see.")
    harness.frame_clock.tick(80)
    assert any(isinstance(event, TurnEnded) for event in harness.peer.events)
    weather.result.set_result({"sky": "clear"})
    await harness.settle()
    assert harness.engine.answers == [{"sky": "clear"}]
    await harness.leave()


async def test_what_is_found_out_after_the_next_question_is_of_no_interest() -> None:
    weather = Weather()
    harness = await called(weather)
    harness.engine.reply(1, "Let me see.")
    harness.frame_clock.tick(80)
    harness.conversation.submit(harness.peer, TextInput("never mind, what time is it"))
    await harness.settle()
    weather.result.set_result({"sky": "clear"})
    await harness.settle()
    assert [list(answer) for answer in harness.engine.answers] == [["error"]]
    await harness.leave()


@pytest.mark.parametrize(
    ("error", "message"),
    [(ToolError("No such place."), "No such place."), (ZeroDivisionError("a secret"), "weather failed.")],
)
async def test_a_tool_that_fails_is_answered_for_and_harms_nobody(error: Exception, message: str) -> None:
    weather = Weather()
    harness = await called(weather)
    weather.result.set_exception(error)
    await harness.settle()
    assert harness.engine.answers == [{"error": message}]
    assert not [event for event in harness.peer.events if isinstance(event, Fault)]
    await harness.leave()


@pytest.mark.parametrize("result", ["sunny", None, {1: "x"}, {"warmth": float("nan")}, {"at": object()}])
async def test_a_tool_that_returns_nonsense_is_answered_for(result: Any) -> None:
    harness = await enter(tools=(Tool("weather", "Say the weather.", NOTHING, lambda args, context: result),))
    harness.conversation.submit(harness.peer, TextInput("what is the weather"))
    await harness.settle()
    harness.engine.emit(ToolCall(1, "c1", "weather", {}))
    await harness.settle()
    assert harness.engine.answers == [{"error": "weather failed."}]
    await harness.leave()


async def test_a_tool_that_is_no_coroutine_may_fail_too() -> None:
    def fails(args: Mapping[str, object], context: ToolContext) -> Outcome:
        raise KeyError("place")

    harness = await enter(tools=(Tool("weather", "Say the weather.", NOTHING, fails),))
    harness.conversation.submit(harness.peer, TextInput("what is the weather"))
    await harness.settle()
    harness.engine.emit(ToolCall(1, "c1", "weather", {}))
    await harness.settle()
    assert harness.engine.answers == [{"error": "weather failed."}]
    await harness.leave()


async def test_nothing_is_shown_of_a_turn_that_was_interrupted_meanwhile() -> None:
    weather = Weather()
    harness = await called(weather)
    harness.conversation.submit(harness.peer, Interrupt())
    await harness.settle()
    weather.result.set_result(Pointer(1, (0, 0, 1, 1), "Save"))
    await harness.settle()
    assert harness.engine.answers == [{"error": "The user has interrupted."}]
    assert not [event for event in harness.peer.events if isinstance(event, Pointer)]
    await harness.leave()


async def test_a_tool_that_takes_too_long_is_answered_for() -> None:
    weather = Weather()
    harness = await called(weather, replace(weather.tool, seconds=0.01))
    await harness.until(lambda: bool(harness.engine.answers))
    assert harness.engine.answers == [{"error": "weather did not finish in 0.01 seconds."}]
    assert weather.result.cancelled()
    await harness.leave()


@pytest.mark.parametrize("event", [ToolCallCancelled(("c1",)), EngineDisconnected()])
async def test_a_call_that_nobody_waits_for_is_stopped(event: ToolCallCancelled | EngineDisconnected) -> None:
    weather = Weather()
    harness = await called(weather)
    harness.engine.emit(event)
    await harness.settle()
    assert weather.result.cancelled()
    assert not harness.engine.answers
    await harness.leave()


async def test_a_conversation_that_ends_takes_its_calls_along() -> None:
    weather = Weather()
    harness = await called(weather)
    await harness.leave()
    assert weather.result.cancelled()


async def test_a_function_nobody_has_is_refused_with_those_there_are() -> None:
    harness = await enter()
    harness.conversation.submit(harness.peer, TextInput("erase it all"))
    await harness.settle()
    harness.engine.emit(ToolCall(1, "c1", "erase", {}))
    await harness.settle()
    (answer,) = harness.engine.answers
    assert answer == {"error": "There is no function 'erase'; there are: point_at, show_steps."}
    await harness.leave()
