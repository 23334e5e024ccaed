"""A conversation on the true bridge and the true local engine, which breaks in every way at every point."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from mediaserver.localengine.fault_injection.spec import Close, FaultAction, InjectedFault, Status
from mediaserver.localengine.fault_points import FaultPoint
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LocalEngine
from pipeline.config import ConversationConfig
from pipeline.conversation.conversation import Conversation
from pipeline.engine import EngineConfig
from pipeline.errors import FaultCode
from pipeline.events import EndReason, Event, Fault, Pointer, TextInput, TurnEnded, TurnStarted
from pipeline.gemini.bridge import GeminiBridge, make_client
from pipeline.gemini.model_profiles import LOCAL
from pipeline.gemini.retry_policy import EngineTimeouts
from pipeline.media import AudioChunk, SpeechFrame
from pipeline.playout.frame_clock import FrameClock
from pipeline.tools.toolbox import Toolbox
from tests.support.conversation_harness import FakePeer, picture, speech, vad_model

SCRIPT = parse_script("""
rules:
  - when: {text: point}
    answer: [{call: {name: point_at, args: {box_2d: [1, 2, 3, 4], label: Save}}}, {say: There it is., seconds: 0.3}]
  - {when: spoken, heard: go forward, answer: [{say: Going forward now., seconds: 0.3}]}
  - {when: anything, answer: [{say: You have typed something., seconds: 0.3}]}
