"""Logs."""

import json
import logging
import re
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loguru import logger

from mediaserver import log_lines, logs

FORGED = "/a\r\n12:00:00.000 ERROR   forged \x1b[31m\x9b\u2028\u202e\ud800"


@pytest.fixture
def configure() -> Iterator[Callable[..., logs.FloodGate]]:
    """Configures logging; afterwards it is as it was."""
    handlers, level = logging.root.handlers[:], logging.root.level
    gates: list[logs.FloodGate] = []

    def configured(*, level: str = "INFO", folder: Path | None = None) -> logs.FloodGate:
        gates.append(logs.configure(level=level, folder=folder))
        return gates[-1]

    yield configured
    logger.remove()
    for gate in gates:
        gate.close()
    logger.configure(patcher=lambda _: None)  # None would leave it
    logging.root.handlers[:], logging.root.level = handlers, level


Configure = Callable[..., logs.FloodGate]


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def fail(text: str = "") -> None:
    try:
        raise ValueError(text)
    except ValueError as error:
        logger.opt(exception=error).error("failed")


def test_production_logs_are_json_lines_with_the_ids_of_their_context(configure: Configure, tmp_path: Path) -> None:
    configure(folder=tmp_path)
    with logger.contextualize(session="s1", request="r1"):
        logger.info("turn complete", heard_ms=40)
    logger.debug("not worth a line")
    (line,) = lines_of(tmp_path / "app.log")
    assert (line["message"], line["session"], line["request"], line["heard_ms"]) == ("turn complete", "s1", "r1", 40)
    assert (tmp_path / "error.log").read_text() == ""


def test_an_error_stands_in_both_files_with_its_traceback_and_no_variable(configure: Configure, tmp_path: Path) -> None:
    configure(folder=tmp_path)
    token = "hunter2"
    try:
        int(token[:0])
    except ValueError as error:
        logger.opt(exception=error).error("failed")
    (line,) = lines_of(tmp_path / "error.log")
    assert lines_of(tmp_path / "app.log") == [line]
    assert "ValueError" in str(line["error"])
    assert "test_logs.py" in str(line["traceback"])
    assert token not in (tmp_path / "error.log").read_text()


def test_what_libraries_log_comes_the_same_way(configure: Configure, tmp_path: Path) -> None:
    configure(folder=tmp_path)
    logging.getLogger("somebody").warning("braces {} are theirs")
    (line,) = lines_of(tmp_path / "app.log")
    assert (line["message"], line["level"]) == ("braces {} are theirs", "WARNING")


def test_development_logs_are_readable_on_the_terminal(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    logger.info("session started", engine="local")
    shown = capsys.readouterr().err
    assert "session started" in shown
    assert "engine=local" in shown


def test_log_files_are_for_the_servers_own_user_only(configure: Configure, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("")
    (tmp_path / "app.log").chmod(0o644)
    configure(folder=tmp_path)
    logger.error("failed")
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {
        "app.log": 0o600,
        "error.log": 0o600,
    }


def test_a_line_is_bounded_whatever_a_client_sends(configure: Configure, tmp_path: Path) -> None:
    configure(folder=tmp_path)
    logger.info("http", path="/" + "a" * 70_000, odd=["b" * 70_000])
    logging.getLogger("somebody").warning("c" * 70_000)
    fail("d" * 70_000)
    http, foreign, failed = lines_of(tmp_path / "app.log")
    assert http["path"] == "/" + "a" * (log_lines.MAX_FIELD - 2) + "…"
    assert len(str(http["path"])) == len(str(http["odd"])) == log_lines.MAX_FIELD == 200
    assert len(str(foreign["message"])) == len(str(failed["error"])) == log_lines.MAX_MESSAGE == 1_000


@pytest.mark.parametrize("is_production", [False, True])
def test_no_text_of_a_client_can_control_the_terminal_or_forge_a_line(
    configure: Configure, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_production: bool
) -> None:
    configure(folder=tmp_path if is_production else None)
    logger.info("http", path=FORGED)
    logging.getLogger("somebody").warning(FORGED)
    fail(FORGED)
    shown = capsys.readouterr().err
    begin = r"\{" if is_production else r"\d\d:\d\d:\d\d\.\d{3} "
    lines = shown.split("\n")[:-1]
    assert sum(re.match(begin, line) is not None for line in lines) == 3
    assert all(line.isprintable() for line in lines)
    assert "forged" in shown


def test_a_traceback_of_development_is_bounded_and_shows_its_innermost_frames(
    configure: Configure, capsys: pytest.CaptureFixture[str]
) -> None:
    def recurse(depth: int) -> None:
        if depth == 0:
            raise ValueError("\n" * 10_000)
        recurse(depth - 1)

    configure()
    try:
        recurse(300)
    except ValueError as error:
        logger.opt(exception=error).error("failed")
    assert len(capsys.readouterr().err.splitlines()) < 100


def test_a_flood_is_summed_up_and_an_older_error_stays(configure: Configure, tmp_path: Path) -> None:
    gate = configure(folder=tmp_path)
    logger.error("the disk is broken")
    for _ in range(4_153):
        with logger.contextualize(address="192.0.2.1", request="r1"):
            logger.info("http", status=404)
    for number in range(2_000):
        with logger.contextualize(address=f"192.0.2.{number}"):
            fail()
    gate.close()
    errors = lines_of(tmp_path / "error.log")
    assert [errors[0]["message"], errors[-1]["message"]] == [
        "the disk is broken",
        "failed: and 1,980 more like it in 3600 s",
    ]
    assert len(errors) == 1 + 20 + 1
    summary = lines_of(tmp_path / "app.log")[-2]
    assert summary["message"] == "http: and 4,103 more like it in 10 s"
    assert (summary["level"], summary["status"]) == ("INFO", 404)
    assert "test_logs:" in str(summary["at"])
    assert "address" not in summary


def test_a_summary_comes_by_itself_when_its_flood_is_over_also_beside_a_longer_one(
    configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[threading.Timer] = []

    class Timer(threading.Timer):
        def start(self) -> None:
            timers.append(self)

    now = 1000.0
    monkeypatch.setattr("mediaserver.logs.threading.Timer", Timer)
    monkeypatch.setattr("mediaserver.logs.time.monotonic", lambda: now)
    configure(folder=tmp_path)
    for _ in range(60):
        fail()
    for _ in range(60):
        logger.info("http")
    assert [timer.interval for timer in timers] == [3600, 10]
    now += 10
    timers[1].function()
    assert lines_of(tmp_path / "app.log")[-1]["message"] == "http: and 10 more like it in 10 s"
    assert [timer.interval for timer in timers] == [3600, 10, 3590]
    assert [timer.finished.is_set() for timer in timers] == [True, True, False]  # the first two are stopped
    now += 3590
    timers[2].function()
    assert lines_of(tmp_path / "error.log")[-1]["message"] == "failed: and 50 more like it in 3600 s"
    assert len(timers) == 3
