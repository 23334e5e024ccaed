"""Measures a process and its children by Linux's /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Totals of a process and all its living descendants: CPU seconds so far, resident megabytes, threads."""

    cpu: float
    rss: float
    threads: int


def usage(pid: int) -> Usage:
    """Read the totals now: user and system time (fields 14 and 15 of proc(5) stat), VmRSS and Threads of status."""
    family = _family(pid)
    return Usage(sum(map(_cpu, family)), sum(map(_rss, family)), sum(map(_threads, family)))


def _family(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    family = [pid]
    for member in family:  # grows as it goes
        family += children.get(member, ())
    return family


def _parent(entry: Path) -> int | None:
    try:
        return int(_fields(entry)[1])
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended meanwhile


def _fields(entry: Path) -> list[str]:
    # The second field is the command in parentheses, which may itself have spaces and parentheses.
    return (entry / "stat").read_text().rpartition(")")[2].split()


def _cpu(pid: int) -> float:
    fields = _fields(PROC / str(pid))
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _status(pid: int, name: str) -> int:
    lines = (PROC / str(pid) / "status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def _rss(pid: int) -> float:
    return _status(pid, "VmRSS") / 1024


def _threads(pid: int) -> int:
    return _status(pid, "Threads")


def busy() -> float:
    """Return the CPU seconds used by all processes of the machine, and taken by the host (steal), since boot."""
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, (PROC / "stat").read_text().split()[1:11])
    return (user + nice + system + irq + softirq + steal) / _TICKS


def machine() -> str:
    """Describe the processor, the number of cores, and the system."""
    lines = (PROC / "cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), os.uname().machine
    )
    return f"{os.cpu_count()} x {model}, {os.uname().sysname} {os.uname().release.split('-')[0]}"
