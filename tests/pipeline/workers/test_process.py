import asyncio
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeline.errors import FaultCode, Severity
from pipeline.workers.child import HEADER, ready, serve
from pipeline.workers.process import Worker, WorkerError

pytestmark = pytest.mark.one_python

LONG = 60.0


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker("test", code=FaultCode.ENGINE_INTERNAL)
    yield worker
    await worker.close()


class Gate:
    """Something a child waits at, so that a test knows it is in the middle of a call."""

    def __init__(self, path: Path):
        self.path = path
        os.mkfifo(path)

    async def reached(self) -> int:
        # Opening a FIFO to write waits until somebody has opened it to read.
        return await asyncio.to_thread(os.open, self.path, os.O_WRONLY)

    @staticmethod
    def release(handle: int, text: str) -> None:
        os.write(handle, text.encode())
        os.close(handle)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def gone(pid: int) -> bool:
    """Wait until a process has ended; False if it does not."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


async def test_calls_run_in_one_other_process(worker: Worker) -> None:
    first = await worker.run(os.getpid, deadline=LONG)
    second = await worker.run(os.getpid, deadline=LONG)
    assert first == second != os.getpid()


async def test_arguments_and_results_of_megabytes_pass(worker: Worker) -> None:
    sent = b"picture " * 500_000
    assert await worker.run(bytes.upper, sent, deadline=LONG) == sent.upper()


async def test_what_a_call_prints_does_not_get_between_the_answers(worker: Worker) -> None:
    await worker.run(partial(print, "noise", flush=True), deadline=LONG)
    assert await worker.run(abs, -3, deadline=LONG) == 3


async def test_an_exception_becomes_an_error_with_the_workers_code_and_the_childs_traceback(worker: Worker) -> None:
    pid = await worker.run(os.getpid, deadline=LONG)
    with pytest.raises(WorkerError) as caught:
        await worker.run(int, "seven", deadline=LONG)
    assert caught.value.code is FaultCode.ENGINE_INTERNAL
    assert caught.value.severity is Severity.TURN
    assert "seven" not in caught.value.message
    assert "ValueError" in str(caught.value.__cause__)
    assert await worker.run(os.getpid, deadline=LONG) == pid


async def test_a_result_that_cannot_be_sent_is_an_error(worker: Worker) -> None:
    with pytest.raises(WorkerError) as caught:
        await worker.run(threading.Lock, deadline=LONG)
    assert "pickle" in str(caught.value.__cause__)


async def test_a_crash_is_an_error_and_the_next_call_has_a_new_process(worker: Worker) -> None:
    pid = await worker.run(os.getpid, deadline=LONG)
    with pytest.raises(WorkerError, match="died"):
        await worker.run(os.abort, deadline=LONG)
    assert await worker.run(os.getpid, deadline=LONG) != pid


async def test_a_process_that_died_between_calls_is_replaced_unnoticed(worker: Worker) -> None:
    pid = await worker.run(os.getpid, deadline=LONG)
    assert worker._child is not None
    os.kill(pid, signal.SIGKILL)
    await worker._child._process.wait()
    assert await worker.run(os.getpid, deadline=LONG) != pid


async def test_a_call_over_its_deadline_is_killed_and_the_next_call_has_a_new_process(worker: Worker) -> None:
    pid = await worker.run(os.getpid, deadline=LONG)
    with pytest.raises(WorkerError, match="took too long"):
        await worker.run(time.sleep, LONG, deadline=0.05)
    assert gone(pid)
    assert await worker.run(os.getpid, deadline=LONG) != pid


async def test_calls_are_answered_in_the_order_they_were_made(worker: Worker) -> None:
    finished: list[int] = []

    async def call(number: int) -> None:
        assert await worker.run(abs, -number, deadline=LONG) == number
        finished.append(number)

    await asyncio.gather(*(call(number) for number in range(20)))
    assert finished == list(range(20))


async def test_a_call_cancelled_halfway_wedges_nothing_and_keeps_the_process(worker: Worker, gate: Gate) -> None:
    pid = await worker.run(os.getpid, deadline=LONG)
    given_up = asyncio.create_task(worker.run(Path.read_text, gate.path, deadline=LONG))
    handle = await gate.reached()
    waiting = asyncio.create_task(worker.run(os.getpid, deadline=LONG))
    given_up.cancel()
    await asyncio.wait([given_up])
    gate.release(handle, "nobody wants this any more")
    assert given_up.cancelled()
    assert await waiting == pid


async def test_a_call_cancelled_in_line_is_never_made(worker: Worker, gate: Gate, tmp_path: Path) -> None:
    running = asyncio.create_task(worker.run(Path.read_text, gate.path, deadline=LONG))
    handle = await gate.reached()
    in_line = asyncio.create_task(worker.run(Path.touch, tmp_path / "made", deadline=LONG))
    await asyncio.sleep(0)
    in_line.cancel()
    gate.release(handle, "done")
    assert await running == "done"
    await worker.run(abs, 1, deadline=LONG)
    assert not (tmp_path / "made").exists()


async def test_an_abandoned_call_still_has_its_deadline(
    worker: Worker, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.workers.process.SETTLE_DEADLINE", 0.0)
    given_up = asyncio.create_task(worker.run(Path.read_text, gate.path, deadline=0.3))
    handle = await gate.reached()
    given_up.cancel()
    await asyncio.wait([given_up])
    with pytest.raises(WorkerError, match="took too long"):
        await worker.run(abs, -1, deadline=LONG)
    os.close(handle)
    assert await worker.run(abs, -1, deadline=LONG) == 1


async def test_the_initializer_has_run_before_the_first_call(tmp_path: Path) -> None:
    worker = Worker("test", code=FaultCode.ENGINE_INTERNAL, initializer=partial(os.chdir, tmp_path))
    assert await worker.run(os.getcwd, deadline=LONG) == str(tmp_path)
    await worker.close()


async def test_an_initializer_that_fails_is_an_error_and_is_tried_again_by_the_next_call(tmp_path: Path) -> None:
    later = tmp_path / "later"
    worker = Worker("test", code=FaultCode.FRAME_PROCESSING_ERROR, initializer=partial(os.chdir, later))
    with pytest.raises(WorkerError, match="cannot start") as caught:
        await worker.run(os.getcwd, deadline=LONG)
    assert caught.value.code is FaultCode.FRAME_PROCESSING_ERROR
    assert "FileNotFoundError" in str(caught.value.__cause__)
    later.mkdir()
    assert await worker.run(os.getcwd, deadline=LONG) == str(later)
    await worker.close()


async def test_start_begins_the_initializer_without_waiting_for_it(gate: Gate) -> None:
    worker = Worker("test", code=FaultCode.ENGINE_INTERNAL, initializer=partial(Path.read_text, gate.path))  # type: ignore[arg-type]
    await worker.start()
    first = asyncio.create_task(worker.run(abs, -1, deadline=LONG))
    gate.release(await gate.reached(), "models are loaded")
    assert await first == 1
    await worker.close()


async def test_the_child_yields_to_media_and_leaves_signals_to_its_parent(worker: Worker) -> None:
    pid = await worker.run(os.getpid, deadline=LONG)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert await worker.run(os.getpriority, os.PRIO_PROCESS, 0, deadline=LONG) == min(own + 5, 19)
    assert await worker.run(os.getenv, "OMP_NUM_THREADS", deadline=LONG) == "1"
    assert await worker.run(os.getsid, 0, deadline=LONG) == pid
    os.kill(pid, signal.SIGINT)
    os.kill(pid, signal.SIGTERM)
    assert await worker.run(os.getpid, deadline=LONG) == pid


async def test_close_ends_an_idle_child_and_refuses_further_calls(worker: Worker) -> None:
    pid = await worker.run(os.getpid, deadline=LONG)
    await worker.close()
    await worker.close()
    assert gone(pid)
    with pytest.raises(WorkerError, match="closed"):
        await worker.run(os.getpid, deadline=LONG)


async def test_close_kills_a_busy_child_and_fails_all_its_calls(worker: Worker, gate: Gate) -> None:
    pid = await worker.run(os.getpid, deadline=LONG)
    running = asyncio.create_task(worker.run(Path.read_text, gate.path, deadline=LONG))
    in_line = asyncio.create_task(worker.run(abs, 1, deadline=LONG))
    handle = await gate.reached()
    await worker.close()
    os.close(handle)
    assert gone(pid)
    for call in (running, in_line):
        with pytest.raises(WorkerError, match="closed"):
            await call


async def test_close_during_the_start_leaves_no_child() -> None:
    worker = Worker("test", code=FaultCode.ENGINE_INTERNAL)
    call = asyncio.create_task(worker.run(os.getpid, deadline=LONG))
    await asyncio.sleep(0)
    await worker.close()
    with pytest.raises(WorkerError, match="closed"):
        await call
    assert worker._child is None


async def test_close_of_a_worker_that_never_ran_does_nothing() -> None:
    await Worker("test", code=FaultCode.ENGINE_INTERNAL).close()


async def test_a_child_that_will_not_exit_is_killed(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.workers.process.EXIT_DEADLINE", 0.0)
    pid = await worker.run(os.getpid, deadline=LONG)
    await worker.close()
    assert gone(pid)


async def test_a_child_that_cannot_be_started_is_an_error(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkerError, match="cannot be started"):
        await worker.run(abs, 1, deadline=LONG)


PARENT = """
import asyncio, os, time
from pipeline.errors import FaultCode
from pipeline.workers.process import Worker
print("imported", flush=True)

