#!/bin/sh
# Install lock files: install.sh PYTHON FILE... uses uv, which takes seconds, and pip where uv cannot be had.
# --no-deps: the locks are complete, and what they leave out (torch, for one) must stay out.
set -eu
python=$1
shift
folder=$(dirname "$0")
uv=$(dirname "$python")/uv
arguments=
for file; do arguments="$arguments -r $file"; done

configured() { # what pip is configured with; the environment, which pip lists first, wins
    "$python" -m pip config list 2>/dev/null | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | head -n 1
}

by_uv() {
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        -r "$folder/uv.lock" || return 1
    # uv reads no configuration of pip's, so it is told where pip looks.
    index=$(configured index-url)
    more=$(configured extra-index-url)
    certificates=$(configured cert)
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${UV_INDEX_URL:-$index}}"
    # As pip does, it takes the locked version from whichever index has it; the hash says that it is the right one.
    [ -z "$more" ] || export UV_INDEX="${UV_INDEX:-$more}" UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
    [ -z "$certificates" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$certificates}"
    # shellcheck disable=SC2086 # a list of options
    "$uv" pip install --python "$python" --no-deps --require-hashes $arguments
}

by_uv && exit 0
echo "uv cannot install this here; pip does, which takes about a minute"
# shellcheck disable=SC2086
exec "$python" -m pip install --disable-pip-version-check --no-deps --require-hashes $arguments
