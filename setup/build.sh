#!/bin/sh
# Builds the release binary.
set -eu
. "$(dirname "$0")/say.sh"

libtorch=${LIBTORCH:-.libtorch}
[ -e "$libtorch/include/torch/csrc/api/include/torch/torch.h" ] ||
    fail "LIBTORCH=$libtorch holds no libtorch (no include/torch/csrc/api/include/torch/torch.h):" \
        "name the folder of libtorch 2.13, or unset LIBTORCH to use the one in .venv"
cargo build --release --locked ||
    fail "the build failed (reason above): if a crate could not be fetched, check the network," \
        "then run the same command again"
