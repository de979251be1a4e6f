"""Writes the weights of a run folder in every format that is read; prints the paths."""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

run, out = map(Path, sys.argv[1:])
state_dict = torch.load(run / "state_dict.pt")


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.avg_pool2d(F.relu(self.conv1(x)), 2)
        x = F.avg_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x.view(-1, 400))))))


model = LeNet5()
model.load_state_dict(state_dict)
torch.save(model.state_dict(), out / "ordered.pt")
# Views into one storage, one of them not contiguous.
flat = torch.cat([value.t().flatten() if value.dim() == 2 else value.flatten() for value in state_dict.values()])
views, at = {}, 0
for name, value in state_dict.items():
    part = flat[at : at + value.numel()]
    views[name] = part.view(value.t().shape).t() if value.dim() == 2 else part.view(value.shape)
    at += value.numel()
torch.save(views, out / "shared.pt")
torch.jit.script(model).save(out / "scripted.pt")
torch.jit.trace(model, torch.zeros(1, 1, 28, 28)).save(out / "traced.pt")
arrays = {name: value.numpy() for name, value in state_dict.items()}
np.savez(out / "plain.npz", **{name: np.asfortranarray(array) for name, array in arrays.items()})
np.savez_compressed(out / "packed.npz", **arrays)
for path in sorted(out.iterdir()):
    print(path)
