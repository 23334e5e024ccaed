"""What README says is so: its examples run, its tables are the code's."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mediaserver.localengine.script import parse_script
from mediaserver.settings import Settings
from mediaserver.wire import parse_command
from tests.product import ROOT, Server

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def settings_table() -> str:
    rows = ["| setting | default | accepts |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, "", ()) else str(field.default)
        default = default.lower() if isinstance(field.default, bool) else default
        rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


def test_the_settings_table_is_the_codes() -> None:
    shown = re.search(r"<!-- settings -->\n(.*?)\n<!-- /settings -->", README, re.DOTALL)
    assert shown is not None
    assert shown[1] == settings_table()


def test_every_action_that_is_shown_is_accepted() -> None:
    messages = [line for block in blocks("json") for line in block.splitlines()]
    assert len(messages) >= 8
    for message in messages:
        parse_command(message)


def test_the_example_script_can_be_played() -> None:
    (script,) = blocks("yaml")
    parse_script(script)


def test_the_curl_examples_answer_json(server: Server) -> None:
    examples = [block for block in blocks("bash") if block.startswith("curl")]
    assert len(examples) >= 2
    for example in examples:
        command = example.replace("http://localhost:8000", server.address)
        shown = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20, check=True)
        assert isinstance(json.loads(shown.stdout), dict)


@pytest.mark.timeout(120)
def test_the_example_client_is_answered_by_voice(server: Server, tmp_path: Path) -> None:
    (client,) = blocks("python")
    (tmp_path / "client.py").write_text(client.replace("http://localhost:8000", server.address))
    shown = subprocess.run(
        [sys.executable, "client.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert "turn_complete" in shown.stdout
    assert (tmp_path / "answer.wav").stat().st_size > 100_000
