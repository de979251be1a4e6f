"""Initial parameters of both models over seeds."""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.neural_network import MLPClassifier

sys.path.append(str(Path(__file__).resolve().parents[3] / "common"))
from lenet5 import LeNet5  # noqa: E402

expected = {}
for seed in (0, 1, 7, 2**32 - 1):
    torch.manual_seed(seed)
    for key, value in LeNet5().named_parameters():
        expected[f"lenet5 seed={seed} {key}"] = value.detach()
    # A learning rate of 1e-300 leaves the weights where they were drawn.
    mlp = MLPClassifier((64,), max_iter=1, learning_rate_init=1e-300, random_state=seed)
    mlp.fit(np.zeros((20, 784)), np.arange(20) % 10)
    for name, coefs, intercepts in zip("02", mlp.coefs_, mlp.intercepts_):
        expected[f"mlp seed={seed} {name}.weight"] = torch.tensor(coefs.T.copy())
        expected[f"mlp seed={seed} {name}.bias"] = torch.tensor(intercepts)
save_file(expected, sys.argv[1])
