#!/bin/sh
# Gets what tests/outside shows the results to: a browser, readers of manual pages and of completions.
# Where it cannot, it says so, and those tests are counted as ignored.
set -eu
. "$(dirname "$0")/say.sh"

missing=
for pair in chromium:chromium groff:groff-base zsh:zsh fish:fish; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
    say "not there, and only root can install it with apt-get:$missing; the tests that want it are ignored"
    exit 0
fi
say "installing$missing, which tests show the results to"
# shellcheck disable=SC2086 # Several packages.
apt-get update -qq && apt-get install -qq --yes --no-install-recommends $missing >/dev/null ||
    say "some of it could not be installed; the tests that want it are ignored"
