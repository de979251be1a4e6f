"""PyTorch's MNIST example on Fashion-MNIST: two convolutions and dropout, trained by Adadelta with StepLR.

docs/notebooks.md trains the same network with `stitch train` and compares the two runs bit for bit.

python examples/notebooks/mnist.py --data data --epochs 2 --seed 0 --threads 2 --out runs/mnist/python
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from stitch_trace import Trace
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader
from torchvision.datasets import FashionMNIST
from torchvision.transforms import Compose, Normalize, ToTensor


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, kernel_size=3)
        self.conv2 = nn.Conv2d(32, 64, kernel_size=3)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(64 * 12 * 12, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(self.dropout1(x), 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def as_tensors(data):
    images, labels = zip(*data)
    return torch.stack(images), torch.tensor(labels)


def train_epoch(model, loader, optimizer, trace):
    """The mean loss of the epoch."""
    model.train()
    total = 0.0
    for xs, ys in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(xs), ys)
        trace.labels(ys)
        trace.loss(loss)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(ys)
    return total / len(loader.dataset)


def evaluate(model, loader):
    """The outputs for all images of the loader, and their labels."""
    model.eval()
    with torch.no_grad():
        outputs, labels = zip(*[(model(xs), ys) for xs, ys in loader])
    return torch.cat(outputs), torch.cat(labels)


def main():
    parser = argparse.ArgumentParser(description="The network of PyTorch's MNIST example.")
    parser.add_argument("--data", type=Path, default=Path("data"), help="torchvision's folder of data sets")
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("runs/mnist/python"))
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
    train_data = FashionMNIST(args.data, train=True, download=True, transform=transform)
    test_data = FashionMNIST(args.data, train=False, download=True, transform=transform)

    torch.manual_seed(args.seed)
    model = Net()
    torch.jit.script(model).save(args.out / "model.pt")

    torch.manual_seed(args.seed)
    train_loader = DataLoader(train_data, batch_size=64, shuffle=True)
    # Each pass over a DataLoader draws a number: from this generator, not from that of the training.
    test_loader = DataLoader(test_data, batch_size=1000, generator=torch.Generator())
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)

    with Trace(args.out / "trace", model, optimizer, loader=train_loader, skip=["forward", "backward"]) as trace:
        trace.data(*as_tensors(train_data), *as_tensors(test_data))
        for epoch in range(1, args.epochs + 1):
            mean_loss = train_epoch(model, train_loader, optimizer, trace)
            trace.epoch(mean_loss)
            scheduler.step()
            outputs, labels = evaluate(model, test_loader)
            predicted = outputs.argmax(1)
            accuracy = (predicted == labels).sum().item() / len(labels)
            print(f"epoch {epoch}/{args.epochs}: loss {mean_loss:.6f}, test accuracy {accuracy:.4f}", flush=True)
        trace.final(outputs)
        matrix = torch.bincount(10 * labels + predicted, minlength=100).view(10, 10)
        trace.answers(predicted, matrix, accuracy)

    torch.save(model.state_dict(), args.out / "state_dict.pt")


if __name__ == "__main__":
    main()
