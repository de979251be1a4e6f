"""Writes files of tensors for tests/cli/export.rs, and reads what `stitch export` makes of them.

    python exported.py write DIR        files of an unknown network, and values of all element types
    python exported.py formats DIR      checks net.* against the tensors that `write` has written
    python exported.py conversions DIR  checks the elements of converted.safetensors against Tensor.to
    python exported.py flags DIR        checks flags.*.npy: bytes of bool that are neither 0 nor 1 are true
    python exported.py changed DIR      checks changed.pt: names, order, types, transposed matrices
"""

import collections
import io
import pathlib
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

command, folder = sys.argv[1], pathlib.Path(sys.argv[2])
FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTEGERS = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
SMALL = ["float8_e4m3fn", "float8_e5m2"]


def network():
    generator = torch.Generator().manual_seed(0)
    normal = lambda *shape, dtype=torch.float32: torch.randn(*shape, generator=generator).to(dtype)
    return collections.OrderedDict(
        [
            ("stem.weight", normal(4, 3, 2, 2)),
            ("body.0.weight", normal(5, 4, dtype=torch.float64)),
            ("body.0.bias", normal(5, dtype=torch.float16)),
            ("body.1.weight", normal(3, 5)),
            ("steps", torch.tensor(7)),
            ("mask", torch.tensor([True, False])),
            ("empty", torch.zeros(0, 2)),
        ]
    )


