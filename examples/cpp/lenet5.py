"""The twin of lenet5.cpp in PyTorch, with the same flags, traced for `stitch parity`; docs/ports.md compares the two.

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

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests/reference"))
from tracing import Trace  # noqa: E402


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
flags = parser.parse_args()

torch.set_num_threads(flags.threads)
images = read_idx(flags.data / "train-images-idx3-ubyte", 16) / 255.0
images = torch.tensor(images, dtype=torch.float32).view(-1, 1, 28, 28)
labels = torch.tensor(read_idx(flags.data / "train-labels-idx1-ubyte", 8), dtype=torch.int64)

torch.manual_seed(flags.seed)
model = LeNet5()
loader = DataLoader(TensorDataset(images, labels), batch_size=flags.batch_size, shuffle=True)
optimizer = torch.optim.Adam(model.parameters(), lr=flags.lr)

trace = Trace(flags.out, "lenet5")
trace.parameters("init", model)
trace.watch_order(loader)
outputs = {}


def keep(module, _inputs, output):
    output.retain_grad()
    outputs[names[module]] = output


names = {module: name for name, module in model.named_children()}
for module in names:
    module.register_forward_hook(keep)

for step, (xs, ys) in enumerate(loader, start=1):
    if step > flags.steps:
        break
    optimizer.zero_grad()
    logits = model(xs)
    loss = F.cross_entropy(logits, ys)
    loss.backward()
    optimizer.step()

    trace.record("batch", "images", xs, step=step)
    trace.record("batch", "labels", ys, step=step)
    trace.parameters("forward", outputs, step)
    trace.record("logits", "logits", logits, step=step)
    trace.record("loss", "loss", loss, step=step)
    trace.parameters("backward", {name: outputs[name].grad for name in reversed(outputs)}, step)
    parameters = dict(model.named_parameters())
    trace.parameters("gradient", {name: p.grad for name, p in parameters.items()}, step)
    trace.record("learning_rate", "0", np.float64(optimizer.param_groups[0]["lr"]), step=step)
    for moment in ("exp_avg", "exp_avg_sq"):
        trace.parameters(moment, {name: optimizer.state[p][moment] for name, p in parameters.items()}, step)
    trace.parameters("parameter", parameters, step)
    print(f"step {step}: loss {loss.item():.6g}")
trace.close()
