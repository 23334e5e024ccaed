"""What a client is told of what was said."""

import weakref

from mediaserver.livekit.agent.transcript_log import TranscriptLogs
from mediaserver.session_factory import SessionOptions
from pipeline.events import Role, Transcript
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
