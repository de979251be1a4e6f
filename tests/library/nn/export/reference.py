"""Opens the exported files of every network of networks.py; compares them with the module in torch.nn."""

import sys
import warnings
from pathlib import Path

import onnx
import onnx.reference
import onnxruntime
import torch

sys.path.append(str(Path(__file__).resolve().parents[1]))
from networks import NETWORKS  # noqa: E402

warnings.filterwarnings("ignore")  # torch.jit is deprecated in 2.13, and says so at each load.
torch.set_num_threads(1)
folder = Path(sys.argv[1])
# Greatest difference of an output, as a part of the greatest output: onnxruntime sums in another order.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
BITS = {torch.float32: torch.int32, torch.float64: torch.int64, torch.int64: torch.int64}


def check(expected, found, what):
    """Type, shape and bits."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), f"{what}: {found.dtype} {found.shape}"
    different = (found.view(BITS[found.dtype]) != expected.view(BITS[found.dtype])).flatten().nonzero().flatten()
    if len(different):
        first = different[0]
        values = f"expected {expected.flatten()[first].item()!r}, got {found.flatten()[first].item()!r}"
        raise AssertionError(f"{what}: {len(different)} of {found.numel()} elements differ; the first, at {first}: {values}")


def check_all(expected, found, what):
    """As check, for two dicts with the same keys in the same order."""
    assert list(found) == list(expected), f"{what}: keys {list(found)}, expected {list(expected)}"
    for key, value in expected.items():
        check(value, found[key], f"{what}: {key}")


def step(module, xs, weights=None):
    """The output in training mode, and the gradients, given those w.r.t. the output."""
    torch.manual_seed(5)
    module.train().zero_grad()
    xs = xs.clone().requires_grad_(weights is not None)
    output = module(xs)
    found = {"output": output.detach(), "next draw": torch.rand(2)}
    if weights is not None:
        (output * weights).sum().backward()
        gradients = {key: p.grad.clone() for key, p in module.named_parameters() if p.grad is not None}
        found |= {"input": xs.grad} | gradients
    return found


def check_torchscript(eager, network, path, inputs):
    scripted = torch.jit.load(path)
    # TorchScript removes what nobody reads, with its draws: then the reference is PyTorch's own.
    eager = torch.jit.script(eager) if path.stem == "returns a value before the last" else eager
    assert not any(module.training for module in scripted.modules()), "it is in training mode"
    check_all(eager.state_dict(), scripted.state_dict(), "state_dict")
    for of in ("named_parameters", "named_buffers"):
        expected, found = (dict(getattr(module, of)()) for module in (eager, scripted))
        check_all({key: expected[key] for key in sorted(expected)}, {key: found[key] for key in sorted(found)}, of)
    # More than once: the just-in-time compiler rewrites the graph after the first calls.
    for repetition, xs in enumerate(inputs):
        for images in inputs:
            check(eager.eval()(images), scripted.eval()(images), f"evaluation of {len(images)}")
        check_all(step(eager, xs), step(scripted, xs), f"training mode, call {repetition}")
        check_all(eager.state_dict(), scripted.state_dict(), f"state_dict after call {repetition}")
    # TorchScript's own formulas of gradients differ from autograd's in their last bits.
    with torch.jit.optimized_execution(False):
        scripted = torch.jit.load(path)
        scripted.load_state_dict(eager.state_dict())
        for xs in inputs:
            weights = torch.randn_like(eager.eval()(xs))
            check_all(step(eager, xs, weights), step(scripted, xs, weights), f"training step of {len(xs)}")
        check_all(eager.state_dict(), scripted.state_dict(), "state_dict after training")


def check_onnx(eager, network, path, inputs):
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    if network.dtype == torch.float64:
        # onnxruntime computes no convolution of float64.
        session = onnx.reference.ReferenceEvaluator(model)
    else:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for xs in inputs:
        expected = eager.eval()(xs).detach()
        [found] = session.run(None, {"x": xs.numpy()})
        found = torch.from_numpy(found)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), f"{found.dtype} {found.shape}"
        difference = (found - expected).abs().max() / expected.abs().max()
        assert difference <= TOLERANCE[network.dtype], f"the output differs by {difference:.1e}"


def load(name, network):
    eager = network.make().eval()
    eager.load_state_dict(torch.load(folder / f"{name}.pt"), strict=True)
    check_all(eager.state_dict(), torch.load(folder / f"{name}.pt"), "state_dict")
    return eager


failures, without_onnx = [], []
for name, network in NETWORKS.items():
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(n, *network.input, generator=generator, dtype=network.dtype) for n in (3, 1, 33)]
    for suffix, check_file in ((".onnx", check_onnx), (".ts", check_torchscript)):
        path = folder / f"{name}{suffix}"
        if suffix == ".onnx" and not path.exists():
            without_onnx.append(name)
            continue
        try:
            check_file(load(name, network), network, path, inputs)
        except Exception as error:
            failures.append(f"{name}{suffix}: {error}")
if failures:
    sys.exit("\n".join(failures))
print("without ONNX:", "; ".join(without_onnx))
