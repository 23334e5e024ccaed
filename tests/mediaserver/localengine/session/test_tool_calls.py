"""Functions of the client, called as Gemini Live calls them (statement 23)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.genai import types
from google.genai.live import AsyncSession

from mediaserver.localengine.protocol.messages import Behavior, FunctionResponse
from mediaserver.localengine.protocol.model_rules import is_blocking
from mediaserver.localengine.responder.interface import Call
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LocalEngine
from mediaserver.localengine.session.tool_calls import PendingToolCalls
from pipeline.audio.vad import VadModel
from tests.support.live_client import closing, dial, kinds, open_session, setup, speak, turn, until

SCRIPT = parse_script("""
rules:
  - {when: {text: twice}, answer: [{call: {name: f, args: {n: 1}}}, {call: {name: f}}, {say: Both., seconds: 0.2}]}
  - {when: {text: endless}, answer: [{call: {name: f}}, {say: on and on, seconds: 600}]}
  - {when: spoken, heard: hello, answer: [{say: I hear you., seconds: 0.2}]}
  - {when: anything, answer: [{call: {name: f}}, {say: Here., seconds: 0.2}]}
""")
HERE = ["out:Here. ", "audio", "generation_complete", "turn_complete"]


@pytest.fixture
async def engine(vad: VadModel) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(SCRIPT, vad=vad) as engine:
        yield engine


def declared(behavior: str | None = None) -> list[dict[str, object]]:
    return [{"function_declarations": [{"name": "f", "behavior": behavior} if behavior else {"name": "f"}]}]


async def call_of(session: AsyncSession) -> types.FunctionCall:
    message = await until(session, "call")
    assert message.tool_call is not None
    (call,) = message.tool_call.function_calls or []
    return call


async def answer(session: AsyncSession, call_id: str | None, scheduling: str | None = None) -> None:
    wanted = types.FunctionResponseScheduling(scheduling) if scheduling else None
    response = types.FunctionResponse(id=call_id, name="f", response={"ok": True}, scheduling=wanted)
    await session.send_tool_response(function_responses=response)


async def test_no_two_calls_have_the_same_id(engine: LocalEngine) -> None:
    ids: list[str | None] = []
    for _ in range(2):
        async with open_session(engine, tools=declared()) as session:
            for _ in range(2):
                await session.send_realtime_input(text="twice")
                ids += [(await call_of(session)).id, (await call_of(session)).id]
                assert (await turn(session))[-1] == "turn_complete"
    assert len(ids) == len(set(ids)) == 8
    assert None not in ids


async def test_a_non_blocking_call_does_not_hold_up_what_is_said(engine: LocalEngine) -> None:
    async with open_session(engine, tools=declared("NON_BLOCKING")) as session:
        await session.send_realtime_input(text="hi")
        await call_of(session)
        assert await turn(session) == HERE


async def test_a_silent_response_stays_unspoken(engine: LocalEngine) -> None:
    async with open_session(engine, tools=declared("NON_BLOCKING")) as session:
        await session.send_realtime_input(text="hi")
        call = await call_of(session)
        assert await turn(session) == HERE
        await answer(session, call.id, "SILENT")
        await speak(session)  # whose answer is the next thing that is said
        assert await turn(session) == ["in:hello", *(await expected_of(engine))]


async def expected_of(engine: LocalEngine) -> list[str]:
    """What is said to an utterance when nothing went before."""
    async with open_session(engine) as session:
        await speak(session)
        return (await turn(session))[1:]


@pytest.mark.parametrize(
    ("model", "behavior"),
    [("local", "BLOCKING"), ("gemini-3.8-live", "BLOCKING"), ("gemini-3.1-flash-live-preview", None)],
)
async def test_a_blocking_call_silences_the_answer_until_it_is_answered(
    engine: LocalEngine, model: str, behavior: str | None
) -> None:
    async with open_session(engine, model=model, tools=declared(behavior)) as session:
        await session.send_realtime_input(text="hi")
        call = await call_of(session)
        rest = asyncio.create_task(turn(session))
        await answer(session, "unknown")
        await (await session._ws.ping())
        await asyncio.wait({rest}, timeout=0.7)  # longer than the answer takes
        assert not rest.done()
        await answer(session, call.id)
        assert await rest == HERE


async def test_an_answer_to_no_call_or_to_an_answered_one_is_ignored(engine: LocalEngine) -> None:
    async with open_session(engine, tools=declared("BLOCKING")) as session:
        await session.send_realtime_input(text="twice")
        first = await call_of(session)
        await answer(session, "unknown")
        await answer(session, first.id)
        second = await call_of(session)
        await answer(session, first.id)  # again: the second is still open
        await session.send_realtime_input(activity_start=types.ActivityStart())
        message = await until(session, "cancelled")
        assert message.tool_call_cancellation is not None
        assert message.tool_call_cancellation.ids == [second.id]


@pytest.mark.parametrize("behavior", ["BLOCKING", "NON_BLOCKING"])
async def test_speaking_over_an_answer_takes_its_open_calls_back(engine: LocalEngine, behavior: str) -> None:
    async with open_session(engine, tools=declared(behavior)) as session:
        await session.send_realtime_input(text="endless")
        call = await call_of(session)
        await session.send_realtime_input(activity_start=types.ActivityStart())
        heard: list[str] = []
        async for message in session.receive():
            heard += kinds(message)
            if message.tool_call_cancellation is not None:
                assert message.tool_call_cancellation.ids == [call.id]
        assert heard[-3:] == ["interrupted", "cancelled", "turn_complete"]
        await answer(session, call.id)  # too late, which is no error
        await session.send_realtime_input(activity_end=types.ActivityEnd())
        assert (await turn(session))[-1] == "turn_complete"


async def test_text_takes_the_place_of_an_answer_that_waits_for_its_function(engine: LocalEngine) -> None:
    async with open_session(engine, tools=declared("BLOCKING")) as session:
        await session.send_realtime_input(text="hi")
        await call_of(session)
        await session.send_realtime_input(text="hi again")
        assert await turn(session) == ["interrupted", "cancelled", "turn_complete"]
        await answer(session, (await call_of(session)).id)
        assert await turn(session) == HERE


async def test_functions_can_be_taken_away_in_mid_session(engine: LocalEngine) -> None:
    async with open_session(engine, tools=declared()) as session:
        await session._ws.send('{"contextUpdate": {"tools": {"tools": []}}}')
        await session.send_realtime_input(text="hi")
        assert await turn(session) == HERE


async def test_a_behavior_that_is_none_is_refused(engine: LocalEngine) -> None:
    async with dial(engine) as peer:
        await peer.send(setup(tools=[{"functionDeclarations": [{"name": "f", "behavior": "SOMETIMES"}]}]))
        code, reason = await closing(peer)
    assert code == 1007
    assert "behavior" in reason


@pytest.mark.parametrize(
    ("model", "blocking"),
    [
        ("local", [Behavior.BLOCKING]),
        ("gemini-3.8-live", [Behavior.BLOCKING]),
        ("models/gemini-3.8-live-extended-thinking", []),
        ("gemini-3.1-flash-live-preview", list(Behavior)),
        ("gemini-2.5-flash-native-audio-preview-12-2025", [Behavior.UNSPECIFIED, Behavior.BLOCKING]),
    ],
)
def test_each_model_waits_for_functions_in_its_own_way(model: str, blocking: list[Behavior]) -> None:
    assert [behavior for behavior in Behavior if is_blocking(model, behavior)] == blocking


async def test_whoever_waits_for_a_call_goes_on_when_it_is_taken_back() -> None:
    calls = PendingToolCalls("c")
    call = calls.open(Call("f", {}))
    waiting = asyncio.create_task(calls.answered(call.id))
    await asyncio.sleep(0)
    assert calls.are_open
    assert calls.cancel() == (call.id,)
    await waiting
    assert not calls.are_open
    assert not calls.settle(FunctionResponse(name, {}, None) for name in (call.id, None, "unknown"))
    await calls.answered("unknown")
