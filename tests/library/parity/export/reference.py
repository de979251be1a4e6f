"""Opens what `stitch export` wrote with the readers that people have; checks bits and behaviour."""

import copy
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn as nn
from safetensors.torch import load_file
from sklearn.neural_network import MLPClassifier

sys.path.append(str(Path(__file__).resolve().parents[3] / "common"))
from lenet5 import LeNet5  # noqa: E402

warnings.filterwarnings("ignore")  # torch.jit is deprecated in 2.13, and says so at each load.
torch.set_num_threads(1)
name, run, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

eager = LeNet5() if name == "lenet5" else nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
if name == "mlp":
    eager.double()
eager.load_state_dict(torch.load(run / "state_dict.pt"), strict=True)
wanted = eager.state_dict()


def check(found, what):
    assert list(found) == list(wanted) or what in ("safetensors", "npz"), f"{what}: order {list(found)}"
    assert set(found) == set(wanted), f"{what}: names {list(found)}"
    for key, value in wanted.items():
        other = torch.as_tensor(found[key])
        assert other.dtype == value.dtype and torch.equal(other, value), f"{what}: {key}"


check(torch.load(out / "weights.pt"), "state-dict")
check(torch.load(out / "weights.pt", mmap=True), "state-dict, mapped")
check(load_file(out / "weights.safetensors"), "safetensors")
check(dict(np.load(out / "weights.npz")), "npz")

scripted = torch.jit.load(out / "scripted.pt")
check(scripted.state_dict(), "torchscript")
check(dict(scripted.named_parameters()), "torchscript parameters")
generator = torch.Generator().manual_seed(0)
dtype = next(eager.parameters()).dtype
for n in (1, 3, 64, 250):
    x = torch.rand(n, 1, 28, 28, generator=generator).to(dtype)
    flat = x.view(n, 784)
    expected = eager(x if name == "lenet5" else flat)
    for module in (scripted, torch.jit.freeze(scripted.eval())):
        # More than once: the just-in-time compiler rewrites the graph after the first calls.
        for _ in range(3):
            assert torch.equal(module(x), expected), f"torchscript: logits of {n} images"
    if name == "mlp":
        assert torch.equal(scripted(flat), expected), "torchscript: flat images"

# Further training through autograd takes the eager module's steps.
trained, same = torch.jit.load(out / "scripted.pt").train(), copy.deepcopy(eager)
y = torch.arange(250) % 10
for module in (trained, same):
    adam = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(3):
        adam.zero_grad()
        nn.functional.cross_entropy(module(x if name == "lenet5" else flat), y).backward()
        adam.step()
for (key, value), other in zip(trained.named_parameters(), same.parameters()):
    assert torch.equal(value, other), f"torchscript: {key} after training"
other = torch.float32 if name == "mlp" else torch.float64
assert torch.jit.load(out / "scripted.pt").to(other)(x.to(other)).dtype == other
assert torch.jit.load(out / "scripted.pt").train().eval().training is False

if name == "mlp":
    weights = np.load(out / "sklearn.npz")
    assert weights["coefs_0"].shape == (784, 64)
    mlp = MLPClassifier((64,), max_iter=1)
    mlp.fit(np.zeros((10, 784)), np.arange(10))
    mlp.coefs_ = [weights["coefs_0"], weights["coefs_1"]]
    mlp.intercepts_ = [weights["intercepts_0"], weights["intercepts_1"]]
    assert (mlp.predict(flat.numpy()) == expected.argmax(1).numpy()).all()
print("every format opened")
