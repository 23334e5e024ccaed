"""The other end of a `Worker`: runs one function after the other until its standard input closes.

Started as `python -m pipeline.workers.child` and not by multiprocessing, whose spawn imports the server's main module
again, reads the BLAS thread limits too late, cannot be killed without private attributes, and keeps a third process.
"""

import contextlib
import os
import pickle
import signal
import struct
import sys
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

HEADER = struct.Struct("!Q")
"""Stands before every message, both ways: its length in bytes."""

NICENESS = 5
EXIT_GRACE = 1.0  # s for a call that is nearly done when the server goes away


def main() -> None:
    """Serve the parent over the standard streams."""
    # A Ctrl-C, and a service manager's SIGTERM to the whole group, is for the parent: it drains, then closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # On Linux this counts per thread, and threads inherit it: so before there are any.
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    # What a library prints must not get between the answers.
    answers = os.dup(1)
    os.dup2(2, 1)
    if not serve(0, answers):
        os._exit(1)


def serve(requests: int, answers: int) -> bool:
    """Answer pickled (function, args) read from one file descriptor on another, in order, until end of file.

    False if a call was still running then, and has been left to itself. An answer is a pickled (True, value) or
    (False, traceback).
    """
    # The call runs beside the reader, so that the parent's death is seen in the middle of one.
    with _shutting_down(ThreadPoolExecutor(max_workers=1)) as executor:
        last: Future[bytes] | None = None
        for request in _messages(requests):
            last = executor.submit(_answer, request)
            last.add_done_callback(lambda done: _reply(answers, done))
        return last is None or last in wait([last], timeout=EXIT_GRACE).done


def no_initializer() -> None:
    """Do nothing: what a child without an initializer begins with."""


@contextlib.contextmanager
def _shutting_down(executor: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    try:
        yield executor
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _answer(request: bytes) -> bytes:
    function, args = pickle.loads(request)
    return pickle.dumps((True, function(*args)))


def _reply(answers: int, done: Future[bytes]) -> None:
    if done.cancelled():
        return
    error = done.exception()
    answer = done.result() if error is None else pickle.dumps((False, "".join(traceback.format_exception(error))))
    with contextlib.suppress(BrokenPipeError):  # nobody is left to tell
        _write(answers, HEADER.pack(len(answer)) + answer)


def _messages(source: int) -> Iterator[bytes]:
    while (header := _read(source, HEADER.size)) is not None:
        (length,) = HEADER.unpack(header)
        message = _read(source, length)
        if message is None:
            return
        yield message


def _read(source: int, length: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < length:
        part = os.read(source, min(length - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


def _write(sink: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(sink, view) :]


if __name__ == "__main__":
    main()
    sys.exit(0)
