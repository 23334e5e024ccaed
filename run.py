"""Start the server: `make run`, or `python run.py` in an environment that has requirements.lock installed."""

import sys

MISSING = """{name} is not installed. Mediaserver's dependencies are in requirements.lock:
  make run
sets everything up and starts; by hand that is
  python3 -m venv .venv
  .venv/bin/pip install --no-deps --require-hashes -r requirements.lock
  .venv/bin/python run.py"""


def main() -> int:
    """Serve until interrupted; 2 when the settings or the dependencies are not as they must be."""
    if sys.version_info < (3, 11):  # noqa: UP036 - who starts by hand may have an older one
        sys.stderr.write("Mediaserver needs Python 3.11 or newer.\n")
        return 2
    try:
        from mediaserver.cli.serve import main as begin
    except ModuleNotFoundError as error:
        sys.stderr.write(MISSING.format(name=error.name) + "\n")
        return 2
    return begin(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
