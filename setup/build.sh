#!/bin/sh
# Builds the release binary.
set -eu
. "$(dirname "$0")/say.sh"

cargo build --release --locked ||
    fail "the build failed (reason above): if a crate could not be fetched, check the network," \
        "then run the same command again"
