"""The command line: `serve`, `user` and `engine`, parsed without importing what they need to run."""

import argparse
import ipaddress
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mediaserver import __version__
from mediaserver.localengine.packages import PackagesMissingError, check_packages

if TYPE_CHECKING:
    from mediaserver.localengine.responder.interface import Responder

LONGEST_TONE = 600.0
"""Seconds of one answer."""


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; `command` is serve, user or engine. Raises `SystemExit`, as argparse does."""
    whole = argparse.ArgumentParser(_program(), description="A self-hosted voice assistant that sees your screen.")
    whole.add_argument("--version", action="version", version=f"Mediaserver {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="serve | user | engine", title="commands")
    commands.add_parser(
        "serve",
        help="start the server; the default",
        description="Start the server, until Ctrl-C. Settings come from the environment or a .env file; see README.md.",
    )
    _add_user_arguments(
        commands.add_parser("user", help="manage accounts", description="Manage the accounts of this server.")
    )
    engine = commands.add_parser(
        "engine", help="run the local engine alone", description="Run the local engine alone, until Ctrl-C."
    )
    _add_engine_arguments(engine)
    whole.set_defaults(command="serve")
    options = whole.parse_args(words)
    if options.command == "engine" and options.api_key is None and not ipaddress.ip_address(options.host).is_loopback:
        engine.error(f"others can reach {options.host}: give an --api-key")
    return options


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "python -m mediaserver" if name == "__main__.py" else name


def _add_user_arguments(user: argparse.ArgumentParser) -> None:
    actions = user.add_subparsers(dest="action", required=True, metavar="add | password | list | delete")
    add = actions.add_parser("add", help="make an account; the password is asked for, or read from a pipe")
    add.add_argument("name", metavar="NAME")
    add.add_argument("email", metavar="EMAIL")
    add.add_argument("--full-name")
    password = actions.add_parser("password", help="set a new password, and log the user out")
    password.add_argument("name", metavar="NAME", help="a username or an email")
    actions.add_parser("list", help="show all accounts, oldest first")
    delete = actions.add_parser("delete", help="delete an account with everything that is stored of its user")
    delete.add_argument("name", metavar="NAME", help="a username or an email")


def _add_engine_arguments(engine: argparse.ArgumentParser) -> None:
    engine.add_argument("--host", type=_address, default="127.0.0.1", metavar="ADDRESS", help="default: 127.0.0.1")
    engine.add_argument("--port", type=_port, default=0, help="0 to 65535; default: 0, any free one")
    engine.add_argument("--api-key", type=_key, metavar="KEY", help="the one key to take; default: any")
    engine.add_argument(
        "--certificate-out", type=Path, metavar="FILE", help="where to write the certificate; default: a temporary file"
    )
    engine.add_argument(
        "--script",
        type=_script,
        metavar="SCRIPT",
        help="answer from a YAML file instead of listening and looking; tone:SECONDS counts aloud that long",
    )
    engine.add_argument(
        "--go-away",
        type=_seconds,
        default=540.0,
        metavar="SECONDS",
        help="the age at which a connection is told to go; default: 540",
    )
    engine.add_argument(
        "--time-left",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="from being told to go until it is closed; default: 60",
    )
    engine.add_argument("--faults", action="store_true", help="let clients order faults with the header x-engine-fault")


def _address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address, such as 127.0.0.1") from None
    if address.is_unspecified:
        raise argparse.ArgumentTypeError(f"{text} cannot be certified: name the one address to listen on")
    return str(address)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


def _key(text: str) -> str:
    if not text.isascii() or not text.isprintable() or not text.strip():
        raise argparse.ArgumentTypeError("a key is one or more ASCII characters")
    return text.strip()


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0, up to 86400")
    return seconds


def _script(text: str) -> "Responder":
    try:
        check_packages()
    except PackagesMissingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    kind, separator, seconds = text.partition(":")
    if kind == "tone" and separator:
        length = _seconds(seconds)
        if length > LONGEST_TONE:
            raise argparse.ArgumentTypeError(f"a tone lasts up to {LONGEST_TONE:g} seconds")
        from mediaserver.localengine.responder.tone import tone_responder

        return tone_responder(length)
    from mediaserver.localengine.responder.scripted import ScriptError, load_script

    try:
        return load_script(Path(text))
    except (ScriptError, OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
