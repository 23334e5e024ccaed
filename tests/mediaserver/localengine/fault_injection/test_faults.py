"""Faults on order, with which clients are tested (statement 29)."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from google.genai import errors, types
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from mediaserver.localengine.fault_injection import spec as faults
from mediaserver.localengine.fault_injection.faulty_socket import HUGE
from mediaserver.localengine.fault_injection.spec import (
    HEADER,
    Close,
    FaultAction,
    FaultError,
    Faults,
    InjectedFault,
    Status,
    parse_faults,
)
from mediaserver.localengine.fault_points import FaultPoint
from mediaserver.localengine.protocol.codec import SESSION_NOT_FOUND
from mediaserver.localengine.protocol.messages import FunctionDeclaration, Setup
from mediaserver.localengine.responder.interface import Responder
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LocalEngine
from mediaserver.localengine.session.session import EngineSession
from pipeline.audio.vad import VadModel
from tests.support.live_client import closing, dial, kinds, open_session, reply, setup, speak, turn, until
from tests.support.virtual_time import run_fast

SCRIPT = parse_script("""
rules:
  - {when: spoken, heard: hello, answer: [{call: {name: f}}, {say: Hello to you., seconds: 0.8}]}
  - {when: anything, answer: [{say: You typed., seconds: 0.4}]}
