"""Saves each network as NAME.pt, and trains it as `stitch train NAME.pt` does: NAME-SETTING-python.pt.

    python twin.py DATA JSON

JSON: a list of {"network", "setting", "seed", "batch_size", "threads", "optimizer", "loss", "options"}.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from networks import NETWORKS
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")
data = Path(sys.argv[1])


def idx(name, header):
    return np.fromfile(data / name, np.uint8, offset=header)


pixels = idx("train-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
images = torch.tensor(pixels / 255.0, dtype=torch.float32)
labels = torch.tensor(idx("train-labels-idx1-ubyte", 8), dtype=torch.int64)
test = torch.tensor(
    idx("t10k-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28) / 255.0, dtype=torch.float32
)
for run in json.loads(sys.argv[2]):
    torch.set_num_threads(run["threads"])
    torch.manual_seed(7)
    model = NETWORKS[run["network"]]()
    # The mode that was saved does not matter.
    torch.jit.script(model.eval()).save(f"{run['network']}.pt")
    model.train()
    torch.manual_seed(run["seed"])
    loader = DataLoader(TensorDataset(images, labels), run["batch_size"], shuffle=True)
    optimizer = getattr(torch.optim, run["optimizer"])(model.parameters(), **run["options"])
    criterion = getattr(nn, run["loss"])()
    for epoch in range(2):
        for xs, ys in loader:
            optimizer.zero_grad()
            loss = criterion(model(xs), ys)
            loss.backward()
            optimizer.step()
    name = f"{run['network']}-{run['setting']}"
    torch.save(model.state_dict(), f"{name}-python.pt")
    model.eval()
    with torch.no_grad():
        predicted = torch.cat([model(xs).argmax(1) for xs in test.split(250)])
    np.savetxt(f"{name}-predicted.txt", predicted.numpy(), "%d")
