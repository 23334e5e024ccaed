"""The clock of the load client."""

import asyncio

from bench.tick_scheduler import TickScheduler


async def test_everybody_is_ticked_as_often_and_in_turn() -> None:
    beat = TickScheduler(slots=2)
    order: list[str] = []
    done = asyncio.Event()

    def last() -> None:
        order.append("b")
        if order.count("b") == 3:
            done.set()

    beat.subscribe(lambda: order.append("a"))
    beat.subscribe(last)
    async with asyncio.timeout(5):
        await done.wait()
    beat.stop()
    assert order[:6] == ["a", "b"] * 3
    assert beat.lateness


async def test_ticks_that_were_missed_are_made_up_for() -> None:
    loop = asyncio.get_running_loop()
    beat = TickScheduler(slots=1)
    ticks: list[float] = []
    done = asyncio.Event()

    def tick() -> None:
        ticks.append(loop.time())
        if len(ticks) == 1:
            while loop.time() < ticks[0] + 0.1:
                pass
        if len(ticks) == 7:
            done.set()

    beat.subscribe(tick)
    async with asyncio.timeout(5):
        await done.wait()
    beat.stop()
    assert ticks[6] - ticks[0] < 0.16


async def test_who_has_left_is_not_ticked() -> None:
    beat = TickScheduler(slots=3)
    ticks: list[int] = []
    done = asyncio.Event()

    def leaver() -> None:
        ticks.append(1)
        beat.unsubscribe(leaver)

    def stayer() -> None:
        if len(beat.lateness) > 9:
            done.set()

    beat.subscribe(leaver)
    beat.subscribe(stayer)
    async with asyncio.timeout(5):
        await done.wait()
    beat.stop()
    assert ticks == [1]