""")
TOOLS = [{"function_declarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}]
ANSWER_TO_TEXT = ["out:You ", "audio", "out:typed. ", "audio", "generation_complete", "turn_complete"]
WITHIN = [point for point in FaultPoint if point not in (FaultPoint.UPGRADE, FaultPoint.RESUME)]


@pytest.fixture
async def engine(vad: VadModel) -> AsyncIterator[LocalEngine]:
    async with LocalEngine(SCRIPT, vad=vad, takes_faults=True) as engine:
        yield engine


# The grammar.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abort at=idle", (InjectedFault(FaultAction.ABORT, FaultPoint.IDLE),)),
        ("at=idle abort", (InjectedFault(FaultAction.ABORT, FaultPoint.IDLE),)),
        ("close=1011 at=speaking", (InjectedFault(Close(1011), FaultPoint.SPEAKING),)),
        (
            'close=4000 at=setup reason="so; it=is" times=3 skip=2 id=x',
            (InjectedFault(Close(4000, "so; it=is"), FaultPoint.SETUP, 3, 2),),
        ),
        ("close=1000 at=tool reason=short", (InjectedFault(Close(1000, "short"), FaultPoint.TOOL),)),
        ("status=503", (InjectedFault(Status(503), FaultPoint.UPGRADE),)),
        ("status=429 at=upgrade times=2;", (InjectedFault(Status(429), FaultPoint.UPGRADE, 2),)),
        ("refuse", (InjectedFault(Close(1008, SESSION_NOT_FOUND), FaultPoint.RESUME),)),
        ("stall at=upgrade", (InjectedFault(FaultAction.STALL, FaultPoint.UPGRADE),)),
        (
            " interrupted at=speaking ; stall at=speaking",
            (
                InjectedFault(FaultAction.INTERRUPTED, FaultPoint.SPEAKING),
                InjectedFault(FaultAction.STALL, FaultPoint.SPEAKING),
            ),
        ),
    ],
)
def test_an_order_says_what_happens_where_and_how_often(text: str, expected: tuple[InjectedFault, ...]) -> None:
    assert parse_faults(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", ";", "abort", "at=idle", "abort at=nowhere", "explode at=idle", "abort at=idle; ; stall at=idle"),
        *("abort stall at=idle", "abort abort at=idle", "abort=1 at=idle", "abort at=idle at=tool", "Abort at=idle"),
        *("close at=idle", "close=1005 at=idle", "close=1006 at=idle", "close=x at=idle", "close=99999999 at=idle"),
        *("status=200", "status=503 at=idle", "status=599", "close=1011 at=upgrade", "garbage at=upgrade"),
        *("refuse at=setup", "abort at=idle reason=x", "abort at=idle times=0", "abort at=idle times=-1"),
        *("abort at=idle skip=x", 'close=1011 at=idle reason="open', 'close=1011 at=idle reason="a"b', "abort,at=idle"),
        f"close=1011 at=idle reason={'x' * 124}",
    ],
)
def test_nonsense_is_refused_with_what_is_accepted(text: str) -> None:
    with pytest.raises(FaultError, match=r"Accepted: one of status.*close.*stall.*at=upgrade\|.*times.*skip"):
        parse_faults(text)


@given(st.text())
@example("a" * 100_000)
@example(";" * 10_000)
def test_any_text_is_an_order_or_a_fault_error(text: str) -> None:
    with contextlib.suppress(FaultError):
        parse_faults(text)


WORDS = st.sampled_from(
    [
        *(act.value for act in FaultAction),
        *(f"at={point}" for point in FaultPoint),
        *("close=1011", "status=503", "refuse", "times=2", "skip=1", 'reason="x y"', "reason=", "id=a", ";", "=", '"'),
    ]
)


@given(st.lists(WORDS, max_size=8))
def test_any_words_are_an_order_or_a_fault_error(words: list[str]) -> None:
    with contextlib.suppress(FaultError):
        for fault in parse_faults(" ".join(words)):
            assert isinstance(fault, InjectedFault)


def test_the_documentation_names_every_act_and_every_point() -> None:
    assert faults.__doc__ is not None
    named = {line.split()[0].partition("=")[0] for line in faults.__doc__.splitlines() if line.startswith("    ")}
    assert {"status", "close", "refuse", *FaultAction, *FaultPoint} <= named


# Counts and rates.


def test_a_fault_happens_as_often_as_was_ordered_after_what_is_skipped() -> None:
    ordered = Faults()
    ordered.schedule("abort at=idle times=2 skip=1")
    happened = [list(ordered.due(FaultPoint.IDLE, "abort at=idle times=2 skip=1")) for _ in range(5)]
    assert [len(found) for found in happened] == [0, 1, 1, 0, 0]


def test_a_fault_happens_at_its_point_to_those_who_ordered_it() -> None:
    ordered = Faults()
    ordered.schedule("abort at=idle")
    assert list(ordered.due(FaultPoint.TOOL, "abort at=idle")) == []
    assert list(ordered.due(FaultPoint.IDLE, "")) == []
    assert list(ordered.due(FaultPoint.IDLE, "abort at=idle id=2")) == []
    assert list(ordered.due(FaultPoint.IDLE, "abort at=idle")) == [InjectedFault(FaultAction.ABORT, FaultPoint.IDLE)]


def test_what_is_counted_of_orders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "MAX_HEADERS", 2)
    ordered = Faults()
    for number in range(3):
        ordered.schedule(f"abort at=idle id={number}")
    assert [len(list(ordered.due(FaultPoint.IDLE, f"abort at=idle id={number}"))) for number in range(3)] == [0, 1, 1]


def test_what_was_injected_happens_to_anybody_and_says_so() -> None:
    ordered = Faults()
    injection = ordered.inject(InjectedFault(FaultAction.ABORT, FaultPoint.IDLE, times=2))
    assert not injection.happened.is_set()
    assert len(list(ordered.due(FaultPoint.IDLE, ""))) == 1
    assert injection.happened.is_set()
    assert injection.count == 1
    assert len(list(ordered.due(FaultPoint.IDLE, "abort at=tool"))) == 1
    assert list(ordered.due(FaultPoint.IDLE, "")) == []


# Where: with a client whose every move has its time.


class Script:
    """A client that speaks once and types once; notes everything that happens, in order."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    async def send(self, message: bytes, /) -> None:
        body = json.loads(message)
        names = [*body.get("serverContent", {}), *(name for name in body if name != "serverContent")]
        self.happened.append(names[0])

    async def reached(self, point: FaultPoint) -> None:
        self.happened.append(f"<{point}>")

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        for name in ("activityStart", "activityEnd"):
            await asyncio.sleep(5)
            self.happened.append(f"> {name}")
            yield json.dumps({"realtimeInput": {name: {}}})
        await asyncio.sleep(5)
        self.happened.append("> text")
        yield json.dumps({"realtimeInput": {"text": "hi"}})
        await asyncio.sleep(5)


