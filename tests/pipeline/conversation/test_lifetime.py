"""Lifetime and deadlines of a conversation."""

import asyncio

import pytest

from pipeline.conversation.lifetime import MIN_WAIT, SPEAKING_GRACE, Deadlines, SessionEnd, SessionLifetime
from pipeline.errors import FaultCode
from pipeline.events import EndReason
from pipeline.gemini.sdk_errors import make_engine_error
from tests.support.virtual_time import run_fast


def deadlines() -> Deadlines:
    times = Deadlines(idle=60.0, longest=600.0, grace=30.0, now=100.0)
    times.on_peer_attached()
    return times


def test_nobody_ever_came() -> None:
    times = Deadlines(idle=60.0, longest=600.0, grace=30.0, now=100.0)
    assert times.expired_reason(129.9, is_speaking=False) is None
    assert times.expired_reason(130.0, is_speaking=False) is EndReason.CLIENT


def test_who_comes_back_in_time_goes_on() -> None:
    times = deadlines()
    times.on_peer_detached(110.0, grace=15.0)
    assert times.expired_reason(124.9, is_speaking=False) is None
    times.on_peer_attached()
    assert times.expired_reason(126.0, is_speaking=False) is None
    times.on_peer_detached(126.0, grace=5.0)
    assert times.expired_reason(131.0, is_speaking=False) is EndReason.CLIENT


def test_idle_is_counted_from_the_last_sign() -> None:
    times = deadlines()
    assert times.expired_reason(160.0, is_speaking=False) is EndReason.IDLE
    times.touch(150.0)
    assert times.expired_reason(160.0, is_speaking=False) is None
    assert times.expired_reason(210.0, is_speaking=False) is EndReason.IDLE


def test_an_unused_conversation_is_idle_sooner() -> None:
    times = Deadlines(idle=60.0, longest=600.0, grace=30.0, now=100.0, unused=20.0)
    times.on_peer_attached()
    assert times.seconds_to_deadline(100.0) == 20.0
    assert times.expired_reason(119.9, is_speaking=False) is None
    assert times.expired_reason(120.0, is_speaking=False) is EndReason.IDLE
    times.is_used = True
    assert times.expired_reason(159.9, is_speaking=False) is None
    assert times.expired_reason(160.0, is_speaking=False) is EndReason.IDLE


def test_no_conversation_is_idle_later_because_it_is_unused() -> None:
    times = Deadlines(idle=60.0, longest=600.0, grace=30.0, now=100.0, unused=90.0)
    times.on_peer_attached()
    assert times.expired_reason(160.0, is_speaking=False) is EndReason.IDLE


def test_the_longest_time_lets_a_reply_finish() -> None:
    times = deadlines()
    times.touch(690.0)
    assert times.expired_reason(700.0, is_speaking=False) is EndReason.LIMIT
    assert times.expired_reason(700.0, is_speaking=True) is None
    times.touch(700.0 + SPEAKING_GRACE)
    assert times.expired_reason(700.0 + SPEAKING_GRACE, is_speaking=True) is EndReason.LIMIT


def test_the_next_look_is_when_time_may_be_up() -> None:
    times = deadlines()
    assert times.seconds_to_deadline(100.0) == 60.0
    times.touch(650.0)
    assert times.seconds_to_deadline(660.0) == 40.0
    times.on_peer_detached(660.0, grace=15.0)
    assert times.seconds_to_deadline(660.0) == 15.0
    assert times.seconds_to_deadline(800.0) == MIN_WAIT


async def lasted(
    lifetime: SessionLifetime, *, busy_until: float = 0.0, speaking_until: float = 0.0
) -> tuple[EndReason, float]:
    """Return the reason and time of an end by deadline."""
    now = asyncio.get_running_loop().time
    async with asyncio.timeout(10_000):
        await lifetime.run_deadlines(is_busy=lambda: now() < busy_until, is_speaking=lambda: now() < speaking_until)
    with pytest.raises(SessionEnd) as ended:
        await lifetime.wait()
    return ended.value.reason, now()


def test_the_first_word_counts() -> None:
    async def scene() -> None:
        lifetime = SessionLifetime(idle=1.0, longest=1.0, grace=1.0)
        assert not lifetime.has_ended
        lifetime.end(make_engine_error(FaultCode.ENGINE_FAILED))
        lifetime.end(SessionEnd(EndReason.CLIENT))
        assert lifetime.has_ended
        with pytest.raises(Exception, match="could not be reached") as cause:
            await lifetime.wait()
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
        lifetime = SessionLifetime(idle=10.0, longest=3600.0, grace=30.0)
        lifetime.on_peer_attached()
        return await lasted(lifetime, busy_until=25.0)

    reason, seconds = run_fast(scene())
    assert reason is EndReason.IDLE
    assert 25.0 < seconds <= 35.0


def test_the_longest_time_ends_with_the_last_words() -> None:
    async def scene() -> tuple[EndReason, float]:
        lifetime = SessionLifetime(idle=600.0, longest=100.0, grace=30.0)
        lifetime.on_peer_attached()
        return await lasted(lifetime, speaking_until=104.0)

    reason, seconds = run_fast(scene())
    assert reason is EndReason.LIMIT
    assert 104.0 <= seconds <= 105.0


def test_the_grace_of_who_leaves_is_heeded_at_once() -> None:
    async def scene() -> tuple[EndReason, float]:
        lifetime = SessionLifetime(idle=600.0, longest=3600.0, grace=30.0)
        lifetime.on_peer_attached()
        asyncio.get_running_loop().call_later(7.0, lambda: lifetime.on_peer_detached(grace=5.0))
        return await lasted(lifetime)

    reason, seconds = run_fast(scene())
    assert reason is EndReason.CLIENT
    assert seconds == pytest.approx(12.0)
