"""`python -m bench`: see `--help`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.report import replaced, table
from bench.run import Setup, measure
from bench.servers import StartError


def main() -> int:
    """Measure, and write JSON lines and a Markdown table; 1 when something did not start, 3 when sessions failed."""
    asked = _parser().parse_args()
    if sys.platform != "linux":
        sys.stderr.write("The bench reads CPU and memory from /proc, which only Linux has.\n")
        return 1
    runs = []
    for sessions in asked.sessions:
        setup = Setup(
            sessions,
            seconds=asked.seconds,
            warmup=asked.warmup,
            probes=asked.probes,
            reply=asked.reply,
            has_screen=asked.screen,
            is_pinned=asked.pin and len(os.sched_getaffinity(0)) > 1,
        )
        try:
            found = measure(setup)
        except StartError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        runs += found
        for run in found:
            _write(asked.out, json.dumps(run))
    text = table(runs, command=_command(sys.argv[1:]))
    sys.stdout.write(f"\n{text}")
    if asked.into is not None:
        asked.into.write_text(replaced(asked.into.read_text(), text))
    return 3 if any(run["failed_sessions"] for run in runs) else 0


def _command(words: Sequence[str]) -> str:
    """How to measure the same again, wherever it is written."""
    _, measured = _destinations().parse_known_args(words)
    return f'make bench BENCH="{" ".join(measured)}"' if measured else "make bench"


def _destinations() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--out", type=Path, help="append the JSON lines to this file instead of printing them")
    parser.add_argument(
        "--into", metavar="FILE", type=_marked, help="put the table between the `bench` marks of this file too"
    )
    return parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m bench", description="Measure the server under simulated users.", parents=[_destinations()]
    )
    parser.add_argument("--sessions", type=_positive, nargs="+", default=[1, 8], help="a run for each; default: 1 8")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each measured window; default: 60")
    parser.add_argument("--warmup", type=float, default=8.0, help="seconds before each window; default: 8")
    parser.add_argument("--reply", type=float, default=2.0, help="seconds of tone that answer an utterance; default: 2")
    parser.add_argument("--probes", type=int, default=20, help="connects timed after the windows; default: 20")
    parser.add_argument("--screen", action="store_true", help="a second window in which every user shares a screen")
    parser.add_argument(
        "--no-pin", dest="pin", action="store_false", help="leave it to the system which core runs what"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("takes whole numbers from 1")
    return int(text)


def _marked(text: str) -> Path:
    path = Path(text)
    try:
        replaced(path.read_text(), "")
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return path


def _write(path: Path | None, line: str) -> None:
    if path is None:
        print(line, flush=True)
        return
    with path.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
