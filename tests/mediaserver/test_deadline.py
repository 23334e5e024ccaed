"""Work that cannot be interrupted holds nobody up."""

import asyncio
import gc
import threading

import pytest

from mediaserver import deadline
from mediaserver.deadline import within


async def answer() -> int:
    return 1


async def fail() -> int:
    raise ValueError("no")


async def test_what_ends_in_time_is_returned_or_raised() -> None:
    assert await within(5, answer()) == 1
    with pytest.raises(ValueError, match="no"):
        await within(5, fail())
    assert not deadline._late


async def test_a_thread_that_hangs_is_not_waited_for_and_its_error_is_not_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    may_end = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.shield(thread)
        except asyncio.CancelledError:
            await thread  # as a driver does that must clean up after itself
            raise ValueError("too late") from None

    thread = asyncio.ensure_future(asyncio.to_thread(may_end.wait, 5))
    with pytest.raises(TimeoutError):
        await within(0.01, hang())
    assert not thread.done()
    assert len(deadline._late) == 1
    may_end.set()
    await asyncio.wait(deadline._late, timeout=5)
    await asyncio.sleep(0)
    gc.collect()
    assert not deadline._late
    assert not caplog.records


async def test_a_caller_that_is_cancelled_cancels_the_work() -> None:
    was_cancelled = asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    caller = asyncio.create_task(within(5, wait()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    async with asyncio.timeout(5):
        await was_cancelled.wait()
