"""Opens a run folder of the port with the readers that its users have; prints what they see."""

import json
import sys
from pathlib import Path

import pandas as pd
import torch
import torch.nn as nn
from safetensors import safe_open
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).resolve().parents[3] / "common"))
from lenet5 import LeNet5  # noqa: E402

folder = Path(sys.argv[1])
model = {
    "mlp": lambda: nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).double(),
    "lenet5": LeNet5,
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

with safe_open(folder / "weights.safetensors", "pt") as file:
    metadata = file.metadata()
config = json.loads((folder / "config.json").read_text())
accuracy = json.loads((folder / "metrics.json").read_text())["test_accuracy"]
assert metadata == {
    "format": "pt",
    "model": config["model"],
    "engine": config["engine"],
    "seed": str(config["seed"]),
    "epochs": str(config["epochs"]),
    "test_accuracy": metadata["test_accuracy"],
    **{f"sha256:{name}": sha256 for name, sha256 in config["data"]["sha256"].items()},
}, metadata
assert float(metadata["test_accuracy"]) == accuracy

matrix = pd.read_csv(folder / "confusion_matrix.csv", index_col=0)
predictions = pd.read_csv(folder / "predictions.csv")
report = pd.read_csv(folder / "classification_report.csv", index_col=0)
history = pd.read_csv(folder / "history.csv")
metrics = json.loads((folder / "metrics.json").read_text())
assert list(matrix.index) == list(matrix.columns)
assert matrix.to_numpy().sum() == len(predictions)
correct = (predictions.y_true == predictions.y_pred).mean()
assert metrics["test_accuracy"] == correct == report.loc["accuracy", "f1-score"]
assert list(history.columns) == ["epoch", "loss", "lr", "seconds"]
assert (history.lr == config["lr"]).all()
assert metrics["train_loss"] == history.loss.iloc[-1]
print("every file opened")
