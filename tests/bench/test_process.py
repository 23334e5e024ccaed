"""Usage of a process and its children, read from outside."""

import os
import subprocess
import sys
import time

import pytest

from bench.process import busy, machine, usage
from bench.servers import pinned

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

SPINNING = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {SPINNING!r}])"


def test_cpu_memory_and_threads_of_children_are_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = usage(process.pid)
        process.communicate("\n")
    assert found.cpu >= 0.29
    assert found.threads == 2
    assert found.rss > 5


def test_the_machine_is_at_least_as_busy_as_this_process() -> None:
    before, mine = busy(), time.process_time()
    while time.process_time() < mine + 0.2:
        pass
    assert busy() - before >= 0.15


def test_the_machine_has_a_name() -> None:
    assert machine().startswith(f"{os.cpu_count()} x ")


def test_what_is_started_while_pinned_stays_on_its_core() -> None:
    before = os.sched_getaffinity(0)
    core = min(before)
    with pinned(core):
        printed = subprocess.check_output(
            [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], text=True
        )
    assert printed.strip() == str({core})
    assert os.sched_getaffinity(0) == before


def test_nothing_is_pinned_when_not_asked() -> None:
    before = os.sched_getaffinity(0)
    with pinned(None):
        assert os.sched_getaffinity(0) == before
