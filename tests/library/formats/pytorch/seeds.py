"""Writes a small file of each kind: what the mutants are made from.

    python seeds.py OUT
"""

import argparse
import collections
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

out = Path(sys.argv[1])
base = torch.arange(12.0)
tensors = collections.OrderedDict(
    a=base[:6].view(2, 3).t(), b=base[4:], c=torch.tensor([1, -2], dtype=torch.int64), d=torch.tensor(True)
)
torch.save(tensors, out / "views.pt")
torch.save({"epoch": 3, "net": dict(tensors), "lr": 0.5, "names": ["a", ("b", None)]}, out / "checkpoint.pt")
lazy = {
    "n": torch._neg_view(torch.arange(3.0)),
    "z": torch.tensor([1 + 2j, 3 - 4j]).conj(),
    "u": torch.tensor([1, 2, 3], dtype=torch.uint16),
    "p": torch.nn.Parameter(torch.ones(2)),
}
lazy["p"].note = "x"
torch.save(lazy, out / "lazy.pt")
for protocol in (1, 4):
    others = {"args": argparse.Namespace(lr=1.0, sizes={3, 4}), "path": Path("a"), "array": np.arange(3.0), "text": "e\n"}
    checkpoint = {**others, "model": dict(tensors), "large": 2**70, "bytes": b"ab"}
    torch.save(checkpoint, out / f"protocol{protocol}.pt", pickle_protocol=protocol)
torch.save(tensors, out / "legacy.pt", _use_new_zipfile_serialization=False)
torch.jit.script(torch.nn.Linear(2, 3)).save(out / "script.pt")
save_file({key: value.contiguous().clone() for key, value in tensors.items()}, out / "weights.safetensors")
arrays = {key: value.numpy() for key, value in tensors.items()}
np.savez(out / "plain.npz", **arrays)
np.savez_compressed(out / "packed.npz", **arrays)
np.save(out / "array.npy", arrays["a"])
