"""The arithmetic of training, and the speed of this machine in large matrix products.

    .venv/bin/python benches/arithmetic.py flop lenet5
    .venv/bin/python benches/arithmetic.py peak float32 2

print the operations of a training step per image, and the GFLOP/s of a product of that type on so many threads. The functions
for other programs run these commands, so that a bench does not hold PyTorch in its memory: it would be counted for what it starts.
"""

import subprocess
import sys
import time

from results import root

sys.path.append(str(root / "tests/reference"))
SIZE = 2048  # rows and columns of the matrices
REPEATS = 5
DTYPES = {"mlp": "float64"}  # float32 for all others


def network(model):
    import torch
    from notebook import DeepCNN, LeNet5

    if model == "mlp":
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 64), torch.nn.Linear(64, 10))
    return {"lenet5": LeNet5, "deepcnn": DeepCNN}[model]()


def count_flop(model):
    """Returns the operations of a training step per image in convolutions and linear layers, two per product and sum.

    Each layer computes its output and the gradients of its weights and its input; the first layer's input needs none.
    """
    import torch

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


def measure_peak(dtype, threads):
    """Returns the GFLOP/s of the fastest of several products."""
    import torch

    torch.set_num_threads(threads)
    a, b = (torch.rand(SIZE, SIZE, dtype=getattr(torch, dtype)) for _ in range(2))
    out = torch.empty_like(a)
    torch.mm(a, b, out=out)
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - start)
    return 2 * SIZE**3 / min(seconds) / 1e9


def run(*args):
    command = [sys.executable, "benches/arithmetic.py", *args]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout)


def flop_per_image(model):
    """Counts the operations of a training step per image, in a process of its own."""
    return run("flop", model)


def peak_gflops(model, threads):
    """Measures the speed of products of the model's type, in a process of its own."""
    return run("peak", DTYPES.get(model, "float32"), str(threads))


if __name__ == "__main__":
    what, *args = sys.argv[1:]
    print(count_flop(*args) if what == "flop" else measure_peak(args[0], int(args[1])))
