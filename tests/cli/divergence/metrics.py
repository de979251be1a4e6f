"""Writes pairs of tensors of every dtype, and what PyTorch says of them, to the folder ARGUMENT."""

import json
import sys
from pathlib import Path

import torch

out = Path(sys.argv[1])
torch.manual_seed(0)
FLOATS = ["float16", "bfloat16", "float32", "float64"]
EIGHTS = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"]
COMPLEX = ["complex32", "complex64", "complex128"]
INTEGERS = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]


def wide(tensor):
    return tensor.to(torch.complex128) if tensor.is_complex() else tensor.to(torch.float32).double() \
        if tensor.dtype.itemsize == 1 and tensor.is_floating_point() else tensor.double()


def pair(name, size):
    """Two tensors of 1,000 elements of which a third differs, by about `size` times the tolerance of assert_close."""
    dtype = getattr(torch, name)
    noise = torch.randn(1000, dtype=torch.float64) * (torch.rand(1000) < 0.3)
    if name in INTEGERS:
        one = torch.randint(0, 2 if name == "bool" else 100, (1000,))
        return one.to(dtype), (one + (noise > 0.5)).clamp(max=1 if name == "bool" else 200).to(dtype)
    tolerance = {"float16": 1e-3, "bfloat16": 1.6e-2, "float32": 1.3e-6, "float64": 1e-7}
    part = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}.get(name, name)
    one = torch.randn(1000, dtype=torch.complex128 if name in COMPLEX else torch.float64)
    if name in EIGHTS:
        one = one.abs() + 0.1
        return one.float().to(dtype), (one * (1 + noise / 2)).abs().float().to(dtype)
    return one.to(dtype), (one.to(dtype).to(one.dtype) * (1 + size * tolerance[part] * noise)).to(dtype)


def is_close(one, other):
    try:
        torch.testing.assert_close(other, one)
    except AssertionError:
        return False
    return True


expected = {}
for name in FLOATS + EIGHTS + COMPLEX + INTEGERS:
    for size in (0.25, 10) if name in FLOATS + COMPLEX else (1,):
        one, other = pair(name, size)
        e, a = wide(one), wide(other)
        difference = (a - e).abs()
        ordered = difference.sort().values
        magnitude = e.abs()
        has_relative = (magnitude > 0) | (difference == 0)
        relative = torch.where(difference > 0, difference / magnitude, 0.0)[has_relative]
        energy, noise = (e.abs() ** 2).sum(), (difference**2).sum()
        key = f"{name}-{size}"
        torch.save({"w": one}, out / f"{key}-reference.pt")
        torch.save({"w": other}, out / f"{key}-port.pt")
        expected[key] = {
            # assert_close refuses or does not know the 8-bit floats: they are compared exactly.
            "close": is_close(one, other) if name not in EIGHTS else False,
            "abs": ordered[-1].item(),
            "mean": difference.mean().item(),
            "mean_rel": relative.mean().item(),
            "median": ordered[499].item(),
            "p90": ordered[899].item(),
            "p99": ordered[989].item(),
            "cosine": ((e.conj() * a).sum().real / (energy * (a.abs() ** 2).sum()).sqrt()).item(),
            "snr": (10 * torch.log10(energy / noise)).item(),
        }
(out / "expected.json").write_text(json.dumps(expected))
