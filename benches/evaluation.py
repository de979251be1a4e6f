"""Measures the evaluation of the 10,000 test images by eager PyTorch and the port.

Run by `make bench`. Each process evaluates once, PyTorch in one batch like the notebook; the two alternate. Prints the
medians with their range. First the port trains one epoch and traces its test logits: PyTorch's logits with the same
weights must be bit-identical for LeNet-5, and within 1e-12 for the MLP. All predictions must be equal too. Each run is
a row of benches/results/evaluation.csv.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from data import unpack
from results import VERSIONS, Results, machine, root

BOUNDS = {"mlp": 1e-12, "lenet5": 0.0}
COLUMNS = ["model", "contender", "round", "seconds", *VERSIONS]
PYTORCH = """
import sys, time
import numpy as np
import torch
sys.path.append("tests/common")
from lenet5 import LeNet5

name, data, weights, logits = sys.argv[1:]
images = np.fromfile(f"{data}/t10k-images-idx3-ubyte", np.uint8, offset=16) / 255.0
if name == "lenet5":
    model, xs = LeNet5(), torch.from_numpy(images.reshape(-1, 1, 28, 28)).float()
else:
    layers = torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    model, xs = torch.nn.Sequential(*layers).double(), torch.from_numpy(images.reshape(-1, 784))
model.load_state_dict(torch.load(weights))
start = time.perf_counter()
with torch.no_grad():
    ys = model(xs)
seconds = time.perf_counter() - start
print(f"{len(xs)} images in {seconds:.4f} s")
np.save(logits, ys.numpy())
"""


def seconds(command):
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return float(re.search(r"images in ([0-9.]+) s", done.stdout + done.stderr)[1])


def traced_logits(trace):
    """Returns the test logits of a trace, whose format docs/trace-format.md describes."""
    records = map(json.loads, (trace / "trace.jsonl").read_text().splitlines())
    record = next(it for it in records if (it.get("stage"), it.get("name")) == ("test_logits", "logits"))
    values = np.fromfile(trace / "trace.bin", record["dtype"], np.prod(record["shape"]), offset=record["offset"])
    return values.reshape(record["shape"])


def check_logits(model, found, trace):
    """Compares the traced logits with PyTorch's, and exits if they differ."""
    expected = traced_logits(trace)
    difference = np.abs(found - expected).max()
    equal = found.tobytes() == expected.tobytes()
    if not equal and not (BOUNDS[model] and difference <= BOUNDS[model]):
        sys.exit(f"error: {model}: logits differ by up to {difference:.3g}")
    return "equal bits" if equal else f"within {difference:.1g}"


def measure(model, stitch, data, folder, pairs):
    """Returns the seconds by contender, and the result of the comparison of logits."""
    trained, logits, evaluated = folder / model, folder / f"{model}.npy", folder / f"{model}-evaluation"
    command = [stitch, "--quiet", "train", model, "--epochs", "1", "--trace", "--data", data, "--out", trained]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=root)
    weights = trained / "state_dict.pt"
    contenders = {
        "PyTorch": [sys.executable, "-W", "ignore", "-c", PYTORCH, model, data, weights, logits],
        "stitch": [stitch, "evaluate", "--data", data, "--out", evaluated, "--force", weights],
    }
    times = {name: [] for name in contenders}
    for _ in range(pairs):
        for name, command in contenders.items():
            times[name].append(seconds(command))
        found = np.load(logits)
        equality = check_logits(model, found, trained / "trace")
        predicted = np.loadtxt(evaluated / "predictions.csv", int, delimiter=",", skiprows=1)[:, 2]
        if not np.array_equal(predicted, found.argmax(1)):
            sys.exit(f"error: {model}: predictions differ")
    return times, equality


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stitch", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    args = parser.parse_args()
    stitch = str(args.stitch.resolve())
    results, versions = Results("evaluation.csv", COLUMNS), machine(stitch)
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data"
        unpack(stitch, data)
        for model in BOUNDS:
            times, equality = measure(model, stitch, data, Path(folder), args.pairs)
            for name, values in times.items():
                for i, value in enumerate(values, 1):
                    results.add({"model": model, "contender": name, "round": i, "seconds": value, **versions})
            medians = {name: statistics.median(values) for name, values in times.items()}
            spread = ", ".join(
                f"{name} {medians[name]:.3f} s ({min(of):.3f} - {max(of):.3f})" for name, of in times.items()
            )
            ratio = medians["stitch"] / medians["PyTorch"]
            print(f"{model:6} 10,000 test images: {spread}; ratio {ratio:.2f}; logits {equality} (medians of {args.pairs})")


main()
