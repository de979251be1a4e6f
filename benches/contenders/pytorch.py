"""Faster variants of the notebook's training loop in PyTorch.

    python benches/contenders/pytorch.py VARIANT MODEL --data DIR --out DIR [--epochs N] [--batch-size N] [--lr F]
        [--threads N] [--seed N]

Each variant adds one change to the previous ones. DIR contains the four unpacked files of the data set. Writes
`metrics.json` and `weights.safetensors` to OUT, like notebook.py. Compilation is not part of the training time.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from deepcnn import DeepCNN
from safetensors.torch import save_file

root = Path(__file__).resolve().parents[2]
sys.path.append(str(root / "tests/common"))
from lenet5 import LeNet5  # noqa: E402

MODELS = {"lenet5": LeNet5, "deepcnn": DeepCNN}
# Whole-tensor batches: rows indexed from one tensor, whereas the DataLoader stacks single images.
VARIANTS = {
    "whole": {"adam": {}, "channels_last": False, "compile": False},
    "foreach": {"adam": {"foreach": True}, "channels_last": False, "compile": False},
    "fused": {"adam": {"fused": True}, "channels_last": False, "compile": False},
    "channels-last": {"adam": {"fused": True}, "channels_last": True, "compile": False},
    "compile": {"adam": {"fused": True}, "channels_last": False, "compile": True},
    "compile-channels-last": {"adam": {"fused": True}, "channels_last": True, "compile": True},
}


def read(folder, name, header):
    return np.frombuffer((folder / name).read_bytes(), np.uint8, offset=header)


def load(folder, split):
    images = read(folder, f"{split}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28) / 255.0
    labels = read(folder, f"{split}-labels-idx1-ubyte", 8).astype(np.int64)
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)


def epoch_order(n):
    """Returns the order of DataLoader(shuffle=True), which draws an unused base seed, then the sampler's seed."""
    torch.empty((), dtype=torch.int64).random_()
    seed = int(torch.empty((), dtype=torch.int64).random_().item())
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def peak_rss_bytes():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def compiled(loss_of, images, labels, batch_size):
    """Compiles a step for full batches and one for the last batch; with dynamic shapes it is slower."""
    loss_of = torch.compile(loss_of, dynamic=False)
    for n in {batch_size, len(images) % batch_size or batch_size}:
        loss_of(images[:n], labels[:n]).backward()
    return loss_of


def train(loss_of, optimizer, images, labels, args):
    """Trains, and returns the mean loss of the last epoch."""
    for _ in range(args.epochs):
        total = 0.0
        for batch in epoch_order(len(images)).split(args.batch_size):
            optimizer.zero_grad()
            loss = loss_of(images[batch], labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
    return total / len(images)


def main():
    args = arguments()
    variant = VARIANTS[args.variant]
    if args.threads:
        torch.set_num_threads(args.threads)
    images, labels = load(args.data, "train")
    torch.manual_seed(args.seed)
    model = MODELS[args.model]()
    if variant["channels_last"]:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)

    def loss_of(xs, ys):
        return F.cross_entropy(model(xs), ys)

    start = time.perf_counter()
    if variant["compile"]:
        # The steps that compile draw dropout, and change the running statistics.
        state = {name: value.clone() for name, value in model.state_dict().items()}
        with torch.random.fork_rng():
            loss_of = compiled(loss_of, images, labels, args.batch_size)
        model.load_state_dict(state)
        model.zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr, **variant["adam"])
    begin = time.perf_counter()
    train_loss = train(loss_of, optimizer, images, labels, args)
    end = time.perf_counter()

    model.eval()
    test_images, test_labels = load(args.data, "t10k")
    with torch.no_grad():
        predictions = torch.cat([model(xs).argmax(1) for xs in test_images.split(1000)])
    accuracy = (predictions == test_labels).double().mean().item()
    args.out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, args.out / "weights.safetensors")
    metrics = {
        "test_accuracy": accuracy,
        "train_loss": train_loss,
        "train_seconds": end - begin,
        "compile_seconds": begin - start if variant["compile"] else 0.0,
        "peak_rss_bytes": peak_rss_bytes(),
    }
    (args.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")


main()
