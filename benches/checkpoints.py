"""What checkpoints cost: training with the default interval beside training without any.

Run by `make bench`. Both alternate on the whole data set, each with the notebook's settings; medians of
the training time are printed, and their ratio.
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
            # Each goes first as often as the other.
            for every in sorted(times, reverse=pair % 2 == 0):
                times[every].append(seconds(model, every, Path(folder) / every))
    ratio = statistics.median(with_them / without for without, with_them in zip(times["off"], times["30s"]))
    without, with_them = (statistics.median(taken) for taken in times.values())
    print(
        f"{' '.join(model):14} training {without:.2f} s without checkpoints, {with_them:.2f} s with them:"
        f" {100 * (ratio - 1):+.1f} % (median of {args.pairs} pairs)"
    )
