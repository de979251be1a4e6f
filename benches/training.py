"""The notebook and the port side by side: training time, whole-process time, peak memory.

Run by `make bench`. The two alternate (A B A B …), each run's weights are compared, and medians
are printed with their spread.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("stitch", type=Path)
parser.add_argument("--pairs", type=int, default=5)
args = parser.parse_args()
root = Path(__file__).resolve().parent.parent
notebook = [sys.executable, "-W", "ignore", str(root / "tests/reference/notebook.py"), "--model"]
contenders = {"notebook": notebook, "stitch": [str(args.stitch.resolve()), "--quiet", "train"]}


def run(command, model, out):
    start = time.perf_counter()
    subprocess.run([*command, model, "--out", str(out)], stdout=subprocess.DEVNULL, check=True, cwd=root)
    whole = time.perf_counter() - start
    metrics = json.loads((out / "metrics.json").read_text())
    return metrics["train_seconds"], whole, metrics["peak_rss_bytes"] / 1e6


def check_weights(model, folders):
    one, other = (load_file(folder / "weights.safetensors") for folder in folders)
    bound = {"mlp": 1e-12, "lenet5": 0.0}[model]
    for name, value in one.items():
        assert np.abs(value - other[name]).max() <= bound, f"{model}: {name} differs"


for model in ("mlp", "lenet5"):
    rows = {name: [] for name in contenders}
    for pair in range(args.pairs):
        with tempfile.TemporaryDirectory() as folder:
            folders = [Path(folder) / name for name in contenders]
            for (name, command), out in zip(contenders.items(), folders):
                rows[name].append(run(command, model, out))
            check_weights(model, folders)
    medians = {}
    for name, values in rows.items():
        medians[name] = [statistics.median(column) for column in zip(*values)]
        training = [value[0] for value in values]
        seconds, whole, memory = medians[name]
        print(
            f"{model:6} {name:8} training {seconds:6.2f} s ({min(training):.2f} to {max(training):.2f}), "
            f"whole process {whole:6.2f} s, peak memory {memory:5.0f} MB"
        )
    ratios = [port / original for port, original in zip(medians["stitch"], medians["notebook"])]
    print(
        f"{model:6} stitch / notebook: training {ratios[0]:.2f}, whole process {ratios[1]:.2f}, "
        f"memory {ratios[2]:.2f} (medians of {args.pairs}, weights checked)"
    )
