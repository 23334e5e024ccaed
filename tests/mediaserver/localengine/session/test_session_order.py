"""What the server says stays in order whatever the client does when; time is virtual."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mediaserver.localengine.protocol.messages import FunctionDeclaration, Setup
from mediaserver.localengine.responder.interface import Call, Memory, Question, Recognition, Responder, Speech
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.session.resumption import Handles, SessionConnection
from mediaserver.localengine.session.session import EngineSession
from tests.support.virtual_time import run_fast

SCRIPT = parse_script("""
rules:
  - when: spoken
    heard: hello
    answer: [{call: {name: f}}, {say: hello to you, seconds: 1}, delay: 1, {say: bye, seconds: 0.3}]
  - {when: typed, answer: [delay: 0.3, {say: you typed, seconds: 2}, {call: {name: f}}]}
""")
CLIENT: dict[str, dict[str, object]] = {
    "start": {"realtimeInput": {"activityStart": {}}},
    "audio": {"realtimeInput": {"audio": {"data": "AAAA", "mimeType": "audio/pcm"}}},
    "end": {"realtimeInput": {"activityEnd": {}}},
    "text": {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "hi"}]}], "turnComplete": True}},
    "note": {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "note"}]}]}},
    "answer": {"toolResponse": {"functionResponses": [{"id": "unknown", "name": "f", "response": {}}]}},
}
ACTS = st.lists(
    st.tuples(st.sampled_from(sorted(CLIENT)), st.sampled_from([0.0, 0.0, 0.05, 0.4, 1.5, 4.0])), max_size=25
)


class Client:
    """A socket whose client acts at set times, then listens until all is said, then leaves."""

    def __init__(self, acts: list[tuple[str, float]]):
        self.heard: list[tuple[float, str]] = []
        self.acted: list[tuple[float, str]] = []
        self._acts = acts

    async def send(self, message: bytes, /) -> None:
        self.heard += [(asyncio.get_running_loop().time(), kind) for kind in kinds(json.loads(message))]

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        for act, pause in self._acts:
            self.acted.append((asyncio.get_running_loop().time(), act))
            yield json.dumps(CLIENT[act])
            await asyncio.sleep(pause)
        await asyncio.sleep(60)


def kinds(message: dict[str, Any]) -> list[str]:
    return [
        *message.get("serverContent", {}),
        *(name for name in message if name not in ("serverContent", "usageMetadata")),
    ]


async def converse(
    client: Client,
    responder: Responder = SCRIPT,
    *,
    may_interrupt: bool = True,
    connection: SessionConnection | None = None,
) -> None:
    setup = Setup(
        "models/local",
        functions={"f": FunctionDeclaration()},
        transcribe_input=True,
        transcribe_output=True,
        may_interrupt=may_interrupt,
    )
    await EngineSession(client, setup, responder, None, connection=connection).run()


def turns(heard: list[tuple[float, str]]) -> list[list[str]]:
    """What was said, cut after every turnComplete."""
    found: list[list[str]] = [[]]
    for _, kind in heard:
        found[-1].append(kind)
        if kind == "turnComplete":
            found.append([])
    assert found.pop() == []  # nothing outside a turn
    return found


def questions(client: Client) -> int:
    is_open, count = False, 0
    for _, act in client.acted:
        count += act == "text" or (act == "end" and is_open)
        is_open = act == "start" or (is_open and act != "end")
    return count


@given(ACTS)
def test_every_question_has_one_turn_that_ends_complete_or_interrupted(acts: list[tuple[str, float]]) -> None:
    client = Client(acts)
    run_fast(converse(client))
    assert client.heard.pop(0)[1] == "setupComplete"
    said = turns(client.heard)
    assert len(said) == questions(client)
    for turn in said:
        if "interrupted" in turn:
            after = turn[turn.index("interrupted") + 1 :]
            assert after in (["turnComplete"], ["toolCallCancellation", "turnComplete"])
        else:
            assert turn[-2:] == ["generationComplete", "turnComplete"]
        if "generationComplete" in turn:
            assert set(turn[turn.index("generationComplete") + 1 :]) <= {
                "interrupted",
                "toolCallCancellation",
                "turnComplete",
            }


@given(ACTS)
def test_an_interruption_is_said_at_once(acts: list[tuple[str, float]]) -> None:
    client = Client(acts)
    run_fast(converse(client))
    stops = {time for time, act in client.acted if act in ("start", "end", "text", "note")}
    assert all(time in stops for time, kind in client.heard if kind == "interrupted")


@given(ACTS)
def test_without_interruption_what_is_spoken_cuts_nothing_short(acts: list[tuple[str, float]]) -> None:
    spoken = [(act, pause) for act, pause in acts if act in ("start", "audio", "end")]
    client = Client(spoken[:18])  # at most nine utterances: eight may wait
    run_fast(converse(client, may_interrupt=False))
    assert "interrupted" not in {kind for _, kind in client.heard}
    assert len(turns(client.heard[1:])) == questions(client)


class Resumer(Client):
    """A client that wants to know when its session can be resumed."""

    def __init__(self, acts: list[tuple[str, float]]):
        super().__init__(acts)
        self.order: list[str] = []
        self.open_calls: set[str] = set()

    async def send(self, message: bytes, /) -> None:
        body = json.loads(message)
        self.open_calls |= {call["id"] for call in body.get("toolCall", {}).get("functionCalls", [])}
        self.open_calls -= set(body.get("toolCallCancellation", {}).get("ids", []))
        update = body.get("sessionResumptionUpdate")
        if update is None:
            self.order += kinds(body)
        else:
            assert bool(update["newHandle"]) is update["resumable"]
            assert not (update["resumable"] and self.open_calls)
            self.order.append("offered" if update["resumable"] else "withdrawn")


@given(ACTS)
def test_a_handle_is_good_between_turns_only(acts: list[tuple[str, float]]) -> None:
    client = Resumer(acts)
    run_fast(converse(client, connection=Handles().begin("key")))
    assert client.order[:2] == ["setupComplete", "offered"]
    is_good = True
    for kind in client.order[2:]:
        if kind in ("offered", "withdrawn"):
            assert not is_good or kind == "withdrawn"
            is_good = kind == "offered"
        else:
            assert not is_good  # what is said would not be part of what the handle restores
    assert is_good or client.open_calls


class Stubborn:
    """A responder that will not be cancelled."""

    def new_memory(self) -> Memory:
        return Memory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            yield Speech(bytes(9_600), ())


def test_an_answer_that_will_not_stop_is_not_heard() -> None:
    client = Client([("text", 0.5), ("note", 0.0)])
    run_fast(converse(client, Stubborn()))
    assert [kind for _, kind in client.heard] == ["setupComplete", "interrupted", "turnComplete"]


class Patient:
    """A responder that works for an hour, and notes when it was stopped."""

    def __init__(self) -> None:
        self.stopped: list[float] = []

    def new_memory(self) -> Memory:
        return Memory()

    async def answer(self, question: Question, memory: Memory) -> AsyncIterator[Recognition | Speech | Call]:
        try:
            await asyncio.sleep(3600)
            yield Recognition("")
        finally:
            self.stopped.append(asyncio.get_running_loop().time())


def test_an_interruption_also_ends_the_work_on_the_answer() -> None:
    responder = Patient()
    run_fast(converse(Client([("text", 0.5), ("note", 0.0)]), responder))
    assert responder.stopped == [0.5]


def test_a_client_that_leaves_ends_the_work_on_its_answer() -> None:
    responder = Patient()
    run_fast(converse(Client([("text", 0.5)]), responder))
    assert responder.stopped == [60.5]


def test_of_too_many_waiting_questions_the_newest_are_answered() -> None:
    client = Client([("start", 0.0), ("audio", 0.0), ("end", 0.0)] * 20)
    run_fast(converse(client, may_interrupt=False))
    assert len(turns(client.heard[1:])) == 9  # the first, and the eight that could wait
