"""A child process for slow work, so that neither its time nor its crashes reach the media loop."""

import asyncio
import contextlib
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

from pipeline.errors import FaultCode, MediaError
from pipeline.workers.child import HEADER, no_initializer

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START_DEADLINE = 60.0
"""Seconds a child may take to start and to run its initializer."""

EXIT_DEADLINE = 1.0
"""Seconds an idle child may take to exit before it is killed."""

SETTLE_DEADLINE = 1.0
"""Seconds the answer to a call that nobody waits for any more may take at least."""

# Read by the libraries when they load, so they must stand in the environment before the child starts.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


class WorkerError(MediaError):
    """A call in a worker failed: the function raised (its traceback is the cause), took too long, or died."""


class ChildError(Exception):
    """What a function raised in the child, as text."""

    def __str__(self) -> str:
        return f"in the worker process:\n{self.args[0]}"


class Worker:
    """One child process that runs plain functions for all who ask, in the order they ask, one at a time.

    Functions, arguments and results must pickle. The child starts with the first call or with `start`, yields the CPU
    to media, and ends with this process however that ends. `code` is the code of every `WorkerError`.
    """

    def __init__(self, name: str, *, code: FaultCode, initializer: Callable[[], None] | None = None):
        self.name = name
        self._code = code
        self._initializer = initializer or no_initializer
        self._lock = asyncio.Lock()
        self._child: _Child | None = None
        self._closed = False

    async def start(self) -> None:
        """Start the child, if there is none, and let it run its initializer by itself while nobody waits."""
        async with self._lock:
            await self._ready_child()

    async def run(self, function: Callable[[*Ts], T], *args: *Ts, deadline: float) -> T:
        """Return what `function(*args)` returns in the child, or raise `WorkerError`.

        `deadline` counts the function's own time, not that spent waiting in line or for the child to start. A caller
        that cannot wait may be cancelled at any time: a call in line is then never made, the answer of one that was
        made is dropped, and the child lives on.
        """
        request = pickle.dumps((function, args))
        async with self._lock:
            child = await self._ready_child()
            try:
                await child.settle()
                succeeded, value = await child.call(request, deadline)
            except TimeoutError:
                await self._discard(child)
                raise self._error("took too long") from None
            except EOFError:
                await self._discard(child)
                raise self._error("is closed" if self._closed else "died") from None
            except _InitializerError as error:
                await self._discard(child)
                raise self._error("cannot start its work") from ChildError(*error.args)
        if not succeeded:
            raise self._error("failed") from ChildError(value)
        return value  # type: ignore[no-any-return]

    async def close(self) -> None:
        """End the child at once, and fail the calls that run or wait; may be called again."""
        self._closed = True
        if self._child is not None:
            self._child.request_exit()
        async with self._lock:
            if self._child is not None:
                await self._discard(self._child)

    async def _ready_child(self) -> "_Child":
        if self._closed:
            raise self._error("is closed")
        if self._child is not None and self._child.has_exited:
            await self._discard(self._child)
        if self._child is None:
            try:
                self._child = await _Child.spawn(self._initializer)
            except OSError as error:
                raise self._error("cannot be started") from error
            if self._closed:
                self._child.request_exit()
        return self._child

    async def _discard(self, child: "_Child") -> None:
        await child.end()
        self._child = None

    def _error(self, what: str) -> WorkerError:
        return WorkerError(self._code, f"The {self.name} worker {what}.", where=f"worker {self.name}")


class _InitializerError(Exception):
    """The child is there but useless; the argument is the traceback."""


class _Child:
    """The process, and the one answer it may owe: to its initializer, or to a call whose caller may be gone."""

    def __init__(
        self, process: asyncio.subprocess.Process, requests: asyncio.StreamWriter, answers: asyncio.StreamReader
    ):
        self._process = process
        self._requests = requests
        self._answers = answers
        self._deadline: float | None = None  # loop time by which the outstanding answer must be here
        self._length: int | None = None  # of the answer whose header has been read
        self._is_initialized = False

    @classmethod
    async def spawn(cls, initializer: Callable[[], None]) -> "_Child":
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "pipeline.workers.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
            start_new_session=True,  # out of reach of the terminal's Ctrl-C
        )
        assert process.stdin is not None
        assert process.stdout is not None
        child = cls(process, process.stdin, process.stdout)
        child._send(pickle.dumps((initializer, ())), START_DEADLINE)
        return child

    @property
    def has_exited(self) -> bool:
        """Dead, or on the way there."""
        return self._process.returncode is not None or self._requests.is_closing()

    async def settle(self) -> None:
        """Wait for the answer that is still owed, if any, and drop it."""
        if self._deadline is None:
            return
        # It may have come in time and lain here since.
        self._deadline = max(self._deadline, asyncio.get_running_loop().time() + SETTLE_DEADLINE)
        succeeded, value = await self._receive()
        if not self._is_initialized and not succeeded:
            raise _InitializerError(value)
        self._is_initialized = True

    async def call(self, request: bytes, deadline: float) -> tuple[bool, Any]:
        """What the function returned, or False and a traceback; TimeoutError or EOFError if neither comes."""
        self._send(request, deadline)
        return await self._receive()

    def request_exit(self) -> None:
        """Let an idle child exit by itself, in order; kill a busy one."""
        if self._deadline is not None:
            self._kill()
        self._requests.close()

    async def end(self) -> None:
        """Return when the process is gone."""
        self.request_exit()
        try:
            async with asyncio.timeout(EXIT_DEADLINE):
                await self._process.communicate()
        except TimeoutError:
            self._kill()
            await self._process.communicate()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def _send(self, request: bytes, deadline: float) -> None:
        # Not drained: the child reads while it works, and there is one call at a time.
        self._requests.write(HEADER.pack(len(request)) + request)
        self._deadline = asyncio.get_running_loop().time() + deadline

    async def _receive(self) -> tuple[bool, Any]:
        # Each read takes all or nothing, so a caller cancelled here leaves the stream readable for the next.
        async with asyncio.timeout_at(self._deadline):
            if self._length is None:
                (self._length,) = HEADER.unpack(await self._answers.readexactly(HEADER.size))
            answer = await self._answers.readexactly(self._length)
        self._deadline = self._length = None
        succeeded, value = pickle.loads(answer)
        return succeeded, value
