"""A session on the true factory starts with the guide that its client names."""

from mediaserver.caller import Caller
from mediaserver.guides import load_server_guides
from mediaserver.registry import Capacity, Registry
from mediaserver.session_factory import EngineClient, ServerDefaults, SessionFactory, SessionOptions
from pipeline.config import TurnSettings
from pipeline.events import Guidance
from pipeline.gemini.bridge import make_client
from pipeline.gemini.model_profiles import LOCAL
from pipeline.guidance.library import GuideLibrary
from pipeline.playout.frame_clock import FrameClock
from tests.support.conversation_harness import FakePeer, vad_model

ADA = Caller("u-ada", is_guest=False)


async def shipped(_: str) -> GuideLibrary:
    return GuideLibrary(load_server_guides(None).guides)


def factory(registry: Registry) -> SessionFactory:
    # Nothing listens there; a session waits for its engine.
    sdk = make_client(api_key="a key", base_url="https://127.0.0.1:9")
    return SessionFactory(
        registry,
        EngineClient("local", sdk, LOCAL, None, "medium"),
        ServerDefaults(600.0, 3600.0, 1280, TurnSettings()),
        vad_model(),
        FrameClock(),
        load_guides=shipped,
    )


async def started(guide: str) -> tuple[tuple[str, ...], list[str | None]]:
    """The warnings of a session that asks for a guide, and the guides of the plans that it shows."""
    registry, peer = Registry(Capacity(9, 9, 9, 9)), FakePeer()
    conversation = await factory(registry).get_or_create(ADA, SessionOptions(guide=guide))
    conversation.attach(peer)
    await registry.drain(0.0)
    return conversation.config.warnings, [event.guide for event in peer.events if isinstance(event, Guidance)]


async def test_a_session_starts_with_its_guide() -> None:
    assert await started("save-as-pdf") == ((), ["save-as-pdf"])


async def test_a_guide_that_is_not_there_is_warned_of() -> None:
    assert await started("bake-a-cake") == (("You have no guide bake-a-cake; `GET /api/v1/guides` lists yours.",), [])
