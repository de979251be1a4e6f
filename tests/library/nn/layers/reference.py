"""Initial values, two training steps and an evaluation of every network of networks.py, eager PyTorch."""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.append(str(Path(__file__).resolve().parents[1]))
from networks import NETWORKS  # noqa: E402

# Seed, batch size, threads.
RUNS = [
    (0, 1, 1),
    (1, 3, 1),
    (2**64 - 1, 7, 1),
    (2**63, 33, 1),
    (2, 3, 2),
    (2**64 - 1, 33, 2),
]


def state(when, model):
    """The state_dict; the numbers tell the order of its keys."""
    return {f"{when} {i:02} {key}": value.clone() for i, (key, value) in enumerate(model.state_dict().items())}


def run(network, seed, batch, threads):
    """What a run computes, in causal order; what it is given is called `given`."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model = network.make()
    found = state("initial", model)
    parameters = list(model.parameters())
    adam = torch.optim.Adam(parameters, lr=0.01) if parameters else None
    generator = torch.Generator().manual_seed(batch)

    def given(name, *shape):
        value = torch.randn(shape, generator=generator, dtype=network.dtype)
        # In the second step there are zeros of both signs and ties.
        value = (value * 2).round() / 2 if name.endswith("2") else value
        found[f"given {name}"] = value
        return value.clone()

    for step in (1, 2):
        xs = given(f"input {step}", batch, *network.input).requires_grad_()
        output = model(xs)
        found[f"output {step}"] = output.detach().clone()
        model.zero_grad()
        (output * given(f"weights {step}", *output.shape)).sum().backward()
        found[f"gradient {step} of the input"] = xs.grad.clone()
        for key, parameter in model.named_parameters():
            if parameter.grad is not None:
                found[f"gradient {step} of {key}"] = parameter.grad.clone()
        if adam:
            adam.step()
        found |= state(f"after step {step}", model)
    model.eval()
    with torch.no_grad():
        found["evaluation"] = model(given("input 3", batch, *network.input)).clone()
    found |= state("after the evaluation", model)
    found["next draw"] = torch.rand(4, dtype=torch.float64)
    return found


expected = {}
for seed, batch, threads in RUNS:
    for name, network in NETWORKS.items():
        at = f"{name}|seed={seed} batch={batch} threads={threads}"
        found = run(network, seed, batch, threads).items()
        # A safetensors file has an order of its own: the numbers tell this one.
        expected |= {f"{at}|{i:03}|{what}": value.contiguous() for i, (what, value) in enumerate(found)}
save_file(expected, sys.argv[1])
