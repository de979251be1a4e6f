"""`RandomState.uniform` and `sklearn.utils.shuffle` over seeds and sizes."""

import sys

import numpy as np
from safetensors.numpy import save_file
from sklearn.utils import shuffle

expected = {}
for seed in (0, 1, 42, 2**31, 2**32 - 1):
    for n in (1, 2, 3, 10, 1000):
        state = np.random.RandomState(seed)
        expected[f"uniform seed={seed} n={n}"] = state.uniform(-0.0841, 0.0841, n)
    for n in (1, 2, 3, 4, 5, 64, 65, 60000):
        state = np.random.RandomState(seed)
        order = np.arange(n)
        # Twice: the second goes on with the generator and picks from the first order.
        for _ in range(2):
            order = shuffle(order, random_state=state)
        # The draw after them tells whether as many were used.
        expected[f"shuffle seed={seed} n={n}"] = np.append(order, state.randint(0, 2**31))
save_file(expected, sys.argv[1])
