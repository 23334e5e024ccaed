from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from pipeline.engine import (
    ReplyAudio,
    ReplyCancelled,
    ReplyEnded,
    ReplyEvent,
    ReplyGenerated,
    ReplyText,
    ToolCall,
    UserText,
)
from pipeline.errors import FaultCode
from pipeline.events import Usage
from pipeline.gemini.reply_tracker import ReplyTracker
from pipeline.gemini.sdk_errors import make_engine_error

PCM = b"\1\0" * 240


def numbering(first: int = 50) -> ReplyTracker:
    turns = iter(range(first, 10_000))
    return ReplyTracker(lambda: next(turns))


def turns_heard(events: Iterable[ReplyEvent]) -> list[int]:
    return [event.turn for event in events if isinstance(event, ReplyAudio)]


def listen(replies: ReplyTracker, turn: int) -> None:
    replies.user_started(turn)
    replies.user_stopped()


def test_audio_carries_the_turn_it_answers() -> None:
    replies = numbering()
    listen(replies, 1)
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [1]


def test_audio_is_stamped_from_the_start_of_its_reply() -> None:
    replies = numbering()
    for turn in (1, 2):
        replies.on_text_submitted(turn)
        stamps = [
            event.chunk.pts
            for _ in range(3)
            for event in replies.on_audio(PCM, 24_000)
            if isinstance(event, ReplyAudio)
        ]
        assert stamps == [0.0, 0.01, 0.02]
        replies.on_turn_complete()


def test_nothing_is_passed_on_while_the_user_speaks() -> None:
    replies = numbering()
    replies.user_started(1)
    assert not replies.on_audio(PCM, 24_000)
    assert not replies.on_text("hello")
    assert not replies.on_tool_call("c", "f", {})
    assert not replies.on_generated()
    assert not replies.on_turn_complete()


def test_a_remark_that_crossed_the_users_first_words_stays_dead_after_them() -> None:
    replies = numbering()
    replies.user_started(1)
    replies.on_audio(PCM, 24_000)
    replies.user_stopped()
    assert not replies.on_audio(PCM, 24_000)
    replies.on_interrupted()
    assert not replies.on_turn_complete()
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [1]


def test_a_dead_reply_is_dropped_until_it_is_closed() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    replies.on_audio(PCM, 24_000)
    replies.on_text_submitted(2)
    assert not replies.on_audio(PCM, 24_000)
    assert not replies.on_text("dead")
    assert not replies.on_generated()
    assert replies.on_turn_complete() == [ReplyCancelled(1, Usage())]
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [2]


def test_an_interruption_leaves_the_next_end_to_the_old_reply() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    replies.on_audio(PCM, 24_000)
    replies.on_text_submitted(2)
    replies.on_interrupted()
    assert replies.on_turn_complete() == [ReplyCancelled(1, Usage())]
    assert [type(event) for event in replies.on_turn_complete()] == [ReplyEnded]


def test_an_interruption_and_an_end_before_the_first_sound_do_not_end_the_new_reply() -> None:
    replies = numbering()
    listen(replies, 1)
    replies.on_interrupted()
    assert not replies.on_turn_complete()
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [1]


def test_an_interruption_of_a_reply_that_nobody_interrupted_changes_nothing() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    replies.on_audio(PCM, 24_000)
    replies.on_interrupted()
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [1]
    assert [type(event) for event in replies.on_turn_complete()] == [ReplyEnded]


def test_many_interruptions_while_the_user_speaks_cost_no_reply() -> None:
    replies = numbering()
    replies.user_started(1)
    for _ in range(10):
        replies.on_interrupted()
    replies.user_stopped()
    replies.on_interrupted()
    assert replies.on_text("Yes.") == [ReplyText(1, "Yes.")]
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [1]
    assert [type(event) for event in replies.on_turn_complete()] == [ReplyEnded]


def test_a_question_resumed_after_a_pause_is_answered_even_if_its_first_half_was_never_closed() -> None:
    replies = numbering()
    listen(replies, 1)
    listen(replies, 2)
    assert replies.on_text("At the top.") == [ReplyText(2, "At the top.")]
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [2]


