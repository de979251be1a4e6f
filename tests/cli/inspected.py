"""Writes files of tensors for tests/cli/inspect.rs, and prints what is in them as PyTorch and hashlib see it.

    python inspected.py DIR
"""

import argparse
import collections
import hashlib
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

folder = pathlib.Path(sys.argv[1])
torch.manual_seed(0)


def digest(tensor):
    return hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def described(tensors):
    """Name, dtype, shape and SHA-256 of each tensor, and the SHA-256 of all."""
    rows = [[name, str(t.dtype).removeprefix("torch."), list(t.shape), digest(t)] for name, t in tensors.items()]
    lines = [json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows]
    # The order of the names, not that of the lines.
    lines = [line for _, line in sorted(zip(tensors, lines), key=lambda pair: pair[0].encode())]
    return {"tensors": rows, "sha256": hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 4)
        self.norm = nn.BatchNorm1d(4)
        self.out = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x):
        return self.out(torch.relu(self.norm(self.first(x))).double())


network = Net().eval()
state = collections.OrderedDict((name, value.clone()) for name, value in network.state_dict().items())
torch.save(state, folder / "state_dict.pt")
torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
save_file(state, folder / "net.safetensors", {"made by": "a test", "steps": "12"})
np.savez(folder / "net.npz", **{name: value.numpy() for name, value in state.items()})
torch.jit.script(network).save(folder / "script.pt")
ema = collections.OrderedDict((name, value + 1) for name, value in state.items())
args = argparse.Namespace(lr=1e-3)
torch.save({"model": state, "ema": ema, "epoch": 3}, folder / "several.pt")
torch.save({"model": state, "args": args, "epoch": 3}, folder / "checkpoint.pt")
values = {
    "values": torch.tensor([1.5, -2.0, float("nan"), float("inf"), -float("inf"), 0.25]),
    "counts": torch.tensor([[3, 4], [-5, 6]]),
    "empty": torch.zeros(0, 3),
    "scalar": torch.tensor(7.0, dtype=torch.bfloat16),
    "phase": torch.tensor([complex(1, float("nan"))]),
}
torch.save(values, folder / "values.pt")
np.save(folder / "array.npy", np.asfortranarray(np.arange(6.0).reshape(2, 3)))
hostile = {"a\x1b[2J\nb": torch.ones(2), "é\"\\": torch.zeros(1)}
torch.save(hostile, folder / "hostile.pt")
(folder / "damaged.pt").write_bytes((folder / "state_dict.pt").read_bytes()[:-100])
array = {"tensor": torch.arange(6.0, dtype=torch.float64).reshape(2, 3)}
expected = {"net": state, "ema": ema, "values": values, "hostile": hostile, "array": array}
print(json.dumps({name: described(tensors) for name, tensors in expected.items()}))
