"""Initial parameters and buffers of all models over seeds."""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from safetensors.torch import save_file
from sklearn.neural_network import MLPClassifier

sys.path.append(str(Path(__file__).resolve().parents[3] / "common"))
from lenet5 import LeNet5  # noqa: E402


def deepcnn():
    return nn.ModuleDict(
        {
            "conv1": nn.Conv2d(1, 16, 3, padding=1),
            "bn1": nn.BatchNorm2d(16),
            "conv2": nn.Conv2d(16, 32, 3, padding=1),
            "bn2": nn.BatchNorm2d(32),
            "conv3": nn.Conv2d(32, 64, 3, padding=1),
            "bn3": nn.BatchNorm2d(64),
            "fc1": nn.Linear(64 * 3 * 3, 128),
            "fc2": nn.Linear(128, 10),
        }
    )


expected = {}
for seed in (0, 1, 7, 2**32 - 1):
    torch.manual_seed(seed)
    for key, value in LeNet5().named_parameters():
        expected[f"lenet5 seed={seed} {key}"] = value.detach()
    torch.manual_seed(seed)
    for key, value in deepcnn().state_dict().items():
        expected[f"deepcnn seed={seed} {key}"] = value
    # A learning rate of 1e-300 leaves the weights where they were drawn.
    mlp = MLPClassifier((64,), max_iter=1, learning_rate_init=1e-300, random_state=seed)
    mlp.fit(np.zeros((20, 784)), np.arange(20) % 10)
    for name, coefs, intercepts in zip("02", mlp.coefs_, mlp.intercepts_):
        expected[f"mlp seed={seed} {name}.weight"] = torch.tensor(coefs.T.copy())
        expected[f"mlp seed={seed} {name}.bias"] = torch.tensor(intercepts)
save_file(expected, sys.argv[1])
