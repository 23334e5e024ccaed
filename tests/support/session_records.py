"""Users, tokens, records and live conversations of the tests of session routes."""

from datetime import UTC, datetime, timedelta
from typing import cast

from mediaserver.auth.tokens import Tokens
from mediaserver.auth.users import User
from mediaserver.store.records import SessionRecord
from pipeline.config import ConversationConfig
from pipeline.conversation.conversation import Conversation
from pipeline.engine import EngineListener
from pipeline.gemini.bridge import GeminiBridge
from pipeline.tools.toolbox import Toolbox
from tests.support.conversation_harness import FakeEngine, ManualFrameClock, vad_model

TOKENS = Tokens("a secret of thirty-two bytes or more")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ADA, BOB = User("u-ada", "ada", is_guest=False), User("u-bob", "bob", is_guest=False)


def token_of(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS.issue(user)}"}


def record(name: str, owner: User = ADA, *, minutes: int = 0, label: str = "") -> SessionRecord:
    began = NOON + timedelta(minutes=minutes)
    return SessionRecord(
        name,
        owner.id,
        label or name,
        "webrtc",
        "local",
        "local-1",
        "en",
        began,
        began + timedelta(minutes=1),
        2,
        "idle",
    )


def conversation(name: str, label: str) -> Conversation:
    def make_bridge(listener: EngineListener) -> GeminiBridge:
        return cast(GeminiBridge, FakeEngine(listener))

    config = ConversationConfig(name, label, "local", "local", None, "en", 600.0, 3600.0)
    return Conversation(
        config, vad=vad_model(), frame_clock=ManualFrameClock(), toolbox=Toolbox(), make_bridge=make_bridge
    )
