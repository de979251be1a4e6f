"""Measures the cost of checkpoints: training with the default interval and without checkpoints.

Run by `make bench`. The two alternate on the whole data set with the notebook's settings. Prints the median training
times and their ratio.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("stitch", type=Path)
parser.add_argument("--pairs", type=int, default=5)
args = parser.parse_args()
root = Path(__file__).resolve().parent.parent


def seconds(model, every, out):
    command = [args.stitch.resolve(), "--quiet", "train", *model, "--checkpoint-every", every, "--out", out]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=root)
    return json.loads((out / "metrics.json").read_text())["train_seconds"]


for model in (["mlp"], ["lenet5"], ["lenet5", "--fast"]):
    times = {"off": [], "30s": []}
    for pair in range(args.pairs):
        with tempfile.TemporaryDirectory(dir=root) as folder:
            # The order alternates.
            for every in sorted(times, reverse=pair % 2 == 0):
                times[every].append(seconds(model, every, Path(folder) / every))
    ratio = statistics.median(with_checkpoints / without for without, with_checkpoints in zip(times["off"], times["30s"]))
    without, with_checkpoints = (statistics.median(seconds) for seconds in times.values())
    print(
        f"{' '.join(model):14} training {without:.2f} s without checkpoints, {with_checkpoints:.2f} s with checkpoints:"
        f" {100 * (ratio - 1):+.1f} % (median of {args.pairs} pairs)"
    )
