"""The notebook and the port side by side: training time, whole-process time, peak memory.

Run by `make bench`. The notebook, the notebook with glibc told to keep freed memory, and the port
alternate (A B C A B C …), each run's weights are compared, and medians are printed with their
spread.
"""

import argparse
import json
import os
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
keep_memory = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "2147483647", "MALLOC_TOP_PAD_": "16777216"}
contenders = {
    "notebook": (notebook, {}),
    "tuned": (notebook, keep_memory),
    "stitch": ([str(args.stitch.resolve()), "--quiet", "train"], {}),
}
settings = [("mlp", []), ("lenet5", []), ("lenet5", ["--batch-size", "1024"])]


def run(contender, model, flags, out):
    command, variables = contender
    command = [*command, model, *flags, "--out", str(out)]
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=root, env={**os.environ, **variables})
    whole = time.perf_counter() - start
    metrics = json.loads((out / "metrics.json").read_text())
    return metrics["train_seconds"], whole, metrics["peak_rss_bytes"] / 1e6


def check_weights(model, folders):
    first, *others = (load_file(folder / "weights.safetensors") for folder in folders)
    bound = {"mlp": 1e-12, "lenet5": 0.0}[model]
    for other in others:
        for name, value in first.items():
            assert np.abs(value - other[name]).max() <= bound, f"{model}: {name} differs"


for model, flags in settings:
    what = " ".join([model, *flags])
    rows = {name: [] for name in contenders}
    for _ in range(args.pairs):
        with tempfile.TemporaryDirectory() as folder:
            folders = [Path(folder) / name for name in contenders]
            for (name, contender), out in zip(contenders.items(), folders):
                rows[name].append(run(contender, model, flags, out))
            check_weights(model, folders)
    medians = {}
    for name, values in rows.items():
        medians[name] = [statistics.median(column) for column in zip(*values)]
        training = [value[0] for value in values]
        seconds, whole, memory = medians[name]
        print(
            f"{what:24} {name:8} training {seconds:6.2f} s ({min(training):.2f} to {max(training):.2f}), "
            f"whole process {whole:6.2f} s, peak memory {memory:5.0f} MB"
        )
    for other in ("notebook", "tuned"):
        ratios = [port / original for port, original in zip(medians["stitch"], medians[other])]
        print(
            f"{what:24} stitch / {other}: training {ratios[0]:.2f}, whole process {ratios[1]:.2f}, "
            f"memory {ratios[2]:.2f} (medians of {args.pairs}, weights checked)"
        )
