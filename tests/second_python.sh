#!/bin/sh
# Run the tests that may differ with a package's version under a second Python: for 3.12 and later the locks hold other
# major versions (av and numpy, for two). Without such a Python they are skipped, and that is said; in CI it must be there.
set -eu
venv=$1
second=$venv/second

works() { "$1" -c 'import ensurepip, sqlite3, ssl, venv' >/dev/null 2>&1; }

found() { # pyenv has commands for Pythons that it does not run by themselves
    for name in python3.13 python3.12; do
        works "$name" && echo "$name" && return
        version=$(pyenv whence "$name" 2>/dev/null | tail -n 1) || continue
        [ -n "$version" ] || continue
        path=$(pyenv prefix "$version")/bin/$name
        works "$path" && echo "$path" && return
    done
}

python=$(found)
if [ -z "$python" ]; then
    echo "The tests under a second Python are skipped; for them install python3.13 or python3.12, with its venv"
    [ -z "${CI:-}" ] || exit 1
    exit 0
fi
if ! cat requirements.lock tests/requirements.lock | cmp -s - "$second/installed"; then
    rm -rf "$second"
    "$python" -m venv "$second"
    config/install.sh "$second/bin/python" requirements.lock tests/requirements.lock
    cat requirements.lock tests/requirements.lock >"$second/installed"
fi
echo "The tests of pipeline, rtc and store under $("$second/bin/python" --version)"
exec "$second/bin/python" -m pytest -n 2 --dist worksteal -p no:cacheprovider --hypothesis-profile brief \
    -m "not (acceptance or browser or one_python)" tests/pipeline tests/mediaserver/rtc tests/mediaserver/store
