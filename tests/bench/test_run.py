"""One short run of the whole benchmark: real processes, one user."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.report import MARKS
from bench.servers import StartError, engine

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the bench reads /proc")


@LINUX
@pytest.mark.acceptance
def test_one_session_is_measured_from_outside(tmp_path: Path) -> None:
    out = tmp_path / "runs.jsonl"
    document = tmp_path / "bench.md"
    document.write_text("\n".join(MARKS))
    measured = "--sessions 1 --seconds 7 --warmup 0.2 --reply 1 --probes 1 --no-pin"
    words = [*measured.split(), "--out", str(out), "--into", str(document)]
    process = subprocess.run(
        [sys.executable, "-m", "bench", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == 0, process.stderr
    [run] = [json.loads(line) for line in out.read_text().splitlines()]
    assert (run["sessions"], run["sessions_alive"], run["failures"], run["troubles"]) == (1, 1, {}, {})
    assert run["replies"] >= 1
    assert run["connects"] == 2
    assert run["speech_end_to_reply_ms_p50"] > run["vad_silence_ms"]
    assert run["speech_end_to_reply_ms_beyond_vad_p50"] == pytest.approx(
        run["speech_end_to_reply_ms_p50"] - run["vad_silence_ms"], abs=0.2
    )
    assert run["continuity_percent"] > 50
    assert 0 < run["post_to_answer_ms_p50"] < run["post_to_connected_ms_p50"]
    for name in ("server_cpu_s", "engine_cpu_s", "load_cpu_s"):
        assert run[f"{name}_per_session_minute"] > 0
    assert 50 < run["server_rss_mb_empty"] <= run["server_rss_mb_loaded"]
    assert run["loop_lag_ms_p99_at_most"] is not None
    assert f'`make bench BENCH="{measured}"`' in process.stdout
    assert document.read_text().split("\n", 1)[1].startswith(process.stdout.strip().splitlines()[0])


def test_an_engine_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.servers.SCRIPT", "rules: 7")
    with pytest.raises(StartError, match="rules"), engine(tmp_path, reply=1.0, core=None):
        pass


@pytest.mark.parametrize("words", [["--sessions", "0"], ["--sessions", "x"], ["--nonsense"], ["--into", "Makefile"]])
def test_words_that_are_not_understood_are_refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2


def test_only_linux_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["bench"])
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main() == 1
    assert "Linux" in capsys.readouterr().err
