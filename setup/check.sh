#!/bin/sh
# The short check: format, clippy, unit tests, and a short training of each model by the notebook and by stitch, compared.
set -eu
. "$(dirname "$0")/say.sh"

say "checking format and clippy"
sh "$(dirname "$0")/format.sh"
cargo clippy --quiet --release --locked --workspace --lib --bins -- -D warnings

say "running the unit tests"
cargo test --quiet --release --locked --workspace --exclude stitch --lib
cargo test --quiet --release --locked --lib --bins

say "training each model for an epoch on 1,000 images"
work=target/check
rm -rf "$work"
.venv/bin/python setup/first_images.py "$work/data" 1000
for model in mlp lenet5 deepcnn; do
    .venv/bin/python -W ignore tests/reference/notebook.py --model $model --epochs 1 --trace --data "$work/data" \
        --out "$work/notebook-$model" >/dev/null
    target/release/stitch train $model --epochs 1 --trace --data "$work/data" --out "$work/$model" --quiet >/dev/null
    target/release/stitch parity "$work/notebook-$model" "$work/$model"
done
