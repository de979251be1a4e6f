"""Imports the classes of tests/reference/notebook.py, and loads the shipped weights with them."""

import sys
from pathlib import Path

import torch

root = Path(__file__).resolve().parents[2]
sys.path.append(str(root / "tests/reference"))
import notebook  # noqa: E402
from notebook import DeepCNN, LeNet5  # noqa: E402

computed = [name for name in ["args", "X_train", "model", "accuracy"] if hasattr(notebook, name)]
assert not computed, f"importing the notebook computed {computed}"
for network, name in [(LeNet5, "lenet5"), (DeepCNN, "deepcnn")]:
    model = network()
    model.load_state_dict(torch.load(root / f"models/{name}/state_dict.pt"), strict=True)
    logits = model.eval()(torch.zeros(2, 1, 28, 28))
    print(name, sum(it.numel() for it in model.parameters()), list(logits.shape))
