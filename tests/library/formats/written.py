"""Writes LeNet-5 state_dicts of other types beside what they are as float32; prints their stems."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

sys.path.append(str(Path(__file__).resolve().parents[2] / "common"))
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
base = model.state_dict()
save_file(base, out / "float32.safetensors")
ema = {name: value * 0.5 for name, value in base.items()}
save_file(ema, out / "ema.safetensors")


def named(prefix):
    return {prefix + name: value for name, value in base.items()}


torch.save(base, out / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save({"net": base, "acc": 89.3}, out / "net.pt")
torch.save({"model": {"state_dict": base, "name": "lenet5"}}, out / "nested.pt")
torch.save({"epoch": 4, "state_dict": named("model."), "hyper_parameters": {"lr": 1e-3}}, out / "lightning.ckpt")
torch.save({"model": named("module._orig_mod.")}, out / "wrapped.pt")
torch.save(AveragedModel(model).state_dict(), out / "averaged.pt")
torch.save({**base, "epoch": 5}, out / "mixed.pt")
torch.save({"model": base, "ema": ema}, out / "several.pt")
wrong = {"head.weight": torch.ones(3), **base, "fc1.bias": torch.ones(7)}
del wrong["fc3.bias"]
torch.save(wrong, out / "wrong.pt")
torch.save({f"model.{name}": value for name, value in wrong.items()}, out / "wrong-wrapped.pt")
torch.save(torch.ones(2, 3), out / "single.pt")
torch.save(model, out / "model.pt")
torch.jit.script(torch.nn.ReLU()).save(out / "empty.pt")