def test_each_point_stands_where_it_is_said_to_stand() -> None:
    client = Script()
    wanted = Setup("models/local", functions={"f": FunctionDeclaration()}, transcribe_input=True)
    responder: Responder = SCRIPT

    async def converse() -> None:
        await EngineSession(client, wanted, responder, None, reached=client.reached).run()

    run_fast(converse())
    answer = ["modelTurn", "<speaking>", "modelTurn", "modelTurn", "modelTurn"]
    assert client.happened == [
        *("<setup>", "setupComplete", "<ready>", "> activityStart", "<listening>", "> activityEnd", "<thinking>"),
        *("inputTranscription", "toolCall", "<tool>", *answer, "generationComplete", "turnComplete", "<idle>"),
        *("> text", "<thinking>", *answer[:3], "generationComplete", "turnComplete", "<idle>"),
    ]


# Kinds of faults, with the official client.


@pytest.mark.parametrize("point", WITHIN)
async def test_a_close_at_any_point_reaches_the_sdk_with_its_code_and_reason(
    engine: LocalEngine, point: FaultPoint
) -> None:
    headers = {HEADER: f'close=1011 at={point} reason="Internal error encountered."'}
    with pytest.raises(errors.APIError, match="Internal error encountered") as caught:  # noqa: PT012
        async with open_session(engine, headers=headers, tools=TOOLS) as session:
            assert point is not FaultPoint.SETUP
            await speak(session)
            while True:
                await turn(session)
    assert caught.value.code == 1011


@pytest.mark.parametrize("point", WITHIN)
async def test_an_abort_at_any_point_is_an_abnormal_closure(engine: LocalEngine, point: FaultPoint) -> None:
    with pytest.raises(errors.APIError) as caught:  # noqa: PT012
        async with open_session(engine, headers={HEADER: f"abort at={point}"}, tools=TOOLS) as session:
            with contextlib.suppress(ConnectionClosed):
                await speak(session)
            while True:
                await turn(session)
    assert caught.value.code == 1006


STALLED = {
    FaultPoint.READY: [],
    FaultPoint.LISTENING: [],
    FaultPoint.THINKING: [],
    FaultPoint.TOOL: ["in:hello", "call"],
    FaultPoint.SPEAKING: ["in:hello", "call", "out:Hello ", "audio"],
}


@pytest.mark.parametrize("point", sorted(STALLED))
async def test_a_stalled_engine_says_nothing_more_though_it_still_hears_and_answers_pings(
    engine: LocalEngine, point: FaultPoint
) -> None:
    order = f'stall at={point}; close=1011 at=idle reason="the turn is over"'
    async with open_session(engine, headers={HEADER: order}, tools=TOOLS) as session:
        await speak(session)
        await (await session._ws.ping())
        heard: list[str] = []
        with pytest.raises(errors.APIError, match="the turn is over"):  # noqa: PT012
            async for message in session.receive():
                heard += kinds(message)
        assert heard == STALLED[point]


async def test_an_engine_that_stalls_after_a_turn_leaves_the_next_question_unanswered(engine: LocalEngine) -> None:
    order = 'stall at=idle; close=1011 at=idle skip=1 reason="the turn is over"'
    async with open_session(engine, headers={HEADER: order}) as session:
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ANSWER_TO_TEXT
        await session.send_realtime_input(text="hi")
        with pytest.raises(errors.APIError, match="the turn is over"):
            assert await turn(session) == []


async def test_a_stall_before_setup_complete_leaves_the_sdk_waiting(engine: LocalEngine) -> None:
    injection = engine.inject(InjectedFault(FaultAction.STALL, FaultPoint.SETUP))

    async def connect() -> None:
        async with open_session(engine):
            raise AssertionError("the session is ready")

    waiting = asyncio.create_task(connect())
    await injection.happened.wait()
    async with open_session(engine):  # somebody who came later is let in
        assert not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})


