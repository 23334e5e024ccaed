"""What a client is told of what was said."""

import weakref

from mediaserver.livekit.agent.transcript_log import TranscriptLogs
from mediaserver.session_factory import SessionOptions
from pipeline.events import Role, Transcript
from tests.support.livekit_harness import FakeConversation


def test_a_conversation_that_was_not_observed_is_remembered_from_now_on() -> None:
    chronicles, talk = TranscriptLogs(), FakeConversation("id", SessionOptions())
    talk.tell(Transcript(1, Role.USER, "before", final=True))

    chronicle = chronicles.of(talk)
    talk.tell(Transcript(2, Role.USER, "after", final=True))

    assert [entry["text"] for entry in chronicle.newest(9)] == ["after"]
    assert chronicles.of(talk) is chronicle


def test_a_conversation_that_is_gone_is_forgotten() -> None:
    chronicles, talk = TranscriptLogs(), FakeConversation("id", SessionOptions())
    chronicle = weakref.ref(chronicles.of(talk))

    del talk

    assert chronicle() is None
