"""The end of a conversation: whose word counts, and that time is watched."""

import asyncio

import pytest

from pipeline.conversation.lifetime import SessionEnd, SessionLifetime
from pipeline.errors import FaultCode
from pipeline.events import EndReason
from pipeline.gemini.sdk_errors import make_engine_error
from tests.support.virtual_time import run_fast


async def lasted(
    ending: SessionLifetime, *, busy_until: float = 0.0, speaking_until: float = 0.0
) -> tuple[EndReason, float]:
    """How a conversation ends that nobody ends, and when."""
    now = asyncio.get_running_loop().time
    async with asyncio.timeout(10_000):
        await ending.run_deadlines(is_busy=lambda: now() < busy_until, is_speaking=lambda: now() < speaking_until)
    with pytest.raises(SessionEnd) as ended:
        await ending.wait()
    return ended.value.reason, now()


def test_the_first_word_counts() -> None:
    async def scene() -> None:
        ending = SessionLifetime(idle=1.0, longest=1.0, grace=1.0)
        assert not ending.has_ended
        ending.end(make_engine_error(FaultCode.ENGINE_FAILED))
        ending.end(SessionEnd(EndReason.CLIENT))
        assert ending.has_ended
        with pytest.raises(Exception, match="could not be reached") as cause:
            await ending.wait()
        assert not isinstance(cause.value, SessionEnd)

    asyncio.run(scene())


def test_who_never_comes_is_waited_for_as_long_as_was_said() -> None:
    async def scene() -> tuple[EndReason, float]:
        return await lasted(SessionLifetime(idle=600.0, longest=3600.0, grace=30.0))

    reason, seconds = run_fast(scene())
    assert reason is EndReason.CLIENT
    assert seconds == pytest.approx(30.0)


def test_nobody_is_idle_while_something_is_waited_for() -> None:
    async def scene() -> tuple[EndReason, float]:
        ending = SessionLifetime(idle=10.0, longest=3600.0, grace=30.0)
        ending.on_peer_attached()
        return await lasted(ending, busy_until=25.0)

    reason, seconds = run_fast(scene())
    assert reason is EndReason.IDLE
    assert 25.0 < seconds <= 35.0


def test_the_longest_time_ends_with_the_last_words() -> None:
    async def scene() -> tuple[EndReason, float]:
        ending = SessionLifetime(idle=600.0, longest=100.0, grace=30.0)
        ending.on_peer_attached()
        return await lasted(ending, speaking_until=104.0)

    reason, seconds = run_fast(scene())
    assert reason is EndReason.LIMIT
    assert 104.0 <= seconds <= 105.0


def test_the_grace_of_who_leaves_is_heeded_at_once() -> None:
    async def scene() -> tuple[EndReason, float]:
        ending = SessionLifetime(idle=600.0, longest=3600.0, grace=30.0)
        ending.on_peer_attached()
        asyncio.get_running_loop().call_later(7.0, lambda: ending.on_peer_detached(grace=5.0))
        return await lasted(ending)

    reason, seconds = run_fast(scene())
    assert reason is EndReason.CLIENT
    assert seconds == pytest.approx(12.0)