async def test_without_pongs_everything_else_goes_on(engine: LocalEngine) -> None:
    headers = {HEADER: "no-pong at=ready"}
    async with dial(engine, headers=headers, ping_interval=0.1, ping_timeout=0.9) as peer:
        await peer.send(setup())
        await peer.send('{"realtimeInput": {"text": "hi"}}')
        seen = []
        with pytest.raises(ConnectionClosed):  # noqa: PT012
            while True:
                seen.append(await reply(peer))
        assert peer.protocol.close_sent is not None
        assert peer.protocol.close_sent.reason == "keepalive ping timeout"
        assert any("serverContent" in message for message in seen)


@pytest.mark.parametrize(
    ("act", "error"),
    [(FaultAction.GARBAGE, ValueError), (FaultAction.UNKNOWN, TypeError)],
)
@pytest.mark.parametrize("point", WITHIN)
async def test_what_is_no_message_breaks_the_sdk_as_it_would(
    engine: LocalEngine, act: FaultAction, error: type[Exception], point: FaultPoint
) -> None:
    if act is FaultAction.UNKNOWN and point is FaultPoint.SETUP:
        return  # the SDK takes whatever comes first for the end of the setup
    with pytest.raises(error):  # noqa: PT012
        async with open_session(engine, headers={HEADER: f"{act} at={point}"}, tools=TOOLS) as session:
            await speak(session)
            while True:
                await turn(session)


@pytest.mark.parametrize("point", [FaultPoint.READY, FaultPoint.SPEAKING])
async def test_a_message_of_two_mebibytes_is_too_long_for_a_client_with_the_usual_limit(
    engine: LocalEngine, point: FaultPoint
) -> None:
    with pytest.raises(errors.APIError) as caught:  # noqa: PT012
        async with open_session(engine, headers={HEADER: f"huge at={point}"}) as session:
            with contextlib.suppress(ConnectionClosed):
                await speak(session)
            while True:
                await turn(session)
    assert caught.value.code == 1006  # the SDK's words for having closed with 1009 itself


async def test_a_client_with_a_higher_limit_reads_the_long_message_as_a_thought(engine: LocalEngine) -> None:
    async with dial(engine, headers={HEADER: "huge at=ready"}) as peer:
        await peer.send(setup())
        await reply(peer)
        frame = await peer.recv()
    assert len(frame) == HUGE
    read = types.LiveServerMessage.model_validate_json(frame)
    assert read.server_content is not None
    assert read.server_content.model_turn is not None
    assert read.server_content.model_turn.parts is not None
    assert read.server_content.model_turn.parts[0].thought


async def test_a_phantom_interruption_cuts_nothing(engine: LocalEngine) -> None:
    async with open_session(engine, headers={HEADER: "interrupted at=speaking"}) as session:
        await session.send_realtime_input(text="hi")
        assert await turn(session) == [*ANSWER_TO_TEXT[:2], "interrupted", *ANSWER_TO_TEXT[2:]]


async def test_an_early_end_of_the_turn_is_followed_by_the_rest_of_it(engine: LocalEngine) -> None:
    async with open_session(engine, headers={HEADER: "turn-complete at=speaking"}) as session:
        await session.send_realtime_input(text="hi")
        assert await turn(session) == [*ANSWER_TO_TEXT[:2], "turn_complete"]
        assert await turn(session) == ANSWER_TO_TEXT[2:]


async def test_several_faults_happen_in_their_order(engine: LocalEngine) -> None:
    order = 'interrupted at=speaking; turn-complete at=speaking; close=1011 at=speaking reason="gone"'
    async with open_session(engine, headers={HEADER: order}) as session:
        await session.send_realtime_input(text="hi")
        assert await turn(session) == [*ANSWER_TO_TEXT[:2], "interrupted", "turn_complete"]
        with pytest.raises(errors.APIError, match="gone"):
            await turn(session)


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500, 503])
async def test_an_upgrade_is_refused_with_a_status(engine: LocalEngine, code: int) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with open_session(engine, headers={HEADER: f"status={code}"}):
            pass
    assert caught.value.response.status_code == code
    async with open_session(engine, headers={HEADER: f"status={code}"}):
        pass  # once is what was ordered


