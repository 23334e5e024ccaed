"""Runs one measurement: starts the engine, the server and the load client, measures from outside, and stops them."""

import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load import Plan, Result, Window
from bench.process import Usage, busy, machine, usage
from bench.quantiles import buckets, percentile, percentile_bound
from bench.report import Figures
from bench.servers import ROOT, Server, StartError, engine, pinned, server
from mediaserver.settings import Settings

_LAG = "mediaserver_loop_lag_seconds"
_SETTLED = 1.0
_END_DEADLINE = 5.0
_MAX_ERROR_OUTPUT = 2_000  # characters


@dataclass(frozen=True, slots=True)
class Setup:
    """The measurement to make; times in seconds."""

    sessions: int
    seconds: float = 60.0
    warmup: float = 8.0
    stagger: float = 0.25
    probes: int = 20
    reply: float = 2.0
    has_screen: bool = False
    is_pinned: bool = True
    """Whether the server has the first core alone, and the engine and load client the second; needs two."""


@dataclass(frozen=True, slots=True)
class _Reading:
    at: float
    server: Usage
    engine: Usage
    load: Usage
    machine: float
    lag: dict[float, float]


def measure(setup: Setup) -> list[Figures]:
    """Measure; returns the figures of the audio window, and of the screen's if requested. Raises `StartError`."""
    with tempfile.TemporaryDirectory(prefix="mediaserver-bench-") as name, ExitStack() as parts:
        folder = Path(name)
        cores = sorted(os.sched_getaffinity(0)) if setup.is_pinned else [None, None]
        answering, certificate = parts.enter_context(engine(folder, reply=setup.reply, core=cores[1]))
        serving = parts.enter_context(server(folder, answering.address, certificate, core=cores[0]))
        time.sleep(_SETTLED)
        empty = usage(serving.pid)
        plan = Plan(
            serving.address,
            setup.sessions,
            setup.seconds,
            setup.warmup,
            setup.stagger,
            setup.probes,
            setup.reply,
            setup.has_screen,
        )
        load = parts.enter_context(_load(folder, plan, core=cores[1]))
        expect(load, "warmed")
        warmed = usage(serving.pid)
        _go_on(load)
        readings = []
        for _ in range(1 + setup.has_screen):
            for phase in ("begin", "end"):
                expect(load, phase)
                readings.append(_read(serving, answering, load.pid))
                _go_on(load)
        result = parse_result(expect(load, "result"))
    stretches = zip(readings[::2], readings[1::2], result.windows, strict=True)
    common = _common(setup) | _start_figures(empty, warmed) | _connect_figures(result)
    audio, *shared = [common | _window_figures(setup, warmed, *stretch) for stretch in stretches]
    runs = [audio | {"screen": False}]
    if shared:
        runs.append(shared[0] | {"screen": True} | _added(setup, audio, shared[0]))
    return runs


def parse_result(text: str) -> Result:
    """Read the load client's last line."""
    result = json.loads(text)["result"]
    return Result(**result | {"windows": [Window(**window) for window in result["windows"]]})


@contextmanager
def _load(folder: Path, plan: Plan, *, core: int | None) -> Iterator[subprocess.Popen[str]]:
    with (folder / "load.log").open("w") as errors, pinned(core):
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", json.dumps(asdict(plan))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        yield process
    except StartError as error:
        last = [(folder / name).read_text(errors="replace")[-_MAX_ERROR_OUTPUT:] for name in ("server.log", "load.log")]
        raise StartError("\n".join([str(error), *last])) from None
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Wait for the load client: it exits after its result, or when its input is closed."""
    try:
        process.communicate(timeout=_END_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def expect(load: subprocess.Popen[str], phase: str) -> str:
    """Return the load client's next line, which must be of this phase; raises `StartError`."""
    assert load.stdout is not None
    line = load.stdout.readline()
    if not line or json.loads(line)["phase"] != phase:
        raise StartError(f"The load client did not come to `{phase}`.")
    return line


def _go_on(load: subprocess.Popen[str]) -> None:
    assert load.stdin is not None
    load.stdin.write("\n")
    load.stdin.flush()


def _read(serving: Server, answering: Server, load: int) -> _Reading:
    with urllib.request.urlopen(f"{serving.address}/api/v1/metrics", timeout=10) as page:
        lag = buckets(page.read().decode(), _LAG)
    return _Reading(time.monotonic(), usage(serving.pid), usage(answering.pid), usage(load), busy(), lag)


