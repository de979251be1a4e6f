"""Writes the weights of a run folder in every format that is read; prints the paths."""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))
from lenet5 import LeNet5  # noqa: E402

run, out = map(Path, sys.argv[1:])
state_dict = torch.load(run / "state_dict.pt")
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
# Checkpoints as tutorials and frameworks write them, with much besides.
optimizer = torch.optim.Adam(model.parameters())
model(torch.zeros(1, 1, 28, 28)).sum().backward()
optimizer.step()
model.load_state_dict(state_dict)
rest = {"epoch": 5, "loss": 0.25, "best": None, "optimizer": optimizer.state_dict()}
torch.save({**rest, "state_dict": model.state_dict()}, out / "wrapped_state_dict.pt")
torch.save({"model": dict(model.state_dict()), **rest}, out / "wrapped_model.pt")
torch.save({"model_state_dict": model.state_dict(), **rest}, out / "wrapped_model_state_dict.pt")
torch.save(torch.nn.DataParallel(model).state_dict(), out / "parallel.pt")
torch.save(torch.compile(torch.nn.DataParallel(model)).state_dict(), out / "compiled.pt")
torch.save(torch.nn.DataParallel(torch.compile(model)).state_dict(), out / "parallel_compiled.pt")
torch.jit.script(model).save(out / "scripted.pt")
torch.jit.trace(model, torch.zeros(1, 1, 28, 28)).save(out / "traced.pt")
arrays = {name: value.numpy() for name, value in state_dict.items()}
np.savez(out / "plain.npz", **{name: np.asfortranarray(array) for name, array in arrays.items()})
np.savez_compressed(out / "packed.npz", **arrays)
for path in sorted(out.iterdir()):
    print(path)