async def test_an_upgrade_is_aborted(engine: LocalEngine) -> None:
    with pytest.raises(InvalidMessage):
        await dial(engine, headers={HEADER: "abort at=upgrade"})


async def test_an_upgrade_is_left_unanswered(engine: LocalEngine) -> None:
    injection = engine.inject(InjectedFault(FaultAction.STALL, FaultPoint.UPGRADE))
    dialing = asyncio.ensure_future(dial(engine).__aenter__())
    await injection.happened.wait()
    async with open_session(engine):  # somebody who came later is let in
        assert not dialing.done()
    dialing.cancel()
    await asyncio.wait({dialing})


async def test_a_good_handle_is_refused_as_often_as_ordered(engine: LocalEngine) -> None:
    async with open_session(engine, session_resumption={}) as session:
        update = (await until(session, "resumable")).session_resumption_update
        assert update is not None
    resumption = {"handle": update.new_handle}
    for order in ("refuse times=2", "refuse times=2", 'close=1011 at=resume reason="Internal error encountered."'):
        with pytest.raises(errors.APIError) as caught:
            async with open_session(engine, headers={HEADER: order}, session_resumption=resumption):
                pass
        assert caught.value.code == (1008 if "refuse" in order else 1011)
    async with open_session(engine, headers={HEADER: "refuse times=2"}, session_resumption=resumption):
        pass
    async with open_session(engine, headers={HEADER: "refuse id=fresh"}, session_resumption={}):
        pass  # who brings no handle is not refused one


async def test_who_comes_back_with_the_same_header_is_spared(engine: LocalEngine) -> None:
    headers = {HEADER: "close=1011 at=ready"}
    async with open_session(engine, headers=headers) as session:
        with pytest.raises(errors.APIError):
            await turn(session)
    async with open_session(engine, headers=headers) as session:
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ANSWER_TO_TEXT


async def test_a_later_turn_can_be_chosen(engine: LocalEngine) -> None:
    async with open_session(engine, headers={HEADER: "close=1011 at=thinking skip=1"}) as session:
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ANSWER_TO_TEXT
        await session.send_realtime_input(text="hi")
        with pytest.raises(errors.APIError):
            await turn(session)


async def test_several_headers_are_one_order(engine: LocalEngine) -> None:
    async with dial(engine, headers={HEADER: "interrupted at=ready", HEADER.title(): "abort at=ready"}) as peer:
        await peer.send(setup())
        await reply(peer)
        assert await reply(peer) == {"serverContent": {"interrupted": True}}
        assert (await closing(peer))[0] == 1006


async def test_a_nonsensical_order_is_a_bad_request_that_names_what_is_accepted(engine: LocalEngine) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await dial(engine, headers={HEADER: "explode at=once"})
    response = caught.value.response
    assert response.status_code == 400
    assert b"x-engine-fault" in (response.body or b"")
    assert b"Accepted: one of status" in (response.body or b"")


@pytest.mark.parametrize("order", ["close=1011 at=ready", "status=503", "explode at=once"])
async def test_nobody_orders_faults_unless_they_are_turned_on(vad: VadModel, order: str) -> None:
    async with LocalEngine(SCRIPT, vad=vad) as engine, open_session(engine, headers={HEADER: order}) as session:
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ANSWER_TO_TEXT


async def test_a_fault_from_within_needs_no_permission_and_reaches_a_session_that_is_open(vad: VadModel) -> None:
    async with LocalEngine(SCRIPT, vad=vad) as engine, open_session(engine) as session:
        await session.send_realtime_input(text="hi")
        assert await turn(session) == ANSWER_TO_TEXT
        injection = engine.inject(InjectedFault(Close(1011, "gone"), FaultPoint.SPEAKING))
        await session.send_realtime_input(text="hi")
        with pytest.raises(errors.APIError, match="gone"):
            await turn(session)
        assert injection.count == 1
