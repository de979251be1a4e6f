#!/bin/sh
# Fuzzes each reader for SECONDS_EACH seconds (default 60), starting from fuzz/seeds and fuzz/corpus. Installs cargo-fuzz
# and the nightly compiler that it needs.
set -eu
. "$(dirname "$0")/say.sh"

cargo +nightly --version >/dev/null 2>&1 ||
    rustup toolchain install nightly --profile minimal >/dev/null ||
    fail "a nightly compiler is required: rustup toolchain install nightly"
cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked --quiet ||
    fail "cargo-fuzz could not be installed (reason above)"

for target in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$target" .rs)
    mkdir -p "fuzz/corpus/$target"
    # Decoded images may take up to 512 MiB.
    case $target in picture) memory=2560 block=600 ;; *) memory=1024 block=128 ;; esac
    say "fuzzing $target for ${SECONDS_EACH:-60} seconds"
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="${SECONDS_EACH:-60}" -timeout=20 -rss_limit_mb=$memory -malloc_limit_mb=$block -print_final_stats=1
done
