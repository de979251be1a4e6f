"""Trains a network a few steps, and again with one fault each; records all runs.

    python mutations.py OUT

Writes OUT/BASE/trace and OUT/FAULT/trace, and prints a line `BASE FAULT` for each fault.
"""

import copy
import sys
from pathlib import Path

import torch
import torch.nn as nn
from stitch_trace import Trace
from torch.utils.data import DataLoader, TensorDataset


class BatchNorm2d(nn.BatchNorm2d):
    """Normalizes by the unbiased variance."""

    def forward(self, x):
        variance = x.var((0, 2, 3), unbiased=True, keepdim=True)
        return (x - x.mean((0, 2, 3), keepdim=True)) / (variance + self.eps).sqrt()


class Dropout(nn.Module):
    """Does not scale."""

    def forward(self, x):
        return nn.functional.dropout(x, 0.5) * 0.5


class MaxPool2d(nn.MaxPool2d):
    """Takes the last of several equal maxima, not the first."""

    def forward(self, x):
        return super().forward(x.flip(2, 3)).flip(2, 3)


class AdamWithinRoot(torch.optim.Optimizer):
    """Adam that adds epsilon before the square root."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 1e-3})

    @torch.no_grad()
    def step(self):
        for parameter in self.param_groups[0]["params"]:
            gradient, state = parameter.grad, self.state[parameter]
            if not state:
                state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
            state["step"] += 1
            state["exp_avg"].lerp_(gradient, 1 - 0.9)
            state["exp_avg_sq"].mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
            root = (state["exp_avg_sq"] / (1 - 0.999 ** state["step"]) + 1e-8).sqrt()
            parameter.addcdiv_(state["exp_avg"], root, value=-1e-3 / (1 - 0.9 ** state["step"]))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.AvgPool2d(2)
        self.conv2 = nn.Conv2d(6, 12, 5)
        self.act2 = nn.GELU()
        self.pool2 = nn.AvgPool2d(2)
        self.fc1 = nn.Linear(300, 64)
        self.drop = nn.Dropout(0.5)
        self.fc2 = nn.Linear(64, 64)
        self.fc3 = nn.Linear(64, 10)

    def forward(self, x):
        x = self.pool1(self.relu1(self.bn1(self.conv1(x))))
        x = self.pool2(self.act2(self.conv2(x)))
        x = self.drop(torch.relu(self.fc1(x.flatten(1))))
        return self.fc3(torch.relu(self.fc2(x)))


torch.manual_seed(1)
torch.set_num_threads(1)
images, labels = torch.rand(130, 1, 28, 28), torch.randint(0, 10, (130,))
initial = Net()


class Run:
    """The settings of a run; a fault changes one of them."""

    def __init__(self):
        self.model = copy.deepcopy(initial)
        self.images, self.labels, self.seed = images, labels, 0
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = lambda parameters: torch.optim.Adam(parameters, lr=1e-3)
        self.schedule = None
        self.before_step = lambda: None
        self.before_forward = lambda: None
        self.zero_grad = True

    def train(self, folder):
        torch.manual_seed(self.seed)
        loader = DataLoader(TensorDataset(self.images, self.labels), batch_size=32, shuffle=True)
        optimizer = self.optimizer(self.model.parameters())
        schedule = self.schedule and self.schedule(optimizer)
        with Trace(folder, self.model, optimizer, loader=loader, steps=range(1, 5)) as trace:
            for xs, ys in loader:
                if self.zero_grad:
                    optimizer.zero_grad()
                self.before_forward()
                loss = self.loss(self.model(xs), ys)
                trace.batch(xs, ys)
                trace.loss(loss)
                loss.backward()
                self.before_step()
                optimizer.step()
                if schedule:
                    schedule.step()


def sgd(**options):
    return lambda parameters: torch.optim.SGD(parameters, lr=0.1, **options)


def adamw(**options):
    return lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1, **options)


def reference(run):
    pass


def with_sgd(run):
    run.optimizer = sgd(momentum=0.9)


def with_adamw(run):
    run.optimizer = adamw()


def with_schedule(run):
    run.schedule = lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 2)


def with_maximum_pooling(run):
    run.model.pool1 = nn.MaxPool2d(2)


def replaced(name, module):
    def fault(run):
        setattr(run.model, name, module())

    return fault


def attribute(path, value):
    def fault(run):
        target, name = path.rsplit(".", 1) if "." in path else ("", path)
        setattr(run.model.get_submodule(target), name, value)

    return fault


def setting(name, value):
    return lambda run: setattr(run, name, value)


def transposed(run):
    run.model.fc2.weight.data = run.model.fc2.weight.data.t().contiguous()


def evaluating(run):
    run.model.bn1.eval()


def dropped(run):
    run.images, run.labels = images[1:], labels[1:]


def clipped_norm(run):
    run.before_step = lambda: torch.nn.utils.clip_grad_norm_(run.model.parameters(), 0.05)


def clipped_value(run):
    run.before_step = lambda: torch.nn.utils.clip_grad_value_(run.model.parameters(), 0.001)


def adam(**options):
    return lambda parameters: torch.optim.Adam(parameters, **{"lr": 1e-3, **options})


FAULTS = {
    reference: {
        "batch-norm-momentum": attribute("bn1.momentum", 0.2),
        "batch-norm-epsilon": attribute("bn1.eps", 1e-2),
        "unbiased-variance": replaced("bn1", lambda: BatchNorm2d(6)),
        "evaluation-mode": evaluating,
        "dropout-mask": setting("before_forward", lambda: torch.rand(1)),
        "dropout-rate": attribute("drop.p", 0.2),
        "dropout-scale": replaced("drop", Dropout),
        "maximum-pooling": replaced("pool1", lambda: nn.MaxPool2d(2)),
        "padding-mode": attribute("conv1.padding_mode", "reflect"),
        "activation": replaced("relu1", nn.LeakyReLU),
        "gelu": replaced("act2", lambda: nn.GELU(approximate="tanh")),
        "weight-layout": transposed,
        "sgd": setting("optimizer", sgd()),
        "sgd-momentum": setting("optimizer", sgd(momentum=0.9)),
        "optimizer-epsilon": setting("optimizer", adam(eps=1e-4)),
        "epsilon-within-root": setting("optimizer", AdamWithinRoot),
        "beta1": setting("optimizer", adam(betas=(0.8, 0.999))),
        "beta2": setting("optimizer", adam(betas=(0.9, 0.99))),
        "learning-rate": setting("optimizer", adam(lr=2e-3)),
        "coupled-weight-decay": setting("optimizer", adam(weight_decay=0.1)),
        "clipped-norm": clipped_norm,
        "clipped-value": clipped_value,
        "label-smoothing": setting("loss", nn.CrossEntropyLoss(label_smoothing=0.1)),
        "sum": setting("loss", nn.CrossEntropyLoss(reduction="sum")),
        "order": setting("seed", 5),
        "dropped-sample": dropped,
        "normalization": setting("images", (images - 0.5) / 0.5),
        "no-zero-grad": setting("zero_grad", False),
        "amsgrad": setting("optimizer", adam(amsgrad=True)),
        "frozen": lambda run: run.model.conv2.weight.requires_grad_(False),
        "nested-dropout": attribute("drop.p", 0.49),
    },
    with_sgd: {
        "momentum": setting("optimizer", sgd(momentum=0.8)),
        "dampening": setting("optimizer", sgd(momentum=0.9, dampening=0.5)),
        "nesterov": setting("optimizer", sgd(momentum=0.9, nesterov=True)),
    },
    with_adamw: {
        "no-weight-decay": setting("optimizer", adam()),
        "coupled": setting("optimizer", adam(weight_decay=0.1)),
    },
    with_maximum_pooling: {
        "tie-rule": replaced("pool1", lambda: MaxPool2d(2)),
    },
    with_schedule: {
        "schedule": setting("schedule", lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1)),
    },
}

out = Path(sys.argv[1])
for base, faults in FAULTS.items():
    run = Run()
    base(run)
    run.train(out / base.__name__ / "trace")
    for name, fault in faults.items():
        run = Run()
        base(run)
        fault(run)
        run.train(out / name / "trace")
        print(base.__name__, name)