def test_a_question_resumed_after_a_pause_is_answered_if_its_first_half_was_closed() -> None:
    replies = numbering()
    listen(replies, 1)
    listen(replies, 2)
    replies.on_interrupted()
    assert replies.on_turn_complete() == [ReplyCancelled(1, Usage())]
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [2]
    assert [type(event) for event in replies.on_turn_complete()] == [ReplyEnded]


def test_a_reply_that_was_all_sent_and_is_talked_over_need_not_be_closed() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    replies.on_audio(PCM, 24_000)
    replies.on_generated()
    replies.on_text_submitted(2)
    assert not replies.on_text("the tail of the first")
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [2]


def test_an_empty_reply_ends_by_saying_that_it_is_complete() -> None:
    replies = numbering()
    listen(replies, 1)
    listen(replies, 2)
    assert replies.on_generated() == [ReplyGenerated(2)]
    assert [type(event) for event in replies.on_turn_complete()] == [ReplyEnded]


def test_a_stopped_reply_is_not_heard_and_the_next_remark_is() -> None:
    replies = numbering(first=7)
    replies.on_text_submitted(1)
    replies.on_audio(PCM, 24_000)
    replies.cancel_reply()
    assert not replies.on_audio(PCM, 24_000)
    replies.on_turn_complete()
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [7]


def test_a_dead_reply_that_has_begun_to_arrive_must_be_closed_before_the_next_is_heard() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    replies.cancel_reply()
    replies.on_audio(PCM, 24_000)
    listen(replies, 2)
    assert not replies.on_audio(PCM, 24_000)
    replies.on_turn_complete()
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [2]


def test_a_late_piece_of_text_begins_no_remark() -> None:
    replies = numbering(first=7)
    replies.on_text_submitted(1)
    replies.on_audio(PCM, 24_000)
    replies.on_turn_complete()
    assert not replies.on_text(" late")
    assert replies.is_idle
    replies.on_text_submitted(2)
    (first,) = replies.on_audio(PCM, 24_000)
    assert isinstance(first, ReplyAudio)
    assert first.turn == 2


def test_text_that_announces_a_remark_is_told_with_its_first_sound() -> None:
    replies = numbering(first=7)
    assert not replies.on_text("By the ")
    assert not replies.on_text("way,")
    first, second = replies.on_audio(PCM, 24_000)
    assert first == ReplyText(7, "By the way,")
    assert isinstance(second, ReplyAudio)


def test_a_call_that_nobody_waits_for_takes_a_number_and_owes_no_reply() -> None:
    replies = numbering(first=7)
    assert replies.on_tool_call("c", "point_at", {}) == [ToolCall(7, "c", "point_at", {})]
    assert replies.is_idle
    assert not replies.on_turn_complete()
    assert turns_heard(replies.on_audio(PCM, 24_000)) == [8]


def test_a_call_belongs_to_the_reply_that_is_being_made() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    assert replies.on_tool_call("c", "point_at", {}) == [ToolCall(1, "c", "point_at", {})]


def test_the_rest_of_a_remark_that_has_begun_is_owed() -> None:
    replies = numbering(first=7)
    replies.on_audio(PCM, 24_000)
    assert replies.is_awaited
    replies.on_generated()
    assert replies.is_open
    assert not replies.is_awaited


def test_what_the_user_said_belongs_to_the_turn_spoken_last() -> None:
    replies = numbering()
    assert not replies.on_user_text("who said that")
    listen(replies, 1)
    replies.on_text_submitted(2)
    assert replies.on_user_text("where is") == [UserText(1, "where is", is_restart=True)]
    replies.user_started(3)
    assert replies.on_user_text("save") == [UserText(3, "save", is_restart=True)]
    assert replies.on_user_text("") == []
    assert replies.on_user_text("", is_final=True) == [UserText(3, "", is_final=True)]


def test_each_turn_is_told_what_it_cost_interrupted_or_not() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    replies.record_usage({"total": 3})
    replies.on_text_submitted(2)
    replies.record_usage({"total": 2})
    assert replies.on_turn_complete() == [ReplyCancelled(1, Usage({"total": 5}))]
    replies.record_usage({"total": 4, "prompt": 1})
    replies.record_usage({"total": 1})
    assert replies.on_turn_complete() == [ReplyEnded(2, Usage({"total": 5, "prompt": 1}), None)]


