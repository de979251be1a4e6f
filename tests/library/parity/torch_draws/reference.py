"""`random_`, `randperm` and the orders of a `DataLoader` after a model was drawn."""

import sys

import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader

expected = {}
for seed in (0, 1, 12345, 2**32 + 5, 2**64 - 1):
    torch.manual_seed(seed)
    # int64 beyond 2**53 is no float64: high and low halves are compared.
    draws = torch.stack([torch.empty((), dtype=torch.int64).random_() for _ in range(4)])
    expected[f"random seed={seed}"] = torch.stack([draws >> 32, draws & 0xFFFFFFFF])
    for n in (1, 2, 3, 1000, 60000):
        torch.manual_seed(seed)
        expected[f"randperm seed={seed} n={n}"] = torch.randperm(n)
    for n in (1, 2, 65, 1000):
        torch.manual_seed(seed)
        torch.empty(1234).uniform_(-1, 1)
        loader = DataLoader(torch.arange(n), batch_size=7, shuffle=True)
        orders = [torch.cat(list(loader)) for _ in range(3)]
        expected[f"loader seed={seed} n={n}"] = torch.stack(orders)
save_file(expected, sys.argv[1])
