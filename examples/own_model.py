"""The twin of own_model.rs in PyTorch, with the same flags; `stitch parity twin.pt own.pt` finds their files equal.

python examples/own_model.py --data data/fashion-mnist --epochs 1 --batch-size 64 --seed 0 --threads 2 --out twin.pt
"""

import argparse
import gzip
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, padding=1)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, kernel_size=3, padding=1)
        self.bn2 = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.25)
        self.fc = nn.Linear(8 * 14 * 14, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        y = self.bn2(self.conv2(x))
        x = F.relu(x + y)
        x = self.dropout(torch.flatten(x, 1))
        return self.fc(x)


def load(folder, half):
    def read(name, header):
        packed = folder / f"{name}.gz"
        content = gzip.open(packed).read() if packed.exists() else (folder / name).read_bytes()
        return np.frombuffer(content, np.uint8, offset=header)

    images = read(f"{half}-images-idx3-ubyte", 16) / 255.0
    labels = read(f"{half}-labels-idx1-ubyte", 8)
    images = torch.tensor(images, dtype=torch.float32).view(-1, 1, 28, 28)
    return TensorDataset(images, torch.tensor(labels, dtype=torch.int64))


def train(flags):
    train_set, test_set = load(flags.data, "train"), load(flags.data, "t10k")
    if flags.threads:
        torch.set_num_threads(flags.threads)

    torch.manual_seed(flags.seed)
    model = Net()
    loader = DataLoader(train_set, batch_size=flags.batch_size, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    for epoch in range(1, flags.epochs + 1):
        total = 0.0
        for xs, ys in loader:
            optimizer.zero_grad()
            logits = model(xs)
            loss = F.cross_entropy(logits, ys)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(ys)
        print(f"epoch {epoch}/{flags.epochs}: loss {total / len(train_set):.6f}")

    model.eval()
    with torch.no_grad():
        batches = DataLoader(test_set, batch_size=250)
        correct = sum((model(xs).argmax(1) == ys).sum().item() for xs, ys in batches)
    print(f"test accuracy {correct / len(test_set):.4f}")
    torch.save(model.state_dict(), flags.out)


parser = argparse.ArgumentParser(description="The twin of own_model.rs.")
parser.add_argument("--data", type=Path, default=Path("data/fashion-mnist"))
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int)
parser.add_argument("--out", type=Path, default=Path("twin.pt"))
train(parser.parse_args())