def same(one, other):
    """Whether two tensors have the same bits; any NaN equals any other."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.is_floating_point():
        nan = one.isnan()
        if not torch.equal(nan, other.isnan()):
            return False
        one, other = one[~nan], other[~nan]
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


def bits(dtype, count, generator):
    """Elements with random bits."""
    size = torch.empty(0, dtype=dtype).element_size()
    return torch.randint(0, 256, (count * size,), generator=generator, dtype=torch.uint8).view(dtype)


def values(name, generator):
    """Elements of a type: random ones, limits, and ties of the narrower types."""
    dtype = getattr(torch, name)
    if name == "bool":
        return torch.tensor([True, False])
    if name in INTEGERS:
        limits = torch.iinfo(dtype)
        near = [0, 1, limits.min, limits.max, 2**24 + 1, 2**24 + 3, 2**53 + 1, 2049, 2051, 257, 65519, 70000]
        near = torch.tensor([x for x in near if limits.min <= x <= limits.max], dtype=dtype)
        random = bits(dtype, 5000, generator)
        # Also numbers that narrower types hold.
        small = torch.from_numpy(random.numpy() % np.array(97, dtype=random.numpy().dtype))
        return torch.cat([near, random, small])
    if name in SMALL + FLOATS[:2]:
        size = torch.empty(0, dtype=dtype).element_size()
        every = np.arange(256**size, dtype=[np.uint8, np.uint16][size - 1])
        return torch.from_numpy(every.view(np.uint8).copy()).view(dtype)
    random = bits(dtype, 5000, generator)
    normal = torch.randn(20000, generator=generator, dtype=dtype) * 100
    # Halfway between two numbers of a narrower type, and one step beside it.
    ties = [bits(torch.float16, 5000, generator), bits(torch.bfloat16, 5000, generator)]
    ties += [bits(torch.float32, 5000, generator)] if name == "float64" else []
    halfway = []
    for tie in ties:
        integers = tie.view(torch.int16 if tie.element_size() == 2 else torch.int32)
        middle = (tie.to(dtype) + (integers ^ 1).view(tie.dtype).to(dtype)) / 2
        halfway += [middle, torch.nextafter(middle, middle * 2), torch.nextafter(middle, middle * 0)]
    return torch.cat([random, normal, *halfway])


def fits(elements, to):
    """Which elements the type can hold."""
    dtype = getattr(torch, to)
    wide = elements.to(torch.float64) if elements.is_floating_point() else None
    if to in FLOATS:
        finite = elements.to(dtype).isfinite()
        return finite if wide is None else finite | ~wide.isfinite()
    least, greatest = (0, 1) if to == "bool" else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    if wide is None:
        return torch.tensor([least <= int(x) <= greatest for x in elements.tolist()])
    if to == "bool":
        return (wide == 0) | (wide == 1)
    # The greatest integers of 64 bits round up to a power of two in float64.
    return wide.isfinite() & (wide.trunc() >= least) & (wide.trunc() < float(greatest + 1))


def conversions():
    """Each element type to each other: a name, the elements that fit, and the type."""
    generator = torch.Generator().manual_seed(1)
    for source in FLOATS + INTEGERS + SMALL:
        elements = values(source, generator)
        for to in FLOATS + INTEGERS:
            kept = fits(elements, to).numpy()
            raw = elements.view(torch.uint8).numpy().reshape(len(elements), -1)[kept]
            yield f"{source}.to.{to}", torch.from_numpy(raw.copy()).view(-1).view(elements.dtype), to


def first_difference(elements, expected, found):
    """The first element that was converted otherwise."""
    if expected.dtype != found.dtype or expected.shape != found.shape:
        return f"{found.dtype} {found.shape}, where {expected.dtype} {expected.shape} is expected"
    for i in range(len(elements)):
        if not same(expected[i : i + 1], found[i : i + 1]):
            return f"{elements[i].item()!r} is {found[i].item()!r}, where {expected[i].item()!r} is expected"


if command == "write":
    torch.save(network(), folder / "unknown.pt")
    save_file(network(), folder / "unknown.safetensors", {"made by": "a test"})
    small = {"a": torch.ones(2, dtype=torch.bfloat16), "b": torch.ones(2, 3).to(torch.float8_e5m2)}
    torch.save(small, folder / "small.pt")
    torch.save({"large": torch.tensor([1.0, 1e30])}, folder / "large.pt")
    torch.save({"matrix": torch.arange(6.0).reshape(2, 3)}, folder / "one.pt")
    save_file({name: elements for name, elements, _ in conversions()}, folder / "values.safetensors")
    save_file({"a\0b": torch.ones(1), "a\0c": torch.zeros(1)}, folder / "nul.safetensors")
    save_file({"x": torch.ones(1), "x.npy": torch.zeros(1)}, folder / "pair.safetensors")
    save_file({"a\x1b[2J\nb": torch.ones(1, dtype=torch.bfloat16)}, folder / "hostile.safetensors")
    np.savez(folder / "mixed.npz", w=np.ones(2, np.float32), text=np.array(["a"]), objects=np.array([None, 1]))
    nested = {"a": {"b": torch.ones(1)}, "a.b": torch.zeros(2)}
    torch.save(nested, folder / "beside.pt")
    torch.save({"x.y": {"w": torch.ones(1)}, "x": {"y": {"w": torch.zeros(1)}}}, folder / "same.pt")
    torch.save({"c": {"d": small}, "epoch": 3}, folder / "below.pt")
    torch.save({"model": small, "ema": small}, folder / "shared.pt")
    flags = io.BytesIO()
    np.save(flags, np.array([False, True, False, True]))
    (folder / "flags.npy").write_bytes(flags.getvalue()[:-4] + bytes([0, 1, 2, 255]))
elif command == "flags":
    flags = np.load(folder / "flags.npy")
    for dtype in ("bool", "uint8", "float32"):
        found = np.load(folder / f"flags.{dtype}.npy")
        expected = torch.from_numpy(flags).to(getattr(torch, dtype)).numpy()
        assert (found.view(np.uint8) == (expected != 0).astype(expected.dtype).view(np.uint8)).all(), found
        assert (found == expected).all(), found
elif command == "formats":
    read = {
        "net.pt": torch.load(folder / "net.pt", weights_only=True),
        "net.safetensors": load_file(folder / "net.safetensors"),
        "net.npz": {name: torch.from_numpy(value) for name, value in np.load(folder / "net.npz").items()},
    }
    for file, found in read.items():
        expected = network()
        assert sorted(found) == sorted(expected), (file, list(found))
        # safetensors files are sorted by size and name.
        assert file == "net.safetensors" or list(found) == list(expected), (file, list(found))
        for name, tensor in expected.items():
            assert same(tensor, found[name]), (file, name)
    with safe_open(folder / "net.safetensors", "pt") as file:
        assert file.metadata() == {"made by": "a test", "format": "pt"}, file.metadata()
    array = np.load(folder / "one.npy")
    assert array.dtype == np.float32 and (array == np.arange(6.0).reshape(2, 3)).all(), array
elif command == "conversions":
    found = load_file(folder / "converted.safetensors")
    count = 0
    for name, elements, to in conversions():
        expected = elements.to(getattr(torch, to))
        assert same(expected, found[name]), (name, first_difference(elements, expected, found[name]))
        count += 1
    print(count)
elif command == "changed":
    found = torch.load(folder / "changed.pt", weights_only=True)
    net = network()
    expected = collections.OrderedDict(
        [
            ("stem.weight", net["stem.weight"].to(torch.bfloat16).permute(3, 2, 1, 0)),
            ("layers.0.weight", net["body.0.weight"].t()),
            ("layers.0.bias", net["body.0.bias"].to(torch.bfloat16)),
            ("head", net["body.1.weight"].to(torch.bfloat16).t()),
            ("steps", net["steps"].to(torch.int32)),
            ("mask", net["mask"]),
            ("empty", net["empty"].to(torch.bfloat16)),
        ]
    )
    assert list(found) == list(expected), list(found)
    for name, tensor in expected.items():
        assert same(tensor, found[name]), name
