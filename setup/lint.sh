#!/bin/sh
# Formatting, clippy and documentation without a warning; crates that can be packaged and need no libtorch.
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

say "checking that the crates in crates/ need no libtorch and can be packaged"
for manifest in crates/*/Cargo.toml; do
    crate=$(basename "$(dirname "$manifest")")
    packages=$(cargo tree --quiet --locked --offline --package "$crate" --edges normal,build,dev --prefix none)
    if echo "$packages" | grep -qE '^(tch|torch-sys) '; then
        fail "$crate depends on libtorch (cargo tree --package $crate --invert torch-sys)"
    fi
done
# Builds each crate from its package alone, with the other crates taken from their packages (Cargo 1.90).
# The first time takes about a minute, later ones some seconds.
LIBTORCH=/nonexistent CARGO_PROFILE_DEV_DEBUG=0 \
    cargo package --quiet --locked --offline --allow-dirty --workspace --exclude stitch
