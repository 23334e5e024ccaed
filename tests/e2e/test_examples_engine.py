"""The example of the local engine alone, and the commands of docs/engine.md."""

import os
import re
import shlex
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from mediaserver.__main__ import main
from mediaserver.localengine.fault_injection.spec import HEADER, parse_faults
from tests.support.server_process import ROOT

DOCUMENT = (ROOT / "docs" / "engine.md").read_text()


def blocks(language: str) -> str:
    return "".join(re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL))


@pytest.mark.timeout(120)
def test_the_example_is_answered_by_voice_and_in_words(tmp_path: Path) -> None:
    (started,) = [line for line in blocks("bash").splitlines() if "--certificate-out" in line]
    program, script, *words = shlex.split(started)
    assert [program, script] == [".venv/bin/python", "run.py"]
    command = [sys.executable, str(ROOT / "run.py"), *("0" if word == "8900" else word for word in words)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as engine:
        try:
            assert engine.stdout is not None
            first = engine.stdout.readline()
            address = first.removeprefix("Local engine: ").strip()
            while "Ctrl-C" not in first:
                first = engine.stdout.readline()
                assert first
            shown = subprocess.run(
                [sys.executable, str(ROOT / "examples" / "engine_client.py")],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT), "ENGINE_URL": address},
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            ).stdout
        finally:
            engine.terminate()
    assert "Hello. I am the local engine." in shown
    with wave.open(str(tmp_path / "answer.wav")) as voice:
        assert voice.getnframes() > voice.getframerate()


def test_every_fault_that_is_shown_is_accepted() -> None:
    shown = [line for line in blocks("text").splitlines() if line.startswith(f"{HEADER}:")]
    assert len(shown) == 3
    for line in shown:
        assert parse_faults(line.partition(": ")[2])


def test_every_option_that_is_shown_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "--help"]) == 0
    known = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    shown = set(re.findall(r"`(--[a-z-]+)", DOCUMENT))
    assert shown == known - {"--help"}
