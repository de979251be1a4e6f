#!/bin/sh
# Checks for the programs that the set-up cannot install: Rust and a C++ compiler.
set -eu
. "$(dirname "$0")/say.sh"

command -v cargo >/dev/null ||
    fail "Rust is missing (no cargo on the PATH): install it from https://rustup.rs"
command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null ||
    fail "a C++ compiler is missing: install one (Debian: apt-get install g++)"
