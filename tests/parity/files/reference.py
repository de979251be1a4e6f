"""Opens a run folder of the port with the readers that its users have; prints what they see."""

import json
import sys
from pathlib import Path

import pandas as pd
import torch
import torch.nn as nn
from safetensors.torch import load_file

folder = Path(sys.argv[1])
model = {
    "mlp": lambda: nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).double(),
    "lenet5": lambda: nn.ModuleDict(
        {
            "conv1": nn.Conv2d(1, 6, 5, padding=2),
            "conv2": nn.Conv2d(6, 16, 5),
            "fc1": nn.Linear(400, 120),
            "fc2": nn.Linear(120, 84),
            "fc3": nn.Linear(84, 10),
        }
    ),
}[json.loads((folder / "config.json").read_text())["model"]]()

loaded = torch.load(folder / "state_dict.pt")
mapped = torch.load(folder / "state_dict.pt", mmap=True)
model.load_state_dict(loaded, strict=True)
plain = load_file(folder / "weights.safetensors")
assert list(loaded) == list(model.state_dict()), "definition order"
assert set(loaded) == set(plain)
for name, value in loaded.items():
    assert value.dtype == model.state_dict()[name].dtype, name
    assert torch.equal(value, plain[name]) and torch.equal(value, mapped[name]), name
    value.add_(0)  # The storage is writable.

matrix = pd.read_csv(folder / "confusion_matrix.csv", index_col=0)
predictions = pd.read_csv(folder / "predictions.csv")
report = pd.read_csv(folder / "classification_report.csv", index_col=0)
history = pd.read_csv(folder / "history.csv")
metrics = json.loads((folder / "metrics.json").read_text())
assert list(matrix.index) == list(matrix.columns)
assert matrix.to_numpy().sum() == len(predictions)
correct = (predictions.y_true == predictions.y_pred).mean()
assert metrics["test_accuracy"] == correct == report.loc["accuracy", "f1-score"]
assert list(history.columns) == ["epoch", "loss", "seconds"]
assert metrics["train_loss"] == history.loss.iloc[-1]
print("every file opened")
