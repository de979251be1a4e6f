#!/bin/sh
# Trains the built-in models and updates their table in models/README.md.
set -eu
. "$(dirname "$0")/say.sh"

stitch=target/release/stitch
runs=runs/models
readme=models/README.md

# One thread: results depend on the number of threads in their low-order bits.
"$stitch" train lenet5 --batch-size 32 --lr 2e-3 --seed 0 --threads 1 --force --out "$runs/lenet5" >/dev/null
"$stitch" train deepcnn --augment crop,flip --lr-schedule cosine --epochs 30 --seed 0 --threads 1 --force \
    --out "$runs/deepcnn" >/dev/null
"$stitch" train mlp --threads 1 --force --out "$runs/mlp" >/dev/null

sum() {
    if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

rows=$runs/rows
: >"$rows"
for file in deepcnn/state_dict.pt lenet5/state_dict.pt lenet5/torchscript.pt mlp/state_dict.pt; do
    folder=$(dirname "$file")
    mkdir -p "models/$folder"
    for name in "$file" "$folder/config.json" "$folder/metrics.json"; do
        cp "$runs/$name" "models/$name.new"
        mv "models/$name.new" "models/$name"
    done
    accuracy=$(sed -n 's/.*"test_accuracy": *\([0-9.]*\).*/\1/p' "models/$folder/metrics.json")
    echo "| \`$file\` | $accuracy | \`$(sum "models/$file")\` |" >>"$rows"
done
# Rows of the table start with "| `".
awk -v rows="$rows" '
    /^\| `/ { next }
    { print }
    /^\|---/ { while ((getline row <rows) > 0) print row }' "$readme" >"$readme.new"
mv "$readme.new" "$readme"
say "models/ is updated: rebuild stitch to build the models in"
