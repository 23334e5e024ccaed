"""The wheel, installed where there is no checkout: it carries what it serves and names what it imports."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import aiohttp
import pytest
from packaging.requirements import Requirement

from tests.support.server_process import ROOT

SOURCES = ("LICENSE", "README.md", "mediaserver", "pipeline", "pyproject.toml", "setup.py", "web")


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel and only those packages that its metadata asks for."""

    folder: Path

    @property
    def command(self) -> Path:
        return self.folder / "bin" / "mediaserver"

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.command, *words],
            cwd=self._empty(),
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def serving(self, **environment: str) -> Iterator[str]:
        """The address of a server that was started in an empty folder."""
        words = {"PORT": "0", "HOST": "127.0.0.1", **environment}
        process = subprocess.Popen(
            [self.command], cwd=self._empty(), env=self._environment(words), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            found = re.search(r"http://localhost:\d+", process.stdout.readline())
            assert found
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)

    def _empty(self) -> Path:
        shutil.rmtree(self.folder / "empty", ignore_errors=True)
        (self.folder / "empty").mkdir()
        return self.folder / "empty"

    @staticmethod
    def _environment(more: dict[str, str]) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", ""), **more}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    pip("wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(folder), str(folder))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(wheel, "mediaserver", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def local(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(wheel, "mediaserver[local]", tmp_path_factory.mktemp("local"))


def pip(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def install(wheel: Path, name: str, folder: Path) -> Installed:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    pip("--python", str(folder / "bin" / "python"), "install", "--no-deps", "--no-index", str(wheel))
    (packages,) = folder.glob("lib/python*/site-packages")
    for path in sorted(needed(packages, Requirement(name))):
        (packages / path.name).symlink_to(path)
    return Installed(folder)


def needed(packages: Path, requirement: Requirement) -> set[Path]:
    """What the packages that the wheel in `packages` asks for, and those that they ask for, have in site-packages."""
    (about,) = packages.glob("mediaserver-*.dist-info")
    asked = re.findall(r"^Requires-Dist: (.*)$", (about / "METADATA").read_text(), re.MULTILINE)
    left = [Requirement(line) for line in asked if applies(Requirement(line), requirement.extras)]
    seen: set[tuple[str, frozenset[str]]] = set()
    found: set[Path] = set()
    while left:
        wanted = left.pop()
        if (wanted.name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((wanted.name, frozenset(wanted.extras)))
        try:
            package = distribution(wanted.name)
        except PackageNotFoundError:
            assert wanted.name in (ROOT / "config" / "lock-excludes.txt").read_text().splitlines()
            continue
        tops = {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}
        found |= {Path(str(package.locate_file(top))) for top in tops}
        further = [Requirement(line) for line in package.requires or ()]
        left += [other for other in further if applies(other, wanted.extras)]
    return found


def applies(requirement: Requirement, extras: set[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in (*extras, ""))


def fetched(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def check_pages(address: str, engine: str) -> None:
    status, page = fetched(address)
    assert status == 200
    script = re.findall(r'<script type="module" src="(/static/[^"]+)"', page)[0]
    for path, content in (
        (script, "import"),
        ("/docs", "swagger-ui-bundle.js"),
        ("/docs/swagger-ui-bundle.js", "SwaggerUI"),
        ("/docs/swagger-ui.css", ".swagger-ui"),
    ):
        status, text = fetched(address + path)
        assert status == 200, path
        assert content in text, path
    status, health = fetched(f"{address}/health")
    assert status == 200
    assert json.loads(health)["engine"] == engine
    assert json.loads(health)["status"] == "ok"


async def answer(address: str, question: str) -> str:
    async with aiohttp.ClientSession(address) as http:
        guest = await (await http.post("/api/v1/guests")).json()
        async with http.ws_connect(f"/ws/livekit?token={guest['access_token']}") as socket:
            await socket.send_json({"action": "start_session"})
            await socket.send_json({"action": "text_input", "text": question})
            async for message in socket:
                event = message.json()
                if event["action"] in ("text_response", "error"):
                    return str(event.get("text", event))
    raise AssertionError("the server hung up")


@pytest.mark.timeout(180)
def test_for_gemini_it_needs_nothing_of_the_local_engine(plain: Installed) -> None:
    with plain.serving(ENGINE="gemini", GEMINI_API_KEY="k") as address:
        check_pages(address, "gemini")
    assert (plain.folder / "empty" / "data" / "mediaserver.db").is_file()


def test_without_its_packages_the_local_engine_names_the_command_that_brings_them(plain: Installed) -> None:
    for shown in (plain.run(ENGINE="local"), plain.run("engine"), plain.run("engine", "--script", "tone:1")):
        assert shown.returncode == 2
        assert "pip install 'mediaserver[local]'" in shown.stderr
        assert "Traceback" not in shown.stderr


@pytest.mark.timeout(180)
def test_with_the_extra_the_local_engine_answers(local: Installed) -> None:
    with local.serving(ENGINE="local") as address:
        check_pages(address, "local")
        assert asyncio.run(answer(address, "hello")).startswith("Hello.")


def test_its_command_says_its_version_and_comes_from_the_wheel(plain: Installed) -> None:
    assert plain.run("--version").stdout.startswith("Mediaserver ")
    where = subprocess.run(
        [plain.folder / "bin" / "python", "-P", "-c", "import mediaserver, pipeline; print(pipeline.__file__)"],
        cwd=plain.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(plain.folder))
