"""The command line: what is understood, what is not, and how that is told."""

import pytest

from mediaserver.__main__ import main
from mediaserver.cli.arguments import parse
from mediaserver.localengine.session.connection_lifetime import DEFAULT_LIFETIME


def test_without_a_command_it_serves() -> None:
    assert parse([]).command == "serve"
    assert parse(["serve"]).command == "serve"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--help"], ("serve", "user", "engine", "--version")),
        (["serve", "--help"], ("Settings",)),
        (["user", "--help"], ("add", "password", "list", "delete")),
        (["user", "add", "--help"], ("NAME", "EMAIL", "--full-name")),
        (
            ["engine", "--help"],
            ("--host", "--port", "--api-key", "--certificate-out", "--script", "--go-away", "--time-left", "--faults"),
        ),
    ],
)
def test_help_is_no_error(words: list[str], shown: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    output = capsys.readouterr()
    assert [word for word in shown if word not in output.out] == []
    assert output.err == ""


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["motor"], "choose from"),
        (["serve", "now"], "unrecognized arguments: now"),
        (["user"], "add | password | list | delete"),
        (["user", "ad"], "choose from"),
        (["user", "add", "ada"], "EMAIL"),
    ],
)
def test_what_is_not_understood_is_named_and_exits_with_2(
    words: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert named in capsys.readouterr().err


def test_the_engine_s_defaults_are_those_of_its_help() -> None:
    asked = parse(["engine"])
    assert (asked.go_away, asked.time_left) == (DEFAULT_LIFETIME.until_warning, DEFAULT_LIFETIME.after_warning)


def test_usage_names_the_program_that_was_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for started, name in (
        ("/opt/bin/mediaserver", "mediaserver"),
        ("mediaserver/__main__.py", "python -m mediaserver"),
    ):
        monkeypatch.setattr("sys.argv", [started, "--help"])
        assert main() == 0
        assert capsys.readouterr().out.startswith(f"usage: {name} ")
