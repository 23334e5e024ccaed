"""Start the server: `make run`, or `python run.py` in an environment that has requirements.lock installed."""

import sys


def main() -> int:
    """Do what the command line says; `run.py --help` lists the commands."""
    if sys.version_info < (3, 11):  # noqa: UP036 - who starts by hand may have an older one
        sys.stderr.write("Mediaserver needs Python 3.11 or newer.\n")
        return 2
    from mediaserver.__main__ import main as begin

    return begin()


if __name__ == "__main__":
    sys.exit(main())
