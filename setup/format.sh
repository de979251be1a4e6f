#!/bin/sh
# Checks formatting.
set -eu

cargo fmt --all --check
# cargo fmt does not follow the macro that declares the models.
rustfmt --check --edition 2024 src/models/*.rs
