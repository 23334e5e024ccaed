"""README's example of the local engine alone does what it says."""

import os
import re
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from mediaserver.__main__ import main
from mediaserver.localengine.faults import HEADER, parse_faults
from tests.product import ROOT

README = (ROOT / "README.md").read_text()
SECTION = README.partition("### The local engine alone")[2].partition("\n## ")[0]


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    return str(found)


@pytest.mark.timeout(120)
def test_the_example_is_answered_by_voice_and_in_words(tmp_path: Path) -> None:
    started = block("bash").strip().split()
    assert started[:2] == [".venv/bin/python", "run.py"]
    words = ["0" if word == "8900" else word for word in started[2:]]
    command = [sys.executable, str(ROOT / "run.py"), *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as engine:
        try:
            assert engine.stdout is not None
            first = engine.stdout.readline()
            address = first.removeprefix("Local engine: ").strip()
            while "Ctrl-C" not in first:
                first = engine.stdout.readline()
                assert first
            (tmp_path / "client.py").write_text(block("python").replace("https://127.0.0.1:8900", address))
            shown = subprocess.run(
                [sys.executable, "client.py"],
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
        finally:
            engine.terminate()
    assert "Hello. I am the local engine." in shown.stdout
    with wave.open(str(tmp_path / "engine.wav")) as voice:
        assert voice.getnframes() > voice.getframerate()


def test_every_fault_that_is_shown_is_accepted() -> None:
    shown = block("text").strip().splitlines()
    assert len(shown) == 3
    for line in shown:
        name, _, order = line.partition(": ")
        assert name == HEADER
        assert parse_faults(order)


def test_every_option_that_is_shown_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", "--help"]) == 0
    assert set(re.findall(r"--[a-z-]+", SECTION)) <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
