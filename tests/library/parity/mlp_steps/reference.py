"""Loss, gradients and parameters of `MLPClassifier` over its first steps, recorded inside `fit`."""

import sys

import numpy as np
from safetensors.numpy import save_file
from sklearn.neural_network import MLPClassifier

KEYS = ("0.weight", "2.weight", "0.bias", "2.bias")
expected = {}


class Recorded(MLPClassifier):
    """`fit`, with the first three steps written down."""

    def _backprop(self, X, y, *rest):
        loss, coef_grads, intercept_grads = super()._backprop(X, y, *rest)
        self.step_ = getattr(self, "step_", 0) + 1
        where = f"seed={self.random_state} batch={self.batch_size} step={self.step_}"
        # The parameters before this step's update.
        for key, value in zip(KEYS, self.coefs_ + self.intercepts_):
            expected[f"{where} param {key}"] = np.ascontiguousarray(value.T.copy())
        for key, value in zip(KEYS, coef_grads + intercept_grads):
            expected[f"{where} grad {key}"] = np.ascontiguousarray(value.T.copy())
        expected[f"{where} loss"] = np.array([loss])
        return loss, coef_grads, intercept_grads


for seed in (0, 1, 2):
    for batch in (10, 33, 200):
        n = 3 * batch
        pixels = (np.arange(n * 784) * (37 + seed) % 256).astype(np.uint8).reshape(n, 784)
        labels = np.arange(n) * 7 % 10
        mlp = Recorded((64,), max_iter=1, batch_size=batch, random_state=seed, shuffle=False)
        mlp.fit(pixels / 255.0, labels)
save_file(expected, sys.argv[1])