def _common(setup: Setup) -> Figures:
    fields = Settings.model_fields
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "python": sys.version.split()[0],
        "sessions": setup.sessions,
        "window_seconds": setup.seconds,
        "warmup_seconds": setup.warmup,
        "reply_seconds": setup.reply,
        "pinned": setup.is_pinned,
        "vad_silence_ms": int(fields["vad_silence_ms"].default),
        "vad_start_ms": int(fields["vad_start_ms"].default),
    }


def _start_figures(empty: Usage, warmed: Usage) -> Figures:
    return {
        "server_rss_mb_empty": _rounded(empty.rss),
        "server_rss_mb_warmed": _rounded(warmed.rss),
        "server_threads_empty": empty.threads,
        "server_threads_warmed": warmed.threads,
    }


def _connect_figures(result: Result) -> Figures:
    return {
        "connects": len(result.connects),
        **_percentiles("post_to_answer_ms", result.answers),
        **_percentiles("post_to_connected_ms", result.connects),
        "first_rtp_before_speech": len(result.first_packets),
        **_percentiles("post_to_first_rtp_ms", result.first_packets),
        "failed_sessions": sum(result.failures.values()),
        "failures": result.failures,
    }


def _window_figures(setup: Setup, warmed: Usage, before: _Reading, after: _Reading, window: Window) -> Figures:
    fields = Settings.model_fields
    elapsed = after.at - before.at
    minutes = max(window.alive, 1) * elapsed / 60
    silence, start = fields["vad_silence_ms"].default, fields["vad_start_ms"].default
    server_cpu = after.server.cpu - before.server.cpu
    engine_cpu, load_cpu = after.engine.cpu - before.engine.cpu, after.load.cpu - before.load.cpu
    return {
        "sessions_alive": window.alive,
        "server_cpu_s_per_session_minute": _rounded(server_cpu / minutes, 3),
        "server_core_share": _rounded(server_cpu / elapsed, 3),
        "engine_cpu_s_per_session_minute": _rounded(engine_cpu / minutes, 3),
        "load_cpu_s_per_session_minute": _rounded(load_cpu / minutes, 3),
        "load_cores_per_session": _rounded(load_cpu / elapsed / max(window.alive, 1), 4),
        "load_late_ms_p99": _rounded(1_000 * window.late_p99),
        "load_late_ms_max": _rounded(1_000 * window.late_max),
        "other_cores": _rounded((after.machine - before.machine - server_cpu - engine_cpu - load_cpu) / elapsed, 2),
        "server_rss_mb_loaded": _rounded(after.server.rss),
        "server_rss_mb_per_session": _rounded((after.server.rss - warmed.rss) / setup.sessions, 2),
        "server_threads_loaded": after.server.threads,
        "server_threads_per_session": _rounded((after.server.threads - warmed.threads) / setup.sessions, 2),
        "replies": len(window.replies),
        "continuity_percent": _rounded(100 * window.frames_heard / window.frames_due, 2) if window.frames_due else None,
        "largest_gap_ms": round(1_000 * window.largest_gap),
        **_percentiles("speech_end_to_reply_ms", window.replies, less=silence),
        "barge_ins": len(window.cuts),
        **_percentiles("speech_start_to_silence_ms", window.cuts, less=start),
        "loop_lag_ms_p50_at_most": _lag_bound(before, after, 0.5),
        "loop_lag_ms_p99_at_most": _lag_bound(before, after, 0.99),
        "troubles": dict(window.troubles),
    }


def _added(setup: Setup, audio: Figures, shared: Figures) -> Figures:
    """Return the cost of the screens: the second window of the run less the first."""
    cpu, rss = "server_cpu_s_per_session_minute", "server_rss_mb_loaded"
    return {
        "screen_added_cpu_s_per_session_minute": _rounded(_number(shared[cpu]) - _number(audio[cpu]), 3),
        "screen_added_rss_mb_per_session": _rounded((_number(shared[rss]) - _number(audio[rss])) / setup.sessions, 2),
    }


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _percentiles(name: str, seconds: list[float], *, less: float | None = None) -> Figures:
    p50, p95 = (
        None if value is None else 1_000 * value for value in (percentile(seconds, 0.5), percentile(seconds, 0.95))
    )
    figures: Figures = {f"{name}_p50": _rounded(p50), f"{name}_p95": _rounded(p95)}
    if less is not None:
        figures[f"{name}_beyond_vad_p50"] = None if p50 is None else _rounded(p50 - less)
        figures[f"{name}_beyond_vad_p95"] = None if p95 is None else _rounded(p95 - less)
    return figures


def _lag_bound(before: _Reading, after: _Reading, share: float) -> float | None:
    bound = percentile_bound(before.lag, after.lag, share)
    return None if bound is None else 1_000 * bound


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
