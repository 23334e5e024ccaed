"""Starting and stopping, as it is seen from the terminal."""

import gc
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mediaserver import __version__
from mediaserver.cli.serve import freeze_gc
from mediaserver.localengine.certificate import _sign
from tests.support.server_process import GEMINI, ROOT, serving

SECRET = "0123456789abcdef0123456789abcdef"


def run(*flags: str, cwd: Path = ROOT, timeout: float = 30, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GEMINI", "ENGINE", "SECRET"))}
    return subprocess.run(
        [sys.executable, *flags, str(ROOT / "run.py")],
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_without_its_dependencies_it_says_which_command_installs_them() -> None:
    shown = run("-S", PYTHONPATH="")
    assert shown.returncode == 2
    assert "make run" in shown.stderr
    assert "pip install --no-deps --require-hashes -r requirements.lock" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help_and_version_need_no_dependency(word: str) -> None:
    shown = subprocess.run([sys.executable, "-S", "run.py", word], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "serve | user | engine" in shown.stdout or shown.stdout == f"Mediaserver {__version__}\n"
    assert shown.stderr == ""


def test_wrong_settings_are_told_a_line_each_and_end_with_2() -> None:
    shown = run(ENVIRONMENT="production", PORT="http", VAD_THRESHOLD="hunter2")
    assert shown.returncode == 2
    assert [line.partition(":")[0] for line in shown.stderr.splitlines()] == ["PORT", "VAD_THRESHOLD"]
    assert "hunter2" not in shown.stderr


def test_a_misspelt_setting_is_warned_of_at_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ENGIN=local\nDATABASE_URL=nowhere\n")
    assert "ENGIN in .env is no setting; ENGINE is" in run(cwd=tmp_path).stderr


def test_a_script_that_cannot_be_played_is_told_with_its_line(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("rules:\n  - when: sometimes\n    answer: []\n")
    shown = run(LOCAL_ENGINE_SCRIPT=str(script), ENGINE="local", DATA_DIR=str(tmp_path))
    assert shown.returncode == 2
    assert shown.stderr.startswith("LOCAL_ENGINE_SCRIPT: line 2")


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        shown = run(HOST="127.0.0.1", PORT=port, DATA_DIR=str(tmp_path), ENGINE="gemini", GEMINI_API_KEY="k")
    assert shown.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in shown.stderr


def test_it_greets_with_address_engine_and_what_to_set_for_gemini(tmp_path: Path) -> None:
    with serving(tmp_path, ENGINE="auto") as server:
        assert re.search(r"Mediaserver \d+\.\d+\.\d+: http://localhost:\d+", server.greeting)
        assert "Engine: local" in server.greeting
        assert "GEMINI_API_KEY" in server.greeting


def test_production_writes_json_lines_with_request_ids_and_takes_no_guests(tmp_path: Path) -> None:
    environment = {
        "ENVIRONMENT": "production",
        "SECRET_KEY": SECRET,
        **GEMINI,
        "LOG_DIR": str(tmp_path / "logs"),
    }
    with serving(tmp_path, **environment) as server:
        request = urllib.request.Request(f"{server.address}/api/v1/guests", method="POST")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        assert refused.value.code == 403
        request_id = refused.value.headers["X-Request-ID"]
        refused.value.close()
    lines = [json.loads(line) for line in (tmp_path / "logs" / "app.log").read_text().splitlines()]
    (line,) = [line for line in lines if line.get("request") == request_id]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/api/v1/guests", 403)
    assert SECRET not in (tmp_path / "logs" / "app.log").read_text()


@pytest.mark.parametrize(("name", "engine"), [(signal.SIGINT, {}), (signal.SIGTERM, GEMINI)])
def test_a_signal_ends_it_cleanly_and_leaves_no_process(
    tmp_path: Path, name: signal.Signals, engine: dict[str, str]
) -> None:
    with serving(tmp_path, **engine) as server:
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        server.process.send_signal(name)
        assert server.process.wait(timeout=20) == 0
        assert not any(Path(f"/proc/{child}").exists() for child in children)
    assert "Traceback" not in (tmp_path / "stderr.log").read_text()


def test_with_a_certificate_it_speaks_https(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign(key, "127.0.0.1").public_bytes(serialization.Encoding.PEM)
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    paths = {"TLS_CERT": str(tmp_path / "cert.pem"), "TLS_KEY": str(tmp_path / "key.pem")}
    with serving(tmp_path, **paths, **GEMINI) as server:
        assert server.address.startswith("https://")
        trusting = ssl.create_default_context(cadata=certificate.decode())
        address = server.address.replace("localhost", "127.0.0.1")
        with urllib.request.urlopen(f"{address}/health", timeout=10, context=trusting) as response:
            assert response.status == 200


def test_sighup_reads_the_certificate_again_and_ends_nothing(tmp_path: Path) -> None:
    def issue() -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        certificate = _sign(key, "127.0.0.1").public_bytes(pem).decode()
        (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
        (tmp_path / "cert.pem").write_text(certificate)
        return certificate

    def shown() -> str:
        port = int(server.address.rpartition(":")[2])
        return ssl.get_server_certificate(("127.0.0.1", port), timeout=10)

    def hang_up(word: str) -> None:
        before = log.read_text().count(word)
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while log.read_text().count(word) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.process.poll() is None

    log = tmp_path / "stderr.log"
    first = issue()
    paths = {"TLS_CERT": str(tmp_path / "cert.pem"), "TLS_KEY": str(tmp_path / "key.pem")}
    with serving(tmp_path, **paths, **GEMINI) as server:
        assert shown().split() == first.split()
        second = issue()
        hang_up("read again on SIGHUP")
        assert shown().split() == second.split()
        (tmp_path / "cert.pem").write_text(first)
        hang_up("cannot be read again")
        assert shown().split() == second.split()


def test_what_stands_when_serving_begins_is_never_searched_for_garbage() -> None:
    try:
        freeze_gc()
        assert gc.get_freeze_count() > 10_000
        assert len(gc.get_objects()) < 10_000
    finally:
        gc.unfreeze()
