"""The reports of the server's start."""

from pathlib import Path

import pytest
from loguru import logger

from mediaserver.cli.serve import log_guest_policy
from mediaserver.settings import load


def logged(monkeypatch: pytest.MonkeyPatch, **settings: str) -> list[str]:
    for name, value in {"GEMINI_API_KEY": "key", **settings}.items():
        monkeypatch.setenv(name, value)
    lines: list[str] = []
    sink = logger.add(lines.append, level="INFO", format="{level} {message}")
    log_guest_policy(load())
    logger.remove(sink)
    return lines


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_with_a_key_the_start_says_who_may_be_a_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = logged(monkeypatch)
    assert line.startswith("WARNING ALLOW_GUESTS is not set: users of this machine may be guests")
    assert "ALLOW_GUESTS=false" in line
    (line,) = logged(monkeypatch, ALLOW_GUESTS="true")
    assert line.startswith("WARNING ALLOW_GUESTS is true: all who reach this server may be guests")
    assert logged(monkeypatch, ALLOW_GUESTS="false") == ["INFO nobody may be a guest\n"]


@pytest.mark.parametrize("settings", [{"HOST": "127.0.0.1"}, {"ENGINE": "local"}])
def test_where_guests_cost_nothing_or_nobody_else_reaches_the_server_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    assert logged(monkeypatch, **settings) == []