def test_what_is_counted_after_a_reply_was_closed_is_added_to_it() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    replies.on_audio(PCM, 24_000)
    replies.record_usage({"total": 3})
    replies.on_turn_complete()
    assert replies.record_usage({"total": 4, "prompt": 1}) == [ReplyCancelled(1, Usage({"total": 7, "prompt": 1}))]
    replies.user_started(2)
    assert replies.record_usage({"total": 1}) == [ReplyCancelled(1, Usage({"total": 8, "prompt": 1}))]


def test_what_a_remark_has_cost_that_was_never_told_is_added_to_the_reply_before_it() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    replies.record_usage({"total": 3})
    replies.on_turn_complete()
    replies.user_started(2)
    replies.on_audio(PCM, 24_000)
    replies.record_usage({"total": 2})
    assert replies.on_turn_complete() == [ReplyCancelled(1, Usage({"total": 5}))]


def test_what_is_counted_before_anything_was_said_is_nobodys() -> None:
    assert numbering().record_usage({"total": 3}) == []


def test_a_connection_that_ends_after_all_of_a_reply_has_come_completes_it() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    replies.on_audio(PCM, 24_000)
    assert replies.is_partial
    assert replies.on_connection_closed() == []
    replies.on_generated()
    assert not replies.is_partial
    assert replies.on_connection_closed() == [ReplyEnded(1, Usage(), None)]


def test_the_open_turn_is_the_one_being_spoken_or_answered() -> None:
    replies = numbering()
    assert replies.open_turn is None
    replies.user_started(1)
    assert replies.open_turn == 1
    replies.user_stopped()
    assert replies.open_turn == 1
    replies.on_turn_complete()
    assert replies.open_turn is None


def test_why_a_turn_was_blocked_is_passed_on() -> None:
    replies = numbering()
    replies.on_text_submitted(1)
    reason = make_engine_error(FaultCode.ENGINE_CONTENT_BLOCKED)
    (ended,) = replies.on_turn_complete(reason)
    assert isinstance(ended, ReplyEnded)
    assert ended.blocked is reason


def test_a_reply_is_awaited_until_all_of_it_was_sent() -> None:
    replies = numbering()
    assert not replies.is_awaited
    replies.user_started(1)
    assert not replies.is_awaited
    assert not replies.is_idle
    replies.user_stopped()
    assert replies.is_awaited
    replies.on_generated()
    assert not replies.is_awaited
    assert not replies.is_idle
    replies.on_turn_complete()
    assert replies.is_idle


def test_the_end_of_a_window_that_is_not_open_expects_nothing() -> None:
    replies = numbering()
    replies.user_stopped()
    assert replies.is_idle


@dataclass
class Server:
    """What Google's server does, message by message: one generation at a time, closed in order, cut by the user.

    Whether it closes what it had not begun to send, and says `interrupted` at odd times, is up to the test.
    """

    closes_unborn: bool
    inbox: deque[tuple[str, int]] = field(default_factory=deque)
    outbox: deque[tuple[str, int]] = field(default_factory=deque)
    making: int | None = None
    is_born: bool = False
    window: bool = False
    remarks: int = 0

    def take(self) -> None:
        """Read one message of the client."""
        if not self.inbox:
            return
        kind, turn = self.inbox.popleft()
        if kind in ("open", "text", "stop") and self.making is not None:
            if self.is_born or self.closes_unborn or kind != "open":
                self.outbox += [("interrupted", 0), ("end", 0)]
            self.making = None
        self.window = kind == "open"
        if kind in ("close", "text"):
            self.making, self.is_born = turn, False

    def make(self, kind: str) -> None:
        """Send a piece of the reply being made, or close it, or remark on something."""
        if kind == "remark" and self.making is None and not self.window:
            self.remarks -= 1
            self.making = self.remarks  # negative: nobody asked
        if kind in ("audio", "remark") and self.making is not None:
            self.is_born = True
            self.outbox.append(("audio", self.making))
        elif kind == "end" and self.is_born and self.making is not None:
            self.outbox += [("generated", 0), ("end", 0)]
            self.making = None


