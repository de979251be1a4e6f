"""Initial parameters of both models over seeds."""

import sys

import numpy as np
import torch
import torch.nn as nn
from safetensors.torch import save_file
from sklearn.neural_network import MLPClassifier

expected = {}
for seed in (0, 1, 7, 2**32 - 1):
    torch.manual_seed(seed)
    layers = {
        "conv1": nn.Conv2d(1, 6, 5, padding=2),
        "conv2": nn.Conv2d(6, 16, 5),
        "fc1": nn.Linear(400, 120),
        "fc2": nn.Linear(120, 84),
        "fc3": nn.Linear(84, 10),
    }
    for name, layer in layers.items():
        for key, value in layer.named_parameters():
            expected[f"lenet5 seed={seed} {name}.{key}"] = value.detach()
    # A learning rate of 1e-300 leaves the weights where they were drawn.
    mlp = MLPClassifier((64,), max_iter=1, learning_rate_init=1e-300, random_state=seed)
    mlp.fit(np.zeros((20, 784)), np.arange(20) % 10)
    for name, coefs, intercepts in zip("02", mlp.coefs_, mlp.intercepts_):
        expected[f"mlp seed={seed} {name}.weight"] = torch.tensor(coefs.T.copy())
        expected[f"mlp seed={seed} {name}.bias"] = torch.tensor(intercepts)
save_file(expected, sys.argv[1])
