"""The twin of lenet5.cpp in PyTorch, with the same flags, traced for `stitch parity`; the ports in ports/ start from
its trace. docs/ports.md compares them.

python examples/cpp/lenet5.py --data FOLDER --out TRACE
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

sys.path.append(str(Path(__file__).resolve().parents[2] / "python"))
from stitch_trace import Trace  # noqa: E402


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.avg_pool2d(F.relu(self.conv1(x)), 2)
        x = F.avg_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, 400)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def read_idx(path, header):
    return np.frombuffer(path.read_bytes(), np.uint8, offset=header)


parser = argparse.ArgumentParser(description="The twin of lenet5.cpp.")
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--float64", action="store_true", help="compute in float64, which lenet5.cpp does not")
flags = parser.parse_args()

torch.set_num_threads(flags.threads)
dtype = torch.float64 if flags.float64 else torch.float32
images = read_idx(flags.data / "train-images-idx3-ubyte", 16) / 255.0
images = torch.tensor(images, dtype=dtype).view(-1, 1, 28, 28)
labels = torch.tensor(read_idx(flags.data / "train-labels-idx1-ubyte", 8), dtype=torch.int64)

torch.manual_seed(flags.seed)
# The draws of float32 in both types.
model = LeNet5().to(dtype)
loader = DataLoader(TensorDataset(images, labels), batch_size=flags.batch_size, shuffle=True)
optimizer = torch.optim.Adam(model.parameters(), lr=flags.lr)

steps = range(1, flags.steps + 1)
# The ports do not record the network after the last step. In float64, outputs of conv1 exceed the default of `keep`.
with Trace(
    flags.out, model, optimizer, loader=loader, steps=steps, name="lenet5", skip=["final"], keep=2 << 20
) as trace:
    for step, (xs, ys) in zip(steps, loader):
        trace.batch(xs, ys)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(xs), ys)
        trace.loss(loss)
        loss.backward()
        optimizer.step()
        print(f"step {step}: loss {loss.item():.6g}")
