#!/bin/sh
# Packages for the browser tests and the page's checks that pip cannot bring. Installs them on Debian as root; elsewhere lists them.
set -eu
missing=""
command -v chromium >/dev/null || missing="$missing chromium"
fc-list 2>/dev/null | grep -qi dejavu || missing="$missing fonts-dejavu-core fontconfig"
command -v npm >/dev/null || missing="$missing nodejs npm"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of names
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Browser tests and the page's own checks will be skipped; for them install:$missing"
    [ -z "${CI:-}" ] || exit 1
fi
