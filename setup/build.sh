#!/bin/sh
# Builds the release binaries: stitch and stitch-engine.
set -eu
. "$(dirname "$0")/say.sh"

libtorch=${LIBTORCH:-.libtorch}
[ -e "$libtorch/include/torch/csrc/api/include/torch/torch.h" ] ||
    fail "LIBTORCH=$libtorch contains no libtorch (no include/torch/csrc/api/include/torch/torch.h):" \
        "give the folder of libtorch 2.13, or unset LIBTORCH to use the one in .venv"
cargo build --release --locked ||
    fail "the build failed (reason above): if a crate could not be downloaded, check the network," \
        "then run the same command again"
