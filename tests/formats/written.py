"""Writes LeNet-5 state_dicts of other types beside what they are as float32; prints their stems."""

import sys
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "common"))
from lenet5 import LeNet5  # noqa: E402

out = Path(sys.argv[1])
torch.manual_seed(0)
model = LeNet5()
for dtype in (torch.float16, torch.bfloat16, torch.float64):
    stem = str(dtype).removeprefix("torch.")
    state_dict = {name: value.to(dtype) for name, value in model.state_dict().items()}
    torch.save(state_dict, out / f"{stem}.pt")
    torch.save({name: value.float() for name, value in state_dict.items()}, out / f"{stem}-float32.pt")
    print(stem)
torch.save(model.state_dict(), out / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(model, out / "model.pt")
torch.jit.script(torch.nn.ReLU()).save(out / "empty.pt")