STEPS = st.lists(
    st.sampled_from(
        ["open", "close", "ask", "stop", "take", "audio", "audio", "end", "remark", "phantom", "arrive", "arrive"]
    ),
    max_size=80,
)


@given(STEPS, st.booleans())
def test_however_messages_cross_only_the_reply_to_the_newest_turn_is_heard(
    steps: list[str], closes_unborn: bool
) -> None:
    server = Server(closes_unborn)
    turn = 0
    spoken: int | None = None
    newest: int | None = None  # the turn whose reply may be heard; None: nobody's
    reported: list[int] = []

    def number() -> int:
        nonlocal turn
        turn += 1
        return turn

    replies = ReplyTracker(number)

    def arrive() -> None:
        if not server.outbox:
            return
        kind, of = server.outbox.popleft()
        match kind:
            case "audio":
                for heard in turns_heard(replies.on_audio(of.to_bytes(2, "little", signed=True), 24_000)):
                    reported.append(heard)
                    # The generation that the server made for another question is never taken for this one.
                    assert of < 0 or of == heard == newest
                    assert spoken is None
            case "interrupted":
                replies.on_interrupted()
            case "generated":
                replies.on_generated()
            case "end":
                replies.on_turn_complete()

    for step in steps:
        match step:
            case "open" if spoken is None:
                spoken, newest = number(), None
                replies.user_started(spoken)
                server.inbox.append(("open", 0))
            case "close" if spoken is not None:
                # Speaking takes longer than the way there and back.
                while server.inbox:
                    server.take()
                while server.outbox:
                    arrive()
                newest, spoken = spoken, None
                replies.user_stopped()
                server.inbox.append(("close", newest))
            case "ask" if spoken is None:
                newest = number()
                replies.on_text_submitted(newest)
                server.inbox.append(("text", newest))
            case "stop" if spoken is None:
                newest = None
                if replies.is_open:
                    replies.cancel_reply()
                    server.inbox.append(("stop", 0))
            case "take":
                server.take()
            case "audio" | "end":
                server.make(step)
            case "remark" if not server.inbox:
                # One that crosses two quick questions cannot be told from the answer to the first.
                server.make(step)
                while server.outbox:
                    arrive()
            case "phantom" if server.making is not None and server.is_born:
                server.outbox.append(("interrupted", 0))
            case "arrive":
                arrive()
            case _:
                pass
    assert reported == sorted(reported)


@given(STEPS.map(lambda steps: [step for step in steps if step not in ("stop", "remark", "phantom")]))
def test_the_last_question_is_always_answered(steps: list[str]) -> None:
    server = Server(closes_unborn=True)
    replies = numbering(10_000 - 1)
    turn = 0
    is_open = False

    def arrive() -> list[int]:
        kind, _ = server.outbox.popleft()
        match kind:
            case "audio":
                return turns_heard(replies.on_audio(PCM, 24_000))
            case "interrupted":
                replies.on_interrupted()
            case "generated":
                replies.on_generated()
            case "end":
                replies.on_turn_complete()
        return []

    def settle() -> list[int]:
        heard = []
        while server.inbox:
            server.take()
        while server.outbox:
            heard += arrive()
        return heard

    for step in steps:
        match step:
            case "open" if not is_open:
                turn += 1
                is_open = True
                replies.user_started(turn)
                server.inbox.append(("open", 0))
            case "close" if is_open:
                settle()
                is_open = False
                replies.user_stopped()
                server.inbox.append(("close", turn))
            case "ask" if not is_open:
                turn += 1
                replies.on_text_submitted(turn)
                server.inbox.append(("text", turn))
            case "take":
                server.take()
            case "audio" | "end":
                server.make(step)
            case "arrive" if server.outbox:
                arrive()
            case _:
                pass
    if is_open:
        settle()
        replies.user_stopped()
        server.inbox.append(("close", turn))
    turn += 1
    replies.on_text_submitted(turn)
    server.inbox.append(("text", turn))
    settle()
    server.make("audio")
    assert settle() == [turn]
    server.make("end")
    settle()
    assert replies.is_idle