""")
HURRIED = EngineTimeouts(
    connect=0.6, close=0.2, response=0.4, slow_response=0.4, backoff=(0.01,), quota_backoff=(0.05, 0.05)
)

NETWORK, INTERNAL, PROTOCOL = FaultCode.ENGINE_NETWORK, FaultCode.ENGINE_INTERNAL, FaultCode.ENGINE_PROTOCOL
BREAKS: dict[str, tuple[Close | FaultAction, FaultCode]] = {
    "abort": (FaultAction.ABORT, NETWORK),
    "normal close": (Close(1000), NETWORK),
    "going away": (Close(1001), NETWORK),
    "expired": (Close(1011, "Deadline expired before operation could complete."), NETWORK),
    "internal": (Close(1011, "Internal error encountered."), INTERNAL),
    "invalid": (Close(1007, "Request contains an invalid argument."), PROTOCOL),
    "unsupported": (
        Close(1008, "Operation is not implemented, or supported, or enabled."),
        FaultCode.ENGINE_UNSUPPORTED_OP,
    ),
    "quota": (Close(1011, "You exceeded your current quota, please check."), FaultCode.ENGINE_QUOTA),
    "garbage": (FaultAction.GARBAGE, PROTOCOL),
    "unknown": (FaultAction.UNKNOWN, PROTOCOL),
    "stall": (FaultAction.STALL, FaultCode.ENGINE_STALLED),
}
OFTEN = {"abort", "garbage", "internal", "quota", "stall", "expired"}
"""What every run of the tests tries; the rest are closes like these, with other words."""
HARMLESS = {"no pong": FaultAction.NO_PONG, "huge": FaultAction.HUGE, "phantom": FaultAction.INTERRUPTED}
REFUSALS = {
    "bad key": (Close(1007, "API key not valid. Please pass a valid API key."), FaultCode.ENGINE_AUTH_INVALID),
    "no model": (Close(1008, "models/x is not found for API version v1beta"), FaultCode.ENGINE_MODEL_UNAVAILABLE),
}
QUIET = {NETWORK, INTERNAL, PROTOCOL}
"""What the user need not know of unless something is lost."""


@dataclass
class Stage:
    """One conversation and its engine."""

    engine: LocalEngine
    conversation: Conversation
    peer: FakePeer
    running: "asyncio.Task[EndReason]"

    def ask(self, text: str) -> None:
        self.conversation.submit(self.peer, TextInput(text))

    async def say(self) -> None:
        pcm = speech()
        for start in range(0, len(pcm), 640):
            self.conversation.push_audio(self.peer, AudioChunk(pcm[start : start + 640], 16_000, start / 32_000))
            await asyncio.sleep(0.001)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_so():
                await asyncio.sleep(0.005)

    def turns_heard(self) -> list[int]:
        return [event.turn for event in self.peer.events if isinstance(event, TurnEnded)]

    def faults(self) -> list[Fault]:
        return [event for event in self.peer.events if isinstance(event, Fault)]


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    async with LocalEngine(SCRIPT, vad=vad_model()) as engine:
        client = make_client(api_key="a key", base_url=engine.base_url, ssl_context=engine.client_ssl)
        config = EngineConfig(LOCAL, None, "en", "", "medium", Toolbox().tools)
        conversation = Conversation(
            ConversationConfig("id1", "label", "local", LOCAL, None, "en", 600.0, 3600.0, timed_transcript=True),
            vad=vad_model(),
            frame_clock=FrameClock(),
            toolbox=Toolbox(),
            make_bridge=lambda listener: GeminiBridge(client, config, listener=listener, timeouts=HURRIED),
        )
        peer = FakePeer()
        conversation.attach(peer)
        stage = Stage(engine, conversation, peer, asyncio.create_task(conversation.run()))
        yield stage
        conversation.end(EndReason.CLIENT)
        await stage.running
        await stage.until(lambda: engine.sessions == 0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left


async def reach(stage: Stage, point: FaultPoint) -> None:
    """Do what brings the engine to this point, and wait for nothing."""
    if point is FaultPoint.LISTENING:
        await stage.say()
    elif point is FaultPoint.TOOL:
        stage.conversation.push_frame(stage.peer, picture())
        stage.ask("point at save")
    else:
        stage.ask("hello")


def assert_silence_after_every_fault(log: list[Event | SpeechFrame]) -> None:
    """From each fault on nothing is heard until a turn starts."""
    is_silent = False
    for item in log:
        is_silent = (is_silent or isinstance(item, Fault)) and not isinstance(item, TurnStarted)
        assert not (is_silent and isinstance(item, SpeechFrame))


def expected(kind: str, code: FaultCode, point: FaultPoint) -> list[FaultCode]:
    """Which faults the client is told."""
    if point is FaultPoint.SETUP:
        # A session that was never made: the client learns of it, and the question waits.
        return [{"invalid": FaultCode.ENGINE_CONFIG_REDUCED, "stall": NETWORK}.get(kind, code)]
    if point in (FaultPoint.SPEAKING, FaultPoint.TOOL):
        return [code]  # the answer is cut
    return [] if code in QUIET else [code]


@pytest.mark.parametrize(
    "point",
    [
        FaultPoint.SETUP,
        FaultPoint.READY,
        FaultPoint.LISTENING,
        FaultPoint.THINKING,
        FaultPoint.SPEAKING,
        FaultPoint.TOOL,
        FaultPoint.IDLE,
    ],
)
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[] if kind in OFTEN else pytest.mark.acceptance) for kind in sorted(BREAKS)]
)
async def test_a_session_that_breaks_is_told_rightly_falls_silent_and_is_replaced(kind: str, point: FaultPoint) -> None:
    act, code = BREAKS[kind]
    async with staged() as stage:
        if point is FaultPoint.IDLE:
            stage.ask("hello")
            await stage.until(lambda: bool(stage.turns_heard()))
        elif point not in (FaultPoint.SETUP, FaultPoint.READY):
            await stage.until(lambda: stage.engine.sessions == 1)
        injected = stage.engine.inject(InjectedFault(act, point))
        await reach(stage, point)
        async with asyncio.timeout(10):
            await injected.happened.wait()
        if point in (FaultPoint.SPEAKING, FaultPoint.TOOL):
            await stage.until(lambda: bool(stage.faults()))
        elif point is not FaultPoint.IDLE:
            await stage.until(lambda: bool(stage.turns_heard()))  # what was asked is answered by the next session
        before = len(stage.turns_heard())
        stage.ask("still there")
        await stage.until(lambda: len(stage.turns_heard()) > before)
        recorder = stage.faults()
    assert [fault.code for fault in recorder] == expected(kind, code, point)
    assert not any(fault.fatal for fault in recorder)
    assert all(fault.message for fault in recorder)
    assert_silence_after_every_fault(stage.peer.log)


@pytest.mark.parametrize(
    "point",
    [
        FaultPoint.READY,
        FaultPoint.LISTENING,
        FaultPoint.THINKING,
        FaultPoint.SPEAKING,
        FaultPoint.TOOL,
        FaultPoint.IDLE,
    ],
)
@pytest.mark.parametrize("kind", sorted(HARMLESS))
async def test_what_a_client_should_bear_is_borne(kind: str, point: FaultPoint) -> None:
    async with staged() as stage:
        await stage.until(lambda: stage.engine.sessions == 1)
        injected = stage.engine.inject(InjectedFault(HARMLESS[kind], point))
        await reach(stage, point)
        stage_turns = stage.turns_heard
        await stage.until(lambda: bool(stage_turns()))
        if point is FaultPoint.READY:
            return  # it was ready before: this waits for a further session, which nobody needs
        assert injected.count == 1
    assert not stage.faults()


@pytest.mark.parametrize(
    "point",
    [
        FaultPoint.SETUP,
        FaultPoint.READY,
        FaultPoint.LISTENING,
        FaultPoint.THINKING,
        FaultPoint.SPEAKING,
        FaultPoint.IDLE,
    ],
)
@pytest.mark.parametrize("kind", sorted(REFUSALS))
async def test_what_cannot_be_helped_ends_the_conversation_cleanly(kind: str, point: FaultPoint) -> None:
    act, code = REFUSALS[kind]
    async with staged() as stage:
        injected = stage.engine.inject(InjectedFault(act, point))
        await reach(stage, point)
        async with asyncio.timeout(10):
            assert await stage.running is EndReason.ERROR
        assert injected.count == 1
    assert [(fault.code, fault.fatal) for fault in stage.faults()] == [(code, True)]
    assert_silence_after_every_fault(stage.peer.log)


@pytest.mark.parametrize(
    ("status", "codes", "reason"),
    [
        (400, [FaultCode.ENGINE_CONFIG_REDUCED], EndReason.CLIENT),
        (401, [FaultCode.ENGINE_AUTH_INVALID], EndReason.ERROR),
        (403, [FaultCode.ENGINE_AUTH_INVALID], EndReason.ERROR),
        (404, [FaultCode.ENGINE_MODEL_UNAVAILABLE], EndReason.ERROR),
        (429, [FaultCode.ENGINE_QUOTA], EndReason.CLIENT),
        (500, [INTERNAL], EndReason.CLIENT),
        (503, [INTERNAL], EndReason.CLIENT),
    ],
)
async def test_an_upgrade_that_is_refused_is_told_and_tried_again_where_that_helps(
    status: int, codes: list[FaultCode], reason: EndReason
) -> None:
    async with staged() as stage:
        stage.engine.inject(InjectedFault(Status(status), FaultPoint.UPGRADE))
        stage.ask("hello")
        await stage.until(lambda: bool(stage.turns_heard()) or stage.running.done())
        stage.conversation.end(EndReason.CLIENT)
        assert await stage.running is reason
    assert [fault.code for fault in stage.faults()] == codes


async def test_an_engine_that_never_comes_back_ends_the_conversation() -> None:
    async with staged() as stage:
        await stage.until(lambda: stage.engine.sessions == 1)
        stage.engine.inject(InjectedFault(Status(503), FaultPoint.UPGRADE, times=100))
        stage.engine.inject(InjectedFault(FaultAction.ABORT, FaultPoint.SPEAKING))
        stage.ask("hello")
        async with asyncio.timeout(10):
            assert await stage.running is EndReason.ERROR
    # A fault that lasts is told once at each step: the answer cut, then given up.
    assert [(fault.code, fault.fatal) for fault in stage.faults()] == [
        (NETWORK, False),
        (FaultCode.ENGINE_FAILED, True),
    ]


async def test_a_handle_that_is_refused_is_not_noticed() -> None:
    async with staged() as stage:
        stage.ask("hello")
        await stage.until(lambda: bool(stage.turns_heard()))
        refused = stage.engine.inject(
            InjectedFault(Close(1008, "BidiGenerateContent session not found"), FaultPoint.RESUME)
        )
        stage.engine.inject(InjectedFault(FaultAction.ABORT, FaultPoint.IDLE))
        stage.ask("again")
        await stage.until(lambda: len(stage.turns_heard()) == 2)
        stage.ask("and again")
        await stage.until(lambda: len(stage.turns_heard()) == 3)
    assert refused.count == 1
    assert not stage.faults()


async def test_an_early_end_of_a_turn_loses_nothing_of_the_answer() -> None:
    async with staged() as stage:
        await stage.until(lambda: stage.engine.sessions == 1)
        stage.engine.inject(InjectedFault(FaultAction.TURN_COMPLETE, FaultPoint.SPEAKING))
        stage.ask("hello")
        await stage.until(lambda: sum(isinstance(item, SpeechFrame) for item in stage.peer.log) >= 15)
    assert not stage.faults()


async def test_a_box_is_drawn_before_its_answer_has_been_heard() -> None:
    async with staged() as stage:
        await reach(stage, FaultPoint.TOOL)
        await stage.until(lambda: bool(stage.turns_heard()))
    kinds = [type(event) for event in stage.peer.events if isinstance(event, Pointer | TurnEnded)]
    assert kinds == [Pointer, TurnEnded]