async def main():
    worker = Worker("test", code=FaultCode.ENGINE_INTERNAL)
    print(await worker.run(os.getpid, deadline=60), flush=True)
    task = asyncio.create_task(worker.run(time.sleep, 60, deadline=60))
    await asyncio.sleep(3600)

asyncio.run(main())
"""


def test_the_child_ends_when_its_parent_is_killed_in_the_middle_of_a_call(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, script], env={**os.environ, "PYTHONPATH": os.getcwd()}, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "imported\n"
        child = int(parent.stdout.readline())
        parent.kill()
        assert parent.stdout.read() == ""  # the child has not run the main module again
    assert gone(child)


class Loop:
    """The child's loop, run here in a thread over two pipes."""

    def __init__(self) -> None:
        self._requests, self.sink = os.pipe()
        self._source, self._answers = os.pipe()
        self._was_idle: list[bool] = []
        self._thread = threading.Thread(target=lambda: self._was_idle.append(serve(self._requests, self._answers)))
        self._thread.start()

    def send(self, request: bytes) -> None:
        os.write(self.sink, HEADER.pack(len(request)) + request)

    def answer(self) -> tuple[bool, object]:
        (length,) = HEADER.unpack(os.read(self._source, HEADER.size))
        succeeded, value = pickle.loads(os.read(self._source, length))
        return succeeded, value

    def finish(self) -> bool:
        os.close(self.sink)
        self._thread.join()
        return self._was_idle[0]

    def close(self) -> None:
        for end in (self._requests, self._source, self._answers):
            os.close(end)


@pytest.fixture
def child() -> Iterator[Loop]:
    child = Loop()
    yield child
    child.close()


def test_the_childs_loop_answers_until_its_input_ends(child: Loop) -> None:
    child.send(pickle.dumps((ready, ())))
    child.send(pickle.dumps((int, ("x",))))
    child.send(b"not a pickle")
    assert child.answer() == (True, None)
    for _ in range(2):
        succeeded, trace = child.answer()
        assert not succeeded
        assert "Error" in str(trace)
    assert child.finish()


def test_the_childs_loop_ends_at_half_a_message(child: Loop) -> None:
    os.write(child.sink, HEADER.pack(100) + b"only this")
    assert child.finish()


def test_the_childs_loop_waits_for_no_call_when_its_input_ends(
    child: Loop, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.workers.child.GRACE", 0.0)
    child.send(pickle.dumps((Path.read_text, (gate.path,))))
    handle = os.open(gate.path, os.O_WRONLY)
    child.send(pickle.dumps((abs, (1,))))
    assert not child.finish()
    gate.release(handle, "late")
    assert child.answer() == (True, "late")
