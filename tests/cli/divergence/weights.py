"""Writes pairs of files whose comparison has a message that must be true; argument: the folder."""

import sys
from pathlib import Path

import numpy as np
import torch

out = Path(sys.argv[1])


def pair(name, reference, port):
    for side, tensor in (("reference", reference), ("port", port)):
        torch.save({"w": torch.as_tensor(tensor)}, out / f"{name}-{side}.pt")


pair("int64", [1, 5, 9], [1, 7, 8])
pair("bool", [True, False], [True, True])
pair("uint8", np.array([200, 3], np.uint8), np.array([10, 3], np.uint8))
pair("float16", torch.tensor([1.0, 2.0]).half(), torch.tensor([1.001, 2.0]).half())
pair("bfloat16", torch.tensor([1.0, 2.0]).bfloat16(), torch.tensor([1.01, 2.0]).bfloat16())
pair("complex", [1 + 2j, 1], [1.001 + 2j, 1])
pair("nan-complex", [1 + 2j, complex(1, float("nan"))], [1 + 2j, complex(1, float("nan"))])
pair("float8", *(torch.tensor([x, 2.0]).to(torch.float8_e5m2) for x in (1.0, 1.25)))
pair("zero", [0.0, 1.0], [-0.0, 1.0])
pair("scalar", 1.0, 1.001)
pair("infinity", [1.0, float("inf"), 2.0], [1.0, 3.0, 2.5])
pair("nan", [1.0, float("nan")], [1.5, 2.0])
pair("shape", torch.zeros(2, 3), torch.zeros(3, 2))
pair("type", torch.zeros(2), torch.zeros(2).double())

net = {"conv.weight": torch.ones(2), "fc.weight": torch.zeros(3)}
torch.save(net, out / "net.pt")
for name, prefix in (("lightning", "model."), ("parallel", "module._orig_mod."), ("deep", "a.b.")):
    torch.save({prefix + key: value for key, value in net.items()}, out / f"{name}.pt")
torch.save({"n_averaged": torch.tensor(3), **{f"module.{k}": v for k, v in net.items()}}, out / "averaged.pt")
other = {key: value + 1 for key, value in net.items()}
torch.save({"model": net, "ema": other, "epoch": 3}, out / "two.pt")
torch.save({"model": net, "copy": net}, out / "alias.pt")
torch.save({}, out / "empty.pt")
