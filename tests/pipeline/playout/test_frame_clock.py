"""The frame clock: one absolute schedule for all subscribers, and no timer without one."""

import asyncio
from collections.abc import Callable

import pytest

from pipeline.playout.frame_clock import FrameClock


class FakeLoop(asyncio.AbstractEventLoop):
    """An event loop whose clock is turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[asyncio.TimerHandle] = []
        self.reported: list[BaseException] = []
        self.soon: list[asyncio.Handle] = []

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def call_at(self, when: float, callback: Callable[..., object], *args: object, context: object = None):  # type: ignore[no-untyped-def]
        handle = asyncio.TimerHandle(when, callback, args, self)
        self.timers.append(handle)
        return handle

    def call_soon(self, callback: Callable[..., object], *args: object, context: object = None):  # type: ignore[no-untyped-def]
        handle = asyncio.Handle(callback, args, self)
        self.soon.append(handle)
        return handle

    def call_exception_handler(self, context: dict[str, object]) -> None:
        error = context["exception"]
        assert isinstance(error, BaseException)
        self.reported.append(error)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.timers.remove(handle)

    def sleep(self, seconds: float) -> None:
        """Let time pass, every timer fired when it is due."""
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.when() <= end + 1e-9]:
            self.now = max(self.now, due[0].when())
            self.fire(due[0])
        self.now = end

    def stall(self, seconds: float) -> None:
        """Let time pass with no timer fired until its end."""
        self.now += seconds
        for timer in [timer for timer in self.timers if timer.when() <= self.now]:
            self.fire(timer)

    def fire(self, timer: asyncio.TimerHandle) -> None:
        self.timers.remove(timer)
        timer._run()
        while self.soon:
            self.soon.pop(0)._run()


class Listener:
    def __init__(self, loop: FakeLoop) -> None:
        self.loop = loop
        self.calls: list[float] = []

    def __call__(self) -> None:
        self.calls.append(self.loop.now)


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()  # type: ignore[abstract]  # the rest of a loop is not called


def test_every_subscriber_is_called_once_per_period(loop: FakeLoop) -> None:
    frame_clock, one, other = FrameClock(loop=loop), Listener(loop), Listener(loop)
    frame_clock.subscribe(one)
    frame_clock.subscribe(other)
    loop.sleep(0.061)
    assert one.calls == other.calls == pytest.approx([100.02, 100.04, 100.06])


def test_there_is_no_timer_while_nobody_listens(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    assert loop.timers == []
    frame_clock.subscribe(listener)
    assert len(loop.timers) == 1
    frame_clock.unsubscribe(listener)
    assert loop.timers == []


def test_it_starts_anew_after_a_sleep(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    frame_clock.subscribe(listener)
    loop.sleep(0.03)
    frame_clock.unsubscribe(listener)
    loop.sleep(5.005)
    frame_clock.subscribe(listener)
    loop.sleep(0.025)
    assert listener.calls == pytest.approx([100.02, 105.055])


def test_late_timers_do_not_shift_the_schedule(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    frame_clock.subscribe(listener)
    for _ in range(1_000):
        loop.now = loop.timers[0].when() + 0.007
        loop.fire(loop.timers[0])
    assert len(listener.calls) == 1_000
    assert loop.timers[0].when() == pytest.approx(100 + 1_001 * 0.02, abs=1e-9)


def test_a_timer_that_fires_early_counts_as_one_tick(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    frame_clock.subscribe(listener)
    loop.now = loop.timers[0].when() - 1e-6
    loop.fire(loop.timers[0])
    assert len(listener.calls) == 1


def test_missed_ticks_are_made_up_for(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    frame_clock.subscribe(listener)
    loop.stall(0.065)
    assert len(listener.calls) == 3
    loop.sleep(0.02)
    assert listener.calls[3:] == pytest.approx([100.08])


def test_after_a_long_stall_five_ticks_are_made_up_for_and_the_rest_skipped(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    frame_clock.subscribe(listener)
    loop.stall(3.005)
    assert len(listener.calls) == 5
    loop.sleep(0.02)
    assert listener.calls[5:] == pytest.approx([103.02])


def test_one_that_leaves_during_a_tick_is_not_called_in_it(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    frame_clock.subscribe(lambda: frame_clock.unsubscribe(listener))
    frame_clock.subscribe(listener)
    loop.sleep(0.05)
    assert listener.calls == []


def test_one_that_leaves_by_itself_is_called_once_even_after_a_stall(loop: FakeLoop) -> None:
    frame_clock, calls = FrameClock(loop=loop), []

    def once() -> None:
        calls.append(loop.now)
        frame_clock.unsubscribe(once)

    frame_clock.subscribe(once)
    loop.stall(0.1)
    assert len(calls) == 1
    assert loop.timers == []


def test_one_that_joins_during_a_tick_is_called_from_the_next_on(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    frame_clock.subscribe(lambda: frame_clock.subscribe(listener))
    loop.sleep(0.045)
    assert listener.calls == pytest.approx([100.04])


def test_subscribing_twice_is_subscribing_once(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    frame_clock.subscribe(listener)
    frame_clock.subscribe(listener)
    loop.sleep(0.025)
    assert len(listener.calls) == 1


def test_unsubscribing_a_stranger_changes_nothing(loop: FakeLoop) -> None:
    frame_clock, listener = FrameClock(loop=loop), Listener(loop)
    frame_clock.unsubscribe(listener)
    frame_clock.subscribe(listener)
    frame_clock.unsubscribe(print)
    loop.sleep(0.025)
    assert len(listener.calls) == 1


def test_callbacks_that_raise_are_reported_and_stop_nobody(loop: FakeLoop) -> None:
    frame_clock, before, between, after = FrameClock(loop=loop), Listener(loop), Listener(loop), Listener(loop)

    def broken() -> None:
        raise RuntimeError("broken")

    def worse() -> None:
        raise LookupError("worse")

    for callback in (before, broken, between, worse, after):
        frame_clock.subscribe(callback)
    loop.sleep(0.045)
    assert len(before.calls) == len(between.calls) == len(after.calls) == 2
    assert [type(error) for error in loop.reported] == [RuntimeError, LookupError] * 2


async def test_without_a_loop_of_its_own_it_ticks_on_the_running_one() -> None:
    ticked = asyncio.Event()
    frame_clock = FrameClock(0.001)
    frame_clock.subscribe(ticked.set)
    async with asyncio.timeout(10):
        await ticked.wait()
    frame_clock.unsubscribe(ticked.set)
