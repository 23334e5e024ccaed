"""What README says is so: its examples run, its tables are the code's."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import expect

from mediaserver.event_codec import parse_command
from mediaserver.jsonws.codec import parse
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.plugins import load_toolbox
from mediaserver.settings import Settings
from pipeline.errors import ProtocolError
from pipeline.tools.toolbox import ToolContext
from tests.support.livekit_browser import PAGES, chromium, require_clients, served
from tests.support.server_process import EDITOR, ROOT, Server, quiet, serving, synthetic, write_wav

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
    assert len(messages) >= 11
    for message in messages:
        try:
            parse_command(message)
        except ProtocolError:
            parse(message.encode())  # what only a JSON WebSocket takes


def test_the_example_script_can_be_played() -> None:
    (script,) = blocks("yaml")
    parse_script(script)


def test_the_tool_that_is_shown_can_be_loaded_and_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = [block for block in blocks("python") if "CLOCK = Tool" in block]
    (tmp_path / "clock.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    tool = load_toolbox(["clock:CLOCK"]).get("now")
    answer = tool.run({"place": "here"}, ToolContext(None))
    assert isinstance(answer, Coroutine)
    assert "time" in asyncio.run(answer)


def test_the_curl_examples_answer_json(server: Server) -> None:
    examples = [block for block in blocks("bash") if block.startswith("curl")]
    commands = [line for example in examples for line in example.replace("\\\n", " ").splitlines()]
    assert len(commands) >= 4
    for command in commands:
        asked = command.replace("http://localhost:8000", server.address)
        shown = subprocess.run(["sh", "-c", asked], capture_output=True, text=True, timeout=20, check=True)
        assert "error" not in json.loads(shown.stdout)


def run_example(which: str, server: Server, folder: Path, *arguments: str) -> str:
    (client,) = [block for block in blocks("python") if which in block]
    (folder / "client.py").write_text(client.replace("http://localhost:8000", server.address))
    shown = subprocess.run(
        [sys.executable, "client.py", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return shown.stdout


@pytest.mark.timeout(120)
def test_the_webrtc_client_is_answered_by_voice(server: Server, tmp_path: Path) -> None:
    assert "turn_complete" in run_example("RTCPeerConnection", server, tmp_path)
    assert (tmp_path / "answer.wav").stat().st_size > 100_000


@pytest.mark.timeout(120)
def test_the_websocket_client_is_told_what_is_on_its_picture(server: Server, tmp_path: Path) -> None:
    picture = np.full((300, 900, 3), 255, np.uint8)
    cv2.putText(picture, "Quarterly report", (40, 160), cv2.FONT_HERSHEY_SIMPLEX, 2.5, (0, 0, 0), 5, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "screen.png"), picture)
    assert "Quarterly report" in run_example("ws_connect", server, tmp_path, "screen.png")
    assert (tmp_path / "answer.pcm").stat().st_size > 50_000


@pytest.mark.timeout(120)
def test_the_livekit_client_in_python_is_answered_by_voice_and_in_writing(server: Server, tmp_path: Path) -> None:
    assert "assistant: It is" in run_example("rtc.Room()", server, tmp_path)
    assert (tmp_path / "answer.wav").stat().st_size > 100_000


@pytest.mark.browser
@pytest.mark.timeout(120)
def test_the_livekit_page_hears_sees_and_is_answered(tmp_path: Path) -> None:
    require_clients()
    (page,) = blocks("html")
    site = tmp_path / "site"
    site.mkdir()
    (site / "node_modules").symlink_to(PAGES / "node_modules")
    # Again and again: on a busy machine, the first question may come before the screen.
    question = quiet(4) + synthetic("where is save") + quiet(4)
    microphone = write_wav(tmp_path / "mic.wav", question * 6)
    devices = f"--use-file-for-fake-audio-capture={microphone}%noloop"
    with (
        served(site) as origin,
        serving(tmp_path, CORS_ORIGINS=origin) as server,
        chromium(devices, "--auto-select-tab-capture-source-by-title=Shared editor") as browser,
    ):
        (site / "index.html").write_text(page.replace("http://localhost:8000", server.address))
        context = browser.new_context()
        editor, tab = context.new_page(), context.new_page()
        editor.set_content(EDITOR)
        tab.goto(origin)
        tab.get_by_role("button", name="Talk").click()
        tab.wait_for_selector("audio", state="attached")
        tab.get_by_role("button", name="Share screen").click()
        expect(tab.locator("#said")).to_contain_text(re.compile(r"assistant: .*Save is .*left"), timeout=60_000)
        tab.screenshot(path=tmp_path / "page.png")
