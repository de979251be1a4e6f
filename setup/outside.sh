#!/bin/sh
# Installs the programs for tests/outside: a browser, readers of manual pages and shells. Tests whose program cannot be
# installed are ignored.
set -eu
. "$(dirname "$0")/say.sh"

missing=
for pair in chromium:chromium groff:groff-base zsh:zsh fish:fish; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    say "not installed, and only root can install it with apt-get:$missing; tests that need it are ignored"
    exit 0
fi
say "installing$missing for tests"
# shellcheck disable=SC2086 # Several packages.
apt-get update -qq && apt-get install -qq --yes --no-install-recommends $missing >/dev/null ||
    say "some packages could not be installed; tests that need them are ignored"
