"""What history keeps of a conversation."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta

import pytest

from mediaserver.store.recorder import Recorder
from mediaserver.store.records import Entry, SessionRecord
from mediaserver.store.sql_store import SqlStore
from mediaserver.store.writer import HistoryWriter
from pipeline.engine import EngineUnavailable, UserText
from pipeline.errors import EngineError, FaultCode
from pipeline.events import (
    EndReason,
    Event,
    Evidence,
    EvidenceSource,
    Fault,
    Guidance,
    Interrupted,
    Pointer,
    Pong,
    Resumed,
    Role,
    ScreenFrameSent,
    SeenReason,
    SessionEnded,
    SessionStarted,
    State,
    StateChanged,
    Step,
    StepState,
    TextInput,
    TextResponse,
    Transcript,
    TurnEnded,
    TurnStarted,
    Usage,
)
from tests.support.conversation_harness import enter

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Goes on by a second whenever it is read."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class RecorderHarness:
    """A recorder with its writer, and the records in the store."""

    def __init__(self, store: SqlStore, writer: HistoryWriter) -> None:
        self._store = store
        self._writer = writer
        self.recorder = Recorder(writer, owner="ada", transport="webrtc", clock=Clock())
        self.recorder.begin("s", label="work", engine="local", model="local-1", language="en")

    async def record(self, *events: Event) -> None:
        for event in events:
            self.recorder(event)
        await self._writer.flush()

    async def session(self) -> SessionRecord:
        found = await self._store.session("ada", "s")
        assert found is not None
        return found

    async def entries(self) -> tuple[Entry, ...]:
        return await self._store.history("s")

    async def said(self) -> list[tuple[int, str, str]]:
        return [(entry.turn, entry.role, entry.text) for entry in await self.entries()]

    async def tokens(self) -> list[tuple[int, dict[str, int]]]:
        return [(usage.turn, dict(usage.tokens)) for usage in await self._store.usage("s")]


@pytest.fixture
async def harness(store: SqlStore) -> AsyncIterator[RecorderHarness]:
    async with HistoryWriter(store, on_failure=lambda _: None) as writer:
        yield RecorderHarness(store, writer)


def user(turn: int, text: str, *, final: bool = True) -> Transcript:
    return Transcript(turn, Role.USER, text, final)


def assistant(turn: int, text: str, *, final: bool = True) -> Transcript:
    return Transcript(turn, Role.ASSISTANT, text, final)


def exchange(turn: int, question: str, answer: str) -> Iterable[Event]:
    """One question and its answer, heard to the end, as the conversation tells them."""
    yield StateChanged(State.LISTENING)
    yield user(turn, question[:3], final=False)
    yield user(turn, question, final=False)
    yield user(turn, question)
    yield TurnStarted(turn)
    yield assistant(turn, answer[:5], final=False)
    yield assistant(turn, answer, final=False)
    yield assistant(turn, answer)
    yield TextResponse(turn, answer, None)
    yield TurnEnded(turn, 1500, {}, Usage({"total": 100 + turn}))
    yield StateChanged(State.IDLE)


async def test_a_session_is_kept_from_its_beginning(harness: RecorderHarness) -> None:
    await harness.record()
    begun = SessionRecord("s", "ada", "work", "webrtc", "local", "local-1", "en", NOON + timedelta(seconds=1))
    assert await harness.session() == begun


async def test_a_session_begins_once_however_many_join(harness: RecorderHarness) -> None:
    joined = SessionStarted("s", "another label", "local", "local-1", None, "en", {})
    await harness.record(*exchange(1, "hello", "Hi there."), joined)
    assert (await harness.session()).label == "work"
    assert (await harness.session()).turns == 1


async def test_a_recorder_can_begin_with_what_the_first_peer_is_told(harness: RecorderHarness, store: SqlStore) -> None:
    async with HistoryWriter(store, on_failure=lambda _: None) as writer:
        recorder = Recorder(writer, owner="bob", transport="json", clock=Clock())
        recorder(user(1, "too early"))
        recorder(SessionStarted("t", "label", "local", "local-1", None, "de", {}))
    found = await store.session("bob", "t")
    assert found is not None
    assert (found.label, found.language, found.turns) == ("label", "de", 0)


async def test_each_turn_has_one_entry_for_the_question_and_one_for_the_answer(harness: RecorderHarness) -> None:
    await harness.record(*exchange(1, "what is this", "A spreadsheet."), *exchange(2, "thank you", "You are welcome."))
    assert await harness.said() == [
        (1, "user", "what is this"),
        (1, "assistant", "A spreadsheet."),
        (2, "user", "thank you"),
        (2, "assistant", "You are welcome."),
    ]
    assert [entry.heard_ms for entry in await harness.entries()] == [None, 1500, None, 1500]
    assert not any(entry.interrupted for entry in await harness.entries())
    assert await harness.tokens() == [(1, {"total": 101}), (2, {"total": 102})]
    assert (await harness.session()).turns == 2


async def test_an_entry_is_dated_from_its_first_word(harness: RecorderHarness) -> None:
    await harness.record(user(1, "wh", final=False))
    (first,) = await harness.entries()
    await harness.record(user(1, "what is this"))
    assert [entry.at for entry in await harness.entries()] == [first.at]


async def test_what_is_being_said_is_kept_before_it_is_final(harness: RecorderHarness) -> None:
    await harness.record(user(1, "what is"), assistant(1, "A spread", final=False))
    assert await harness.said() == [(1, "user", "what is"), (1, "assistant", "A spread")]


async def test_of_an_interrupted_reply_what_was_heard_is_kept(harness: RecorderHarness) -> None:
    await harness.record(
        user(1, "what is this"),
        assistant(1, "I can see a spreadsheet with", final=False),
        Interrupted(1, 700, "I can see"),
        assistant(1, "I can see"),
        TextResponse(1, "I can see", None),
        user(2, "stop"),
    )
    entry = (await harness.entries())[1]
    assert (entry.role, entry.text, entry.interrupted, entry.heard_ms) == ("assistant", "I can see", True, 700)
    assert await harness.said() == [(1, "user", "what is this"), (1, "assistant", "I can see"), (2, "user", "stop")]


async def test_a_reply_that_is_taken_up_again_is_kept_whole(harness: RecorderHarness) -> None:
    await harness.record(
        user(1, "what is this"),
        assistant(1, "I can see a page", final=False),
        Interrupted(1, 700, "I can"),
        Resumed(1, 500),
        assistant(1, "I can see a page"),
        TurnEnded(1, 1_900, {}, Usage()),
    )
    entry = (await harness.entries())[1]
    assert (entry.text, entry.interrupted, entry.heard_ms) == ("I can see a page", False, 1_900)


async def test_a_reply_that_was_cut_before_a_word_of_it_was_heard_is_kept_as_such(harness: RecorderHarness) -> None:
    await harness.record(
        user(1, "hm"), assistant(1, "I can", final=False), Interrupted(1, 0, ""), TextResponse(1, "", None)
    )
    entry = (await harness.entries())[1]
    assert (entry.text, entry.interrupted, entry.heard_ms) == ("", True, 0)


async def test_a_turn_in_which_nobody_said_anything_is_not_kept(harness: RecorderHarness) -> None:
    await harness.record(Interrupted(1, 0, ""), TextResponse(1, "", None), TurnEnded(2, 0, {}, Usage()))
    assert await harness.entries() == ()
    assert await harness.tokens() == []
    assert (await harness.session()).turns == 0


async def test_a_reply_without_a_transcript_says_how_much_was_heard(harness: RecorderHarness) -> None:
    await harness.record(TurnStarted(1), TurnEnded(1, 800, {}, Usage({"total": 9})))
    (entry,) = await harness.entries()
    assert (entry.role, entry.text, entry.heard_ms) == ("assistant", "", 800)
    assert (await harness.session()).turns == 1


async def test_a_question_that_is_understood_in_two_parts_is_whole(harness: RecorderHarness) -> None:
    await harness.record(
        user(1, "where is", final=False),
        user(1, "where is"),
        assistant(1, "There", final=False),
        user(1, "where is the"),
        user(1, "where is the save button"),
    )
    assert (await harness.said())[0] == (1, "user", "where is the save button")
    await harness.record(assistant(1, "There."), TurnEnded(1, 300, {}, Usage()))
    assert await harness.said() == [(1, "user", "where is the save button"), (1, "assistant", "There.")]


async def test_a_fatal_fault_is_kept_and_a_passing_one_is_not(harness: RecorderHarness) -> None:
    await harness.record(user(1, "hello"), Fault(FaultCode.ENGINE_NETWORK, "The line broke."))
    assert len(await harness.entries()) == 1
    await harness.record(Fault(FaultCode.ENGINE_FAILED, "It gave up.", fatal=True), SessionEnded(EndReason.ERROR))
    entry = (await harness.entries())[-1]
    assert (entry.turn, entry.role, entry.text) == (1, "system", "ENGINE_FAILED: It gave up.")
    assert (await harness.session()).end_reason == "error"
    assert (await harness.session()).turns == 1


async def test_a_fault_before_the_first_turn_makes_no_turn(harness: RecorderHarness) -> None:
    await harness.record(Fault(FaultCode.ENGINE_AUTH_INVALID, "The key is wrong.", fatal=True))
    assert [(entry.turn, entry.role) for entry in await harness.entries()] == [(0, "system")]
    assert (await harness.session()).turns == 0


async def test_the_end_is_kept_and_a_reply_it_broke_off_counts_as_interrupted(harness: RecorderHarness) -> None:
    await harness.record(*exchange(1, "hello", "Hi there."), assistant(2, "By the way", final=False))
    await harness.record(SessionEnded(EndReason.CLIENT))
    ended = await harness.session()
    assert (ended.end_reason, ended.turns) == ("client", 2)
    assert ended.ended_at is not None
    assert ended.ended_at > ended.started_at
    assert [entry.interrupted for entry in await harness.entries()] == [False, False, True]
    assert (await harness.entries())[-1].heard_ms is None


async def test_what_only_lives_on_the_screen_is_not_kept(harness: RecorderHarness) -> None:
    await harness.record(
        ScreenFrameSent(1, 80, SeenReason.FIRST),
        Pointer(1, (0, 0, 10, 10), "Save"),
        Pong(1),
        StateChanged(State.IDLE),
    )
    assert await harness.entries() == ()


async def test_a_plan_is_kept_with_its_evidence(harness: RecorderHarness) -> None:
    opened = Step(1, "Open File", StepState.DONE, Evidence(EvidenceSource.SCREEN, "Save as", 17))
    asked = Step(2, "Choose a name", StepState.DONE, Evidence(EvidenceSource.USER, ""))
    await harness.record(
        *exchange(1, "help me save", "Open File."),
        Guidance("Save", (Step(1, "Open File", StepState.CURRENT), Step(2, "Choose a name", StepState.AHEAD))),
        Guidance("Save", (opened, asked, Step(3, "Press Save", StepState.CURRENT))),
        Fault(FaultCode.INTERNAL_ERROR, "It broke.", fatal=True),
    )
    (kept,) = [entry.text for entry in await harness.entries() if entry.role == "system"]
    assert kept.splitlines() == [
        "Save",
        '- [x] 1. Open File (seen on frame 17: "Save as")',
        "- [x] 2. Choose a name (the user said so)",
        "- [ ] 3. Press Save (current)",
        "INTERNAL_ERROR: It broke.",
    ]


async def test_a_real_conversation_is_kept_as_it_was_heard(store: SqlStore) -> None:
    live = await enter()
    for question in ("where is save?", "and print?", "and close?"):
        live.conversation.submit(live.peer, TextInput(question))
        await live.settle()
        match question:
            case "where is save?":
                live.engine.reply(1, "It is at the top.")
                live.frame_clock.tick(60)
            case "and print?":
                live.engine.reply(2, "It is in the menu.", seconds=3)
                live.frame_clock.tick(50)
            case _:
                live.engine.emit(
                    EngineUnavailable(
                        EngineError(FaultCode.ENGINE_NETWORK, "The line broke.", where="test"), is_turn_lost=True
                    )
                )
    live.engine.ready()
    live.engine.emit(UserText(3, "too late"))
    live.engine.reply(live.engine.next_turn(), "By the way, you can", seconds=9)
    await live.leave()

    async with HistoryWriter(store, on_failure=lambda _: None) as writer:
        recorder = Recorder(writer, owner="ada", transport="webrtc", clock=Clock())
        for event in live.peer.events:
            recorder(event)
    entries = [(one.turn, one.role, one.text, one.interrupted, one.heard_ms) for one in await store.history("id1")]
    assert entries[:4] == [
        (1, "user", "where is save?", False, None),
        (1, "assistant", "It is at the top.", False, 1000),
        (2, "user", "and print?", False, None),
        (2, "assistant", "It is in the menu.", True, 1000),
    ]
    assert [entry[:2] for entry in entries[4:]] == [(3, "user"), (3, "assistant"), (4, "assistant")]
    assert entries[5][2:] == ("", True, 0)
    assert entries[6][2:] == ("", True, 0), "not a word of it was heard"
    found = await store.session("ada", "id1")
    assert found is not None
    assert (found.turns, found.end_reason) == (4, "client")
    assert [one.turn for one in await store.usage("id1")] == [1]
