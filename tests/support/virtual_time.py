"""Virtual time: an event loop whose clock jumps to the next timer."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from unittest.mock import patch

from tests.support.leak_check import nothing_left

P = ParamSpec("P")
T = TypeVar("T")


class FastLoop(asyncio.SelectorEventLoop):
    """A loop without waiting: when nothing is ready, its clock jumps to the next timer.

    Calls to threads run at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            timers = [timer.when() for timer in self._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
            self._now = max(self._now, min(timers, default=0.0))
        super()._run_once()  # type: ignore[misc]


def run_fast(work: Coroutine[None, None, T]) -> T:
    """Run to the end in virtual time; `time.monotonic` returns it too."""
    with asyncio.Runner(loop_factory=FastLoop) as runner, patch.object(time, "monotonic", runner.get_loop().time):
        return runner.run(work)


def in_virtual_time(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test in virtual time and check that it leaves no task; its fixtures must not be coroutines."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def tidily() -> None:
            async with nothing_left():
                await test(*args, **kwargs)

        run_fast(tidily())

    return run
