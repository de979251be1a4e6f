"""Logits, gradients and parameters of LeNet-5 over its first three steps, eager PyTorch."""

import sys

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

torch.set_num_threads(1)


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
        x = F.relu(self.fc1(x.view(-1, 400)))
        return self.fc3(F.relu(self.fc2(x)))


expected = {}
for seed in (0, 1, 2):
    for batch in (1, 2, 33, 64):
        torch.manual_seed(seed)
        model = LeNet5()
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        for step in (1, 2, 3):
            # Pixels and labels that the port can make without a generator.
            pixels = (torch.arange(batch * 784) * (step * 37 + seed) % 256).double() / 255.0
            xs = pixels.float().view(batch, 1, 28, 28)
            ys = (torch.arange(batch) * 7 + step) % 10
            logits = model(xs)
            loss = F.cross_entropy(logits, ys)
            adam.zero_grad()
            loss.backward()
            adam.step()
            where = f"seed={seed} batch={batch} step={step}"
            expected[f"{where} logits"] = logits.detach()
            expected[f"{where} loss"] = loss.detach()
            for key, p in model.named_parameters():
                expected[f"{where} grad {key}"] = p.grad.clone()
                expected[f"{where} param {key}"] = p.detach().clone()
save_file(expected, sys.argv[1])
