#!/bin/sh
# Formatting, clippy and documentation, all without a warning.
set -eu
. "$(dirname "$0")/say.sh"

cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
    fail "rustfmt or clippy is missing: install them (rustup component add rustfmt clippy)"
say "checking format, clippy and documentation"
cargo fmt --all --check
# The models are declared by a macro, which cargo fmt does not look into.
rustfmt --check --edition 2024 src/models/*.rs
cargo clippy --quiet --release --locked --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --release --locked --workspace --no-deps --document-private-items
