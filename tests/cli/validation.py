"""Recomputes loss and accuracy on the held-out images with PyTorch: validation.py MODEL RUN DATA"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import Normalize

sys.path.insert(0, str(Path(__file__).parents[1] / "common"))
from lenet5 import LeNet5  # noqa: E402

model_name, run, data = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
validation = json.loads((run / "metrics.json").read_text())["validation"]
n = validation["images"]
pixels = np.fromfile(data / "train-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 28, 28)[-n:]
labels = np.fromfile(data / "train-labels-idx1-ubyte", np.uint8)[8:][-n:]
labels = torch.from_numpy(labels.astype("int64"))
if model_name == "mlp":
    model = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).double()
    images = torch.from_numpy(pixels.reshape(n, 784) / 255)
else:
    model = LeNet5()
    images = torch.from_numpy(pixels / np.float32(255)).reshape(n, 1, 28, 28)

config = json.loads((run / "config.json").read_text())
mean_loss = F.nll_loss if config.get("loss") == "nll" else F.cross_entropy
if "normalize" in config:
    mean, std = map(float, config["normalize"].split(","))
    images = Normalize((mean,), (std,))(images)

history = list(csv.DictReader((run / "history.csv").open()))
best = history[validation["best_epoch"] - 1]
for file, row in [("state_dict.pt", history[-1]), ("best_state_dict.pt", best)]:
    model.load_state_dict(torch.load(run / file), strict=True)
    with torch.no_grad():
        logits = model(images)
    loss = mean_loss(logits, labels).item()
    accuracy = (logits.argmax(1) == labels).double().mean().item()
    assert abs(loss - float(row["val_loss"])) <= 1e-6 * abs(loss), (file, loss, row)
    assert accuracy == float(row["val_accuracy"]), (file, accuracy, row)
