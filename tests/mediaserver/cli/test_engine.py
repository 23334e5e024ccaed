"""`run.py engine`, from its words to the last of its processes."""

import asyncio
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from google import genai
from google.genai import errors, types
from google.genai.live import AsyncSession
from websockets.exceptions import InvalidStatus

from mediaserver.__main__ import main
from tests.support.server_process import ROOT

TRANSCRIBED = types.LiveConnectConfig(output_audio_transcription=types.AudioTranscriptionConfig())
TONE = ("--script", "tone:0.4")
FAULT = {"x-engine-fault": "status=503"}


@dataclass(frozen=True)
class Running:
    """An engine in a process of its own, and what it printed."""

    process: subprocess.Popen[str]
    greeting: str

    @property
    def url(self) -> str:
        return self._printed("Local engine")

    @property
    def certificate(self) -> Path:
        return Path(self._printed("Certificate"))

    def client(self, key: str = "any", headers: dict[str, str] | None = None) -> genai.Client:
        tls = ssl.create_default_context(cafile=str(self.certificate))
        options = {"base_url": self.url, "headers": headers, "async_client_args": {"ssl": tls, "proxy": None}}
        return genai.Client(api_key=key, http_options=options)  # type: ignore[arg-type]

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=30)

    def children(self) -> list[int]:
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in listed.split()]

    def _printed(self, name: str) -> str:
        (found,) = re.findall(rf"^{name}: (.*)$", self.greeting, re.MULTILINE)
        return str(found)


@contextmanager
def engine(*words: str) -> Iterator[Running]:
    command = [sys.executable, str(ROOT / "run.py"), "engine", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        greeting = ""
        while "Ctrl-C" not in greeting:
            line = process.stdout.readline()
            assert line, greeting
            greeting += line
        try:
            yield Running(process, greeting)
        finally:
            process.terminate()


async def ask(session: AsyncSession, text: str = "hi") -> str:
    await session.send_realtime_input(text=text)
    contents = [message.server_content async for message in session.receive()]
    return "".join(
        content.output_transcription.text or ""
        for content in contents
        if content is not None and content.output_transcription is not None
    )


async def answer(running: Running, text: str = "hi", key: str = "any", headers: dict[str, str] | None = None) -> str:
    connecting = running.client(key, headers).aio.live.connect(model="local", config={"output_audio_transcription": {}})
    async with connecting as session:
        return await ask(session, text)


def check_printed_lines(running: Running) -> None:
    """The lines that it prints point the SDK at it."""
    lines = running.greeting.partition("import ssl")[2].partition("\n\n")[0]
    names: dict[str, genai.Client] = {}
    exec("import ssl" + lines, names)
    assert len(lines.strip().splitlines()) == 4

    async def connect() -> None:
        async with names["client"].aio.live.connect(model="local", config=TRANSCRIBED) as session:
            assert await ask(session) == "1 "

    asyncio.run(connect())


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_the_engine_answers_the_sdk_until_it_is_interrupted() -> None:
    with engine(*TONE) as running:
        check_printed_lines(running)
        # Faults are ordered only if they are turned on.
        assert asyncio.run(answer(running, headers=FAULT)) == "1 "
        certificate = running.certificate
        assert certificate.exists()
        assert running.stop() == 0
        assert running.process.stdout is not None
        assert "Stopping" in running.process.stdout.read()
    assert not certificate.exists()  # nobody asked for it to stay


def test_the_certificate_stays_where_it_was_asked_for_and_one_key_is_taken(tmp_path: Path) -> None:
    certificate = tmp_path / "engine.pem"
    with engine(*TONE, "--api-key", "right", "--certificate-out", str(certificate)) as running:
        assert running.certificate == certificate
        assert asyncio.run(answer(running, key="right")) == "1 "
        with pytest.raises(errors.APIError, match="API key not valid"):
            asyncio.run(answer(running, key="wrong"))
        assert running.stop(signal.SIGTERM) == 0
    assert certificate.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")


def test_connections_last_as_long_as_was_asked() -> None:
    async def leave(running: Running) -> None:
        async with running.client().aio.live.connect(model="local") as session:
            warnings = [message.go_away async for message in session.receive()]
            assert warnings[0] is not None
            assert warnings[0].time_left == "0.2s"

    short = ("--go-away", "0.1", "--time-left", "0.2")
    with engine(*TONE, *short) as running, pytest.raises(errors.APIError, match="Deadline expired"):
        asyncio.run(leave(running))


def test_an_interrupt_tells_every_client_and_leaves_no_worker_process() -> None:
    async def interrupted(running: Running) -> list[int]:
        async with running.client().aio.live.connect(model="local") as session:
            assert await ask(session, "hello") == ""  # no transcript was asked for
            children = running.children()
            running.process.send_signal(signal.SIGINT)
            with pytest.raises(errors.APIError) as caught:  # noqa: PT012
                async for message in session.receive():
                    assert message.go_away is not None
            assert caught.value.code == 1001
            return children

    with engine() as running:  # the real responder: speech recognition, OCR and speech synthesis are processes
        children = asyncio.run(interrupted(running))
        assert running.process.wait(timeout=30) == 0
    assert children
    assert [child for child in children if is_alive(child)] == []


def test_a_script_answers_and_faults_can_be_turned_on(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("rules: [{when: anything, answer: [{say: Scripted., seconds: 0.2}]}]")
    with engine("--script", str(script), "--faults") as running:
        assert asyncio.run(answer(running)) == "Scripted. "
        with pytest.raises(InvalidStatus):
            asyncio.run(answer(running, headers=FAULT))


def test_a_port_that_is_taken_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["engine", *TONE, "--port", port]) == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in capfd.readouterr().err


def test_a_certificate_that_cannot_be_written_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["engine", *TONE, "--certificate-out", str(tmp_path)]) == 2
    assert f"Cannot write {tmp_path}" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--port", "x"], "'x' is no port from 0 to 65535"),
        (["--port", "65536"], "no port"),
        (["--host", "localhost"], "no IP address"),
        (["--host", "0.0.0.0"], "cannot be certified"),
        (["--host", "192.0.2.1"], "give an --api-key"),
        (["--api-key", " "], "a key is"),
        (["--api-key", "schlüssel"], "a key is"),
        (["--script", "tone:x"], "no number of seconds"),
        (["--script", "tone:601"], "up to 600 seconds"),
        (["--script", "tone:nan"], "no number of seconds"),
        (["--script", "/no/such/file"], "No such file"),
        (["--script", str(ROOT / "LICENSE")], "line 1"),
        (["--go-away", "0"], "no number of seconds"),
        (["--time-left", "-1"], "no number of seconds"),
        (["--certificate-out"], "expected one argument"),
        (["--unheard-of"], "unrecognized arguments"),
        (["now"], "unrecognized arguments"),
    ],
)
def test_words_that_are_not_understood_are_named(
    words: list[str], named: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["engine", *words]) == 2
    assert named in capfd.readouterr().err


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="this machine has no IPv6")
def test_the_engine_listens_on_ipv6_too() -> None:
    with engine(*TONE, "--host", "::1") as running:
        assert running.url.startswith("https://[::1]:")
        assert asyncio.run(answer(running)) == "1 "
