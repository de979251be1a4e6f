"""Trains a network in PyTorch, and ports of it in NumPy with one fault each; records all runs.

    python ports.py OUT

Writes OUT/REFERENCE/trace and OUT/PORT/trace. The ports record less than the hooks do: no state of the optimizer, no logits.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from stitch_trace import Trace
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

OUT = Path(sys.argv[1])
torch.manual_seed(0)
torch.set_num_threads(1)
draws = np.random.default_rng(0)
images, labels = draws.normal(size=(200, 20)).astype("float32"), draws.integers(0, 5, 200)
f32 = np.float32


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden, self.act, self.out = nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 5)

    def forward(self, x):
        return self.out(self.act(self.hidden(x)))


net = Net()
initial = {name: value.numpy().copy() for name, value in net.state_dict().items()}


def reference(name, optimizer, **options):
    net.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in initial.items()})
    optimizer = optimizer(net.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    loader = DataLoader(TensorDataset(torch.from_numpy(images), torch.from_numpy(labels)), batch_size=32)
    with Trace(OUT / name / "trace", net, optimizer, loader=loader, **options) as trace:
        for _ in range(3):
            total = 0
            for xs, ys in loader:
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(net(xs), ys)
                trace.labels(ys)
                trace.loss(loss)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(xs)
            trace.epoch(total / 200)
            schedule.step()


def sgd(fault):
    """SGD with a momentum of 0.9 and a weight decay of 1e-3."""
    buffers = {}

    def update(name, value, gradient, rate, step):
        decay = f32(0 if fault == "bias-decay" and name.endswith("bias") else 1e-3)
        gradient = gradient + decay * value
        before = buffers.get(name)
        weight = f32(0.1 if fault == "dampening" else 1)
        buffers[name] = gradient if before is None else f32(0.9) * before + weight * gradient
        return value - f32(rate) * buffers[name]

    return update


def adam(fault):
    first, second = {}, {}
    beta2 = 0.99 if fault == "beta2" else 0.999

    def update(name, value, gradient, rate, step):
        first[name] = f32(0.9) * first.get(name, 0) + f32(0.1) * gradient
        second[name] = f32(beta2) * second.get(name, 0) + f32(1 - beta2) * gradient**2
        one, two = (1, 1) if fault == "no-correction" else (1 - 0.9**step, 1 - beta2**step)
        root = np.sqrt(second[name] / f32(two) + f32(1e-8)) if fault == "epsilon" else np.sqrt(second[name] / f32(two)) + f32(1e-8)
        return value - f32(rate / one) * first[name] / root

    return update


def port(name, update, rate, steps=None, fault=None):
    parameters = {key: value.copy() for key, value in initial.items()}
    trace = Trace(OUT / name / "trace", steps=steps, steps_in_epoch=7)
    module = "fc1" if fault == "renamed" else "hidden"
    for key, value in parameters.items():
        trace.record("init", key, value)
    for _ in range(3):
        total = 0
        for at in range(0, 200, 32):
            x, y = images[at : at + 32], labels[at : at + 32]
            n, w = len(x), parameters
            hidden = x @ w["hidden.weight"].T + w["hidden.bias"]
            act = np.tanh(hidden)
            out = act @ w["out.weight"].T + w["out.bias"]
            logs = out - out.max(1, keepdims=True)
            logs -= np.log(np.exp(logs).sum(1, keepdims=True))
            loss = -logs[np.arange(n), y].mean()
            by_out = np.exp(logs)
            by_out[np.arange(n), y] -= 1
            by_out /= 32 if fault == "last-batch" else n
            by_hidden = by_out @ w["out.weight"] * (1 - (hidden if fault == "tanh" else act) ** 2)
            gradients = {"hidden.weight": by_hidden.T @ x, "hidden.bias": by_hidden.sum(0)}
            gradients |= {"out.weight": by_out.T @ act, "out.bias": by_out.sum(0)}
            step, recording = trace.step, trace.recording
            if recording:
                trace.record("batch", "images", x, step=step)
                trace.record("batch", "labels", y, step=step)
                for key, value in ((module, hidden), ("act", act), ("out", out)):
                    trace.record("forward", key, value, step=step)
                trace.loss(loss)
                for key, value in gradients.items():
                    trace.record("gradients" if fault == "misspelled" else "gradient", key, value, step=step)
            for key, value in parameters.items():
                parameters[key] = update(key, value, gradients[key], rate, step)
                if recording:
                    trace.record("parameter", key, parameters[key], step=step)
            trace.end_step()
            total += loss * n
        trace.epoch(total / 200)
        rate *= 1 if fault == "no-schedule" else 0.5
    if fault != "no-finish":
        trace.finish()


def main():
    reference("sgd", lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3))
    reference("adam", lambda p: torch.optim.Adam(p, lr=0.01), steps=range(1, 22))
    faults = ["dampening", "no-schedule", "last-batch", "bias-decay", "tanh", "no-finish", "misspelled", "renamed"]
    for fault in ["none", *faults]:
        port(fault, sgd(fault), 0.1, fault=fault)
    for fault in ["beta2", "no-correction", "epsilon"]:
        port(fault, adam(fault), 0.01, steps=range(1, 22), fault=fault)


main()
