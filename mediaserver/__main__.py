"""The command `mediaserver`, which is `run.py` too: parses the command line, then runs what it names."""

import sys
from collections.abc import Sequence

from mediaserver.cli.arguments import parse
from mediaserver.localengine.packages import PackagesMissingError, check_packages

MISSING = """{name} is not installed. Mediaserver's dependencies are in requirements.lock:
  make run
sets everything up and starts; by hand that is
  python3 -m venv .venv
  .venv/bin/pip install --no-deps --require-hashes -r requirements.lock
  .venv/bin/python run.py
"""


def main(words: Sequence[str] | None = None) -> int:
    """Run a command, by default that of the process; 2 when it is not understood or its dependencies are missing."""
    try:
        options = parse(sys.argv[1:] if words is None else words)
    except SystemExit as stop:
        return int(stop.code or 0)
    # Imported only now: --help and --version wait for none of it, and Gemini needs no package of the local engine.
    try:
        if options.command == "engine":
            check_packages()
            from mediaserver.cli import engine

            return engine.main(options)
        from mediaserver.cli import serve
    except PackagesMissingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except ModuleNotFoundError as error:
        sys.stderr.write(MISSING.format(name=error.name))
        return 2
    return serve.manage_accounts(options) if options.command == "user" else serve.serve()


if __name__ == "__main__":
    sys.exit(main())
