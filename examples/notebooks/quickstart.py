"""PyTorch's quickstart: a multilayer perceptron of width 512, trained by SGD on Fashion-MNIST without shuffling.

docs/notebooks.md trains the same network with `stitch train` and compares the two runs bit for bit.

python examples/notebooks/quickstart.py --data data --epochs 5 --seed 0 --threads 2 --out runs/quickstart/python
"""

import argparse
from pathlib import Path

import torch
from stitch_trace import Trace
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import FashionMNIST
from torchvision.transforms import ToTensor


class Perceptron(nn.Module):
    def __init__(self, width=512):
        super().__init__()
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(
            nn.Linear(28 * 28, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 10),
        )

    def forward(self, x):
        return self.layers(self.flatten(x))


def as_tensors(data):
    images, labels = zip(*data)
    return torch.stack(images), torch.tensor(labels)


def evaluate(model, loader):
    """The outputs for all images of the loader, and their labels."""
    model.eval()
    with torch.no_grad():
        outputs, labels = zip(*[(model(xs), ys) for xs, ys in loader])
    return torch.cat(outputs), torch.cat(labels)


parser = argparse.ArgumentParser(description="PyTorch's quickstart.")
parser.add_argument("--data", type=Path, default=Path("data"), help="torchvision's folder of data sets")
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=torch.get_num_threads())
parser.add_argument("--out", type=Path, default=Path("runs/quickstart/python"))
args = parser.parse_args()

args.out.mkdir(parents=True, exist_ok=True)
torch.set_num_threads(args.threads)
train_data = FashionMNIST(args.data, train=True, download=True, transform=ToTensor())
test_data = FashionMNIST(args.data, train=False, download=True, transform=ToTensor())

torch.manual_seed(args.seed)
model = Perceptron()
torch.jit.script(model).save(args.out / "model.pt")

torch.manual_seed(args.seed)
train_loader = DataLoader(train_data, batch_size=64)
test_loader = DataLoader(test_data, batch_size=64)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)

with Trace(args.out / "trace", model, optimizer, loader=train_loader, skip=["forward", "backward"]) as trace:
    trace.data(*as_tensors(train_data), *as_tensors(test_data))
    for epoch in range(1, args.epochs + 1):
        model.train()
        total = 0.0
        for xs, ys in train_loader:
            loss = criterion(model(xs), ys)
            trace.labels(ys)
            trace.loss(loss)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += loss.item() * len(ys)
        mean_loss = total / len(train_data)
        trace.epoch(mean_loss)
        outputs, labels = evaluate(model, test_loader)
        predicted = outputs.argmax(1)
        accuracy = (predicted == labels).sum().item() / len(labels)
        print(f"epoch {epoch}/{args.epochs}: loss {mean_loss:.6f}, test accuracy {accuracy:.4f}", flush=True)
    trace.final(outputs)
    matrix = torch.bincount(10 * labels + predicted, minlength=100).view(10, 10)
    trace.answers(predicted, matrix, accuracy)

torch.save(model.state_dict(), args.out / "state_dict.pt")
