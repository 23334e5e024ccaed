"""Logs."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from mediaserver import logs


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logger.remove()
    logger.configure(patcher=None)
    logging.root.handlers[:], logging.root.level = handlers, level


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_production_logs_are_json_lines_with_the_ids_of_their_context(tmp_path: Path) -> None:
    logs.configure(level="INFO", folder=tmp_path)
    with logger.contextualize(session="s1", request="r1"):
        logger.info("turn complete", heard_ms=40)
    logger.debug("not worth a line")
    (line,) = lines_of(tmp_path / "app.log")
    assert (line["message"], line["session"], line["request"], line["heard_ms"]) == ("turn complete", "s1", "r1", 40)
    assert (tmp_path / "error.log").read_text() == ""


def test_an_error_stands_in_both_files_with_its_traceback_and_no_variable(tmp_path: Path) -> None:
    logs.configure(level="INFO", folder=tmp_path)
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


def test_what_libraries_log_comes_the_same_way(tmp_path: Path) -> None:
    logs.configure(level="INFO", folder=tmp_path)
    logging.getLogger("somebody").warning("braces {} are theirs")
    (line,) = lines_of(tmp_path / "app.log")
    assert (line["message"], line["level"]) == ("braces {} are theirs", "WARNING")


def test_development_logs_are_readable_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(level="INFO", folder=None)
    logger.info("session started", engine="local")
    shown = capsys.readouterr().err
    assert "session started" in shown
    assert "engine=local" in shown
