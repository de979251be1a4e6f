"""The 10,000 test images through each model: eager PyTorch and the port side by side.

Run by `make bench`. Every process evaluates once, PyTorch in one batch as the notebook does; the two
alternate, the accuracies are compared, and medians are printed with their spread.
"""

import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("stitch", type=Path)
parser.add_argument("--pairs", type=int, default=5)
args = parser.parse_args()
root = Path(__file__).resolve().parent.parent

PYTORCH = """
import gzip, sys, time
from pathlib import Path
import numpy as np
import torch
sys.path.append("tests/common")
from lenet5 import LeNet5

def read(name, header):
    path = Path(sys.argv[2]) / name
    bytes = path.read_bytes() if path.exists() else gzip.open(f"{path}.gz").read()
    return np.frombuffer(bytes, np.uint8, offset=header)

images = torch.from_numpy(read("t10k-images-idx3-ubyte", 16) / 255.0)
labels = torch.from_numpy(read("t10k-labels-idx1-ubyte", 8).astype("int64"))
if sys.argv[1] == "lenet5":
    model, xs = LeNet5(), images.reshape(-1, 1, 28, 28).float()
else:
    layers = torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)
    model, xs = torch.nn.Sequential(*layers).double(), images.reshape(-1, 784)
model.load_state_dict(torch.load(f"models/{sys.argv[1]}/state_dict.pt"))
start = time.perf_counter()
with torch.no_grad():
    predicted = model(xs).argmax(1)
seconds = time.perf_counter() - start
print(f"{len(xs)} images in {seconds:.3f} s, test accuracy {(predicted == labels).double().mean():.4f}")
"""


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    said = done.stdout + done.stderr
    seconds = float(re.search(r"images in ([0-9.]+) s", said)[1])
    return seconds, re.search(r"test accuracy ([0-9.]+)", said)[1]


stitch = str(args.stitch.resolve())
where = subprocess.run([stitch, "data"], capture_output=True, text=True, check=True, cwd=root).stdout
data = where.splitlines()[0].split(" (")[0]

for model in ("mlp", "lenet5"):
    contenders = {
        "PyTorch": [sys.executable, "-W", "ignore", "-c", PYTORCH, model, data],
        "stitch": [stitch, "evaluate", "--data", data, f"models/{model}/state_dict.pt"],
    }
    seconds = {name: [] for name in contenders}
    for _ in range(args.pairs):
        answers = {name: run(command) for name, command in contenders.items()}
        assert len({accuracy for _, accuracy in answers.values()}) == 1, answers
        for name, (value, _) in answers.items():
            seconds[name].append(value)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    spread = ", ".join(
        f"{name} {medians[name]:.3f} s ({min(values):.3f} to {max(values):.3f})" for name, values in seconds.items()
    )
    ratio = medians["stitch"] / medians["PyTorch"]
    print(f"{model:6} 10,000 test images: {spread}; ratio {ratio:.2f} (medians of {args.pairs})")
