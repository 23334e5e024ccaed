"""The local engine serves every google-genai that speaks its protocol."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server_process import ROOT

pytestmark = pytest.mark.acceptance

CLIENT = """
import asyncio, google.genai
from google import genai
from google.genai import types
from mediaserver.localengine.responder.scripted import parse_script
from mediaserver.localengine.server import LocalEngine

SCRIPT = "rules: [{when: anything, answer: [{say: one two, tone: 440, seconds: 1}]}]"

async def main():
    async with LocalEngine(parse_script(SCRIPT)) as engine:
        options = types.HttpOptions(
            base_url=engine.base_url, api_version="v1beta", async_client_args={"ssl": engine.client_ssl, "proxy": None}
        )
        client = genai.Client(api_key="k", http_options=options)
        config = {"response_modalities": ["AUDIO"], "output_audio_transcription": {}}
        async with client.aio.live.connect(model="local", config=config) as session:
            await session.send_realtime_input(text="count")
            voice, text = 0, ""
            async for message in session.receive():
                content = message.server_content
                for part in (content.model_turn.parts if content and content.model_turn else []):
                    voice += len(part.inline_data.data)
                if content and content.output_transcription:
                    text += content.output_transcription.text
    print(google.genai.__version__, voice, text)

asyncio.run(main())
"""


@pytest.mark.parametrize("version", ["3.0.0", "3.1.0", "3.2.0", "3.3.0"])
def test_an_older_sdk_is_answered(version: str, tmp_path: Path) -> None:
    target = tmp_path / "sdk"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(target)]
    subprocess.run([*install, f"google-genai=={version}"], check=True, timeout=180)
    shown = subprocess.run(
        [sys.executable, "-c", CLIENT],
        env={**os.environ, "PYTHONPATH": f"{target}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.stdout.split() == [version, "48000", "one", "two"], shown.stderr
