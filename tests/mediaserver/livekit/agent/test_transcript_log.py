"""What a client is told of what was said."""

import weakref
from datetime import UTC, datetime

from mediaserver.livekit.agent.transcript_log import TranscriptLog, TranscriptLogs
from mediaserver.session_factory import SessionOptions
from pipeline.events import Interrupted, Resumed, Role, Transcript, TurnEnded, Usage
from tests.support.livekit_harness import FakeConversation


def test_a_conversation_that_was_not_observed_is_remembered_from_now_on() -> None:
    logs, conversation = TranscriptLogs(), FakeConversation("id", SessionOptions())
    conversation.emit(Transcript(1, Role.USER, "before", final=True))

    log = logs.of(conversation)
    conversation.emit(Transcript(2, Role.USER, "after", final=True))

    assert [entry["text"] for entry in log.newest(9)] == ["after"]
    assert logs.of(conversation) is log


def test_a_conversation_that_is_gone_is_forgotten() -> None:
    logs, conversation = TranscriptLogs(), FakeConversation("id", SessionOptions())
    log = weakref.ref(logs.of(conversation))

    del conversation

    assert log() is None


def test_a_reply_that_is_taken_up_again_is_not_interrupted() -> None:
    log = TranscriptLog(lambda: datetime(2026, 1, 1, tzinfo=UTC))
    for event in (
        Transcript(1, Role.ASSISTANT, "I can see", final=False),
        Interrupted(1, 700, "I can"),
        Resumed(1, 500),
        Transcript(1, Role.ASSISTANT, "I can see a page", final=True),
        TurnEnded(1, 1_900, {}, Usage()),
    ):
        log(event)
    (entry,) = log.newest(1)
    assert (entry["text"], entry["interrupted"], entry["heard_ms"]) == ("I can see a page", False, 1_900)
