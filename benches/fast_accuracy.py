"""Compares the test accuracy of LeNet-5 with the exact and the fast engine over seeds.

    .venv/bin/python benches/fast_accuracy.py target/release/stitch [--seeds N]

With the same seed, both engines have the same initial weights and order of images. Prints both distributions and two
two-sided tests for equal means: Welch's t-test and the paired t-test. Each run is a row of
benches/results/fast_accuracy.csv.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from results import VERSIONS, Results, machine, root
from scipy import stats

COLUMNS = ["engine", "seed", "test_accuracy", "train_loss", "train_seconds", *VERSIONS]
ENGINES = {"exact": [], "fast": ["--fast"]}


def train(stitch, flags, seed):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [stitch, "--quiet", "train", "lenet5", *flags, "--seed", str(seed), "--out", str(out)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=root)
        metrics = json.loads((out / "metrics.json").read_text())
    return {key: metrics[key] for key in ("test_accuracy", "train_loss", "train_seconds")}


def report(accuracies):
    exact, fast = (np.array(accuracies[name]) for name in ENGINES)
    for name, values in (("exact", exact), ("fast", fast)):
        every = " ".join(f"{value:.4f}" for value in sorted(values))
        print(f"{name:5} mean {values.mean():.4f}, standard deviation {values.std(ddof=1):.4f}: {every}")
    welch = stats.ttest_ind(fast, exact, equal_var=False)
    paired = stats.ttest_rel(fast, exact)
    low, high = welch.confidence_interval(0.95)
    print(f"fast - exact: {fast.mean() - exact.mean():+.4f}, 95 % interval {low:+.4f} to {high:+.4f}")
    print(f"two-sided p: Welch's t {welch.pvalue:.3f}, paired t {paired.pvalue:.3f}")
    conclusion = "no difference found" if paired.pvalue > 0.05 else "DIFFERENT"
    print(f"{conclusion} at 0.05 over {len(exact)} seeds, paired")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stitch", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    stitch = str(args.stitch.resolve())
    results, versions = Results("fast_accuracy.csv", COLUMNS), machine(stitch)
    accuracies = {name: [] for name in ENGINES}
    for seed in range(args.seeds):
        for name, flags in ENGINES.items():
            row = train(stitch, flags, seed)
            results.add({"engine": name, "seed": seed, **row, **versions})
            accuracies[name].append(row["test_accuracy"])
        line = ", ".join(f"{name} {values[-1]:.4f}" for name, values in accuracies.items())
        print(f"seed {seed}: {line}", file=sys.stderr)
    report(accuracies)


main()
