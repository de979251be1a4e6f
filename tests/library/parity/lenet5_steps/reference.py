"""Logits, gradients and parameters of LeNet-5 over its first three steps, eager PyTorch."""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

sys.path.append(str(Path(__file__).resolve().parents[3] / "common"))
from lenet5 import LeNet5  # noqa: E402

torch.set_num_threads(1)

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
