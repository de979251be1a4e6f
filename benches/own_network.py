"""Measures the training of networks of TorchScript files: stitch against the same loop in Python.

    .venv/bin/python benches/own_network.py STITCH [--pairs N] [--only NAME]

The contenders alternate, one epoch of batches of 64 each. All must have the same weights in every round, but those of
whole-tensor batches, whose loop draws another order, and those of one batch: it takes as many forward and backward passes over the
same batch, without loader and optimizer, and shows what libtorch's operations take by themselves. Each run is a row of benches/results/own_network.csv.
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
from data import unpack
from results import VERSIONS, Results, machine, root

NETWORKS = root / "tests/cli/own_network"
NLL = ("recurrent", "classic")
LOADER, WHOLE, ONE = "PyTorch, DataLoader", "PyTorch, whole-tensor batches", "PyTorch, one batch"
STITCH = {"stitch": [], "stitch --engine exact": ["--engine", "exact"]}
COLUMNS = ["network", "contender", "round", "train_seconds", "peak_rss_mb", *VERSIONS]


def peak_rss_mb():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e6


def train(name, contender, data, out):
    """Trains in this process, and prints the results."""
    import torch
    import torch.nn as nn
    from safetensors.torch import save_file
    from torch.utils.data import DataLoader, TensorDataset

    sys.path.append(str(NETWORKS))
    from networks import NETWORKS as classes

    torch.set_num_threads(2)
    pixels = np.fromfile(data / "train-images-idx3-ubyte", np.uint8, offset=16).reshape(-1, 1, 28, 28)
    images = torch.tensor(pixels / 255.0, dtype=torch.float32)
    labels = torch.tensor(np.fromfile(data / "train-labels-idx1-ubyte", np.uint8, offset=8), dtype=torch.int64)
    torch.manual_seed(7)
    model = classes[name]()
    torch.jit.script(model).save(str(out.parent / "model.pt"))
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.NLLLoss() if name in NLL else nn.CrossEntropyLoss()
    start = time.perf_counter()
    if contender == ONE:
        xs, ys = images[:64].clone(), labels[:64].clone()
        for _ in range(-(-len(images) // 64)):
            model.zero_grad()
            criterion(model(xs), ys).backward()
        batches = []
    elif contender == LOADER:
        batches = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    else:
        batches = ((images[rows], labels[rows]) for rows in torch.randperm(len(images)).split(64))
    for xs, ys in batches:
        optimizer.zero_grad()
        loss = criterion(model(xs), ys)
        loss.backward()
        optimizer.step()
    seconds = time.perf_counter() - start
    save_file({key: value.clone() for key, value in model.state_dict().items()}, out)
    print(json.dumps({"train_seconds": seconds, "peak_rss_mb": peak_rss_mb()}))


def run(stitch, name, contender, data, folder):
    """Runs a contender in a process of its own; returns its results and its weights file."""
    if contender not in STITCH:
        out = folder / f"{contender}.safetensors"
        command = [sys.executable, "-W", "ignore", __file__, "train", name, contender, data, out]
        return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout), out
    loss = "nll" if name in NLL else "cross-entropy"
    command = [stitch, "train", "model.pt", "--data", data, "--epochs", "1", "--threads", "2", "--loss", loss]
    command += [*STITCH[contender], "--out", folder / "run", "--force", "--quiet"]
    subprocess.run(command, stdout=subprocess.DEVNULL, cwd=folder, check=True)
    metrics = json.loads((folder / "run/metrics.json").read_text())
    row = {"train_seconds": metrics["train_seconds"], "peak_rss_mb": metrics["peak_rss_bytes"] / 1e6}
    return row, folder / "run/weights.safetensors"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stitch", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only", default="", metavar="NAME")
    args = parser.parse_args()
    sys.path.append(str(NETWORKS))
    from networks import NETWORKS as classes

    stitch, names = args.stitch.resolve(), [name for name in classes if name.startswith(args.only)]
    results = Results("own_network.csv", COLUMNS, lambda row: row["network"] in names)
    versions = machine(stitch)
    print("medians of the ratios to PyTorch with DataLoader, to whole-tensor batches, and of memory to DataLoader")
    for name in names:
        rows = {contender: [] for contender in (LOADER, WHOLE, ONE, *STITCH)}
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            unpack(stitch, folder / "data")
            for number in range(1, args.pairs + 1):
                for contender, of in rows.items():
                    row, weights = run(stitch, name, contender, folder / "data", folder)
                    if contender in STITCH:
                        expected = folder / f"{LOADER}.safetensors"
                        command = [stitch, "--quiet", "parity", expected, weights]
                        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
                    of.append(row)
                    results.add({"network": name, "contender": contender, "round": number, **row, **versions})
        for contender in (ONE, *STITCH):
            pairs = [(LOADER, "train_seconds"), (WHOLE, "train_seconds"), (LOADER, "peak_rss_mb")]
            ratios = [
                statistics.median(a[key] / b[key] for a, b in zip(rows[contender], rows[other]))
                for other, key in pairs
            ]
            print(f"{name:12}{contender:24}" + "".join(f"{ratio:8.2f}" for ratio in ratios), flush=True)


if sys.argv[1:2] == ["train"]:
    train(sys.argv[2], sys.argv[3], Path(sys.argv[4]), Path(sys.argv[5]))
else:
    main()
