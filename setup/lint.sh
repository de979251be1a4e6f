#!/bin/sh
# Checks formatting, clippy and documentation, and that the crates can be packaged and do not need libtorch.
set -eu
. "$(dirname "$0")/say.sh"

cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 ||
    fail "rustfmt or clippy is missing: install them (rustup component add rustfmt clippy)"
say "checking format, clippy and documentation"
sh "$(dirname "$0")/format.sh"
cargo clippy --quiet --release --locked --workspace --all-targets -- -D warnings
cargo clippy --quiet --release --locked --no-default-features --bins -- -D warnings
cargo clippy --quiet --release --locked --package stitch-trace --features tch -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --release --locked --workspace --no-deps --document-private-items

say "checking that the crates in crates/ need no libtorch and can be packaged"
for manifest in crates/*/Cargo.toml; do
    crate=$(basename "$(dirname "$manifest")")
    packages=$(cargo tree --quiet --locked --offline --package "$crate" --edges normal,build,dev --prefix none)
    if echo "$packages" | grep -qE '^(tch|torch-sys) '; then
        fail "$crate depends on libtorch (cargo tree --package $crate --invert torch-sys)"
    fi
done
# Cargo keeps the unpacked and built packages of an earlier check, and does not notice that they have changed.
rm -rf target/packages
for manifest in crates/*/Cargo.toml; do
    rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/*/-*/"$(basename "$(dirname "$manifest")")"-[0-9]*
done
# Builds each crate from its package, with the other crates from their packages too (needs Cargo 1.90). Takes about a
# minute.
# stitch-front compiles files outside its folder, so it cannot be packaged.
LIBTORCH=/nonexistent CARGO_PROFILE_DEV_DEBUG=0 \
    cargo package --quiet --locked --offline --allow-dirty --workspace --exclude stitch --exclude stitch-front \
    --target-dir target/packages
