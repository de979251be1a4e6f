"""The arithmetic of training, and the speed of this machine in large matrix products.

    .venv/bin/python benches/arithmetic.py float32 2

prints GFLOP/s of a product of that type on so many threads.
"""

import subprocess
import sys
import time

import torch
from results import root

sys.path.append(str(root / "tests/reference"))
SIZE = 2048  # rows and columns of the matrices
REPEATS = 5
DTYPES = {"mlp": "float64"}  # float32 for all others


def network(model):
    from notebook import DeepCNN, LeNet5

    if model == "mlp":
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 64), torch.nn.Linear(64, 10))
    return {"lenet5": LeNet5, "deepcnn": DeepCNN}[model]()


def flop_per_image(model):
    """Returns the operations of a training step per image in convolutions and linear layers, two per product and sum.

    Each layer computes its output and the gradients of its weights and its input; the first layer's input needs none.
    """
    products = []

    def count(module, _, output):
        # One product per element of a filter, or of a row of the weights, for each element of the output.
        products.append(output[0].numel() * module.weight[0].numel())

    net = network(model)
    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count)
    net.eval()
    with torch.no_grad():
        net(torch.zeros(1, 1, 28, 28))
    return 2 * (2 * products[0] + 3 * sum(products[1:]))


def measured(dtype):
    """Returns the GFLOP/s of the fastest of several products."""
    a, b = (torch.rand(SIZE, SIZE, dtype=dtype) for _ in range(2))
    out = torch.empty(SIZE, SIZE, dtype=dtype)
    torch.mm(a, b, out=out)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - start)
    return 2 * SIZE**3 / min(seconds) / 1e9


def peak_gflops(model, threads):
    """Measures the speed of products of the model's type, in a process of its own."""
    command = [sys.executable, "benches/arithmetic.py", DTYPES.get(model, "float32"), str(threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout)


if __name__ == "__main__":
    name, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    print(measured(getattr(torch, name)))
