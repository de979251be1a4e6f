"""Writes checkpoints as PyTorch writes them, each beside what torch.load finds in it as safetensors.

    python written.py OUT

`OUT/read/NAME.pt` has the tensors of `NAME.safetensors`, and what is to be skipped is in `NAME.txt`, a line of path
and type each. `OUT/refused/NAME.pt` is refused in the sentence of `NAME.txt`.
"""

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import sys
import warnings

import numpy as np
import torch
from safetensors.torch import save_file

warnings.simplefilter("ignore")
out = pathlib.Path(sys.argv[1])
for folder in ("read", "refused"):
    (out / folder).mkdir()


class Color(enum.Enum):
    RED = 1


class Options(dict):
    pass


class Names(list):
    pass


class Slotted:
    __slots__ = ("a", "b")


class Arguments:
    """Has keyword arguments (NEWOBJ_EX)."""

    def __new__(cls, *, of=None):
        return super().__new__(cls)

    def __getnewargs_ex__(self):
        return (), {"of": 1}


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 3)


class Subclass(torch.Tensor):
    pass


Point = collections.namedtuple("Point", "x y")


def others():
    """What stands beside weights: a value, and its type or class as it is named."""
    slotted = Slotted()
    slotted.a, slotted.b = 1, [2]
    options = Options(lr=1e-3)
    options.more = True
    counter = collections.Counter("aab")
    grown = collections.defaultdict(list, a=[1])
    return {
        "args": (argparse.Namespace(lr=1e-3, layers=[3, 4]), "argparse.Namespace"),
        "float64": (np.float64(0.5), "numpy scalar"),
        "int64": (np.int64(7), "numpy scalar"),
        "array": (np.arange(5.0), "numpy.ndarray"),
        "strings": (np.array(["a", "b"]), "numpy.ndarray"),
        "objects": (np.array([None, {}], dtype=object), "numpy.ndarray"),
        "record": (np.dtype([("a", "<i4")]), "numpy.dtype"),
        "path": (pathlib.PurePosixPath("a/b"), "pathlib.PurePosixPath"),
        "device": (torch.device("cpu"), "torch.device"),
        "dtype": (torch.float32, "torch.float32"),
        "size": (torch.Size([1, 2]), "torch.Size"),
        "set": ({1, 2}, "set"),
        "frozenset": (frozenset("ab"), "frozenset"),
        "bytes": (b"\x00\xff", "bytes"),
        "bytearray": (bytearray(b"\x00\xff"), "bytearray"),
        "defaultdict": (grown, "dict"),
        "counter": (counter, "collections.Counter"),
        "deque": (collections.deque([1], 3), "collections.deque"),
        "options": (options, "__main__.Options"),
        "names": (Names("ab"), "__main__.Names"),
        "slotted": (slotted, "__main__.Slotted"),
        "keywords": (Arguments(), "__main__.Arguments"),
        "point": (Point(1, 2), "__main__.Point"),
        "color": (Color.RED, "__main__.Color"),
        "complex": (1 + 2j, "complex"),
        "slice": (slice(1, 2), "slice"),
        "range": (range(3), "range"),
        "large": (2**63 + 5, "int"),
        "negative": (-(2**70), "int"),
        "huge": (1 << 3000, "int"),
        "int": (-5, "int"),
        "long": (2**40, "int"),
        "float": (float("nan"), "float"),
        "bool": (True, "bool"),
        "none": (None, "None"),
        "text": ("Grüße \\ \n \U0001f600", "str"),
        "tuple": ((1, (2, (3, 4, 5, 6))), "tuple"),
        "list": ([1, [2, []]], "list"),
        "dict": ({1: {}, "a": (), None: 2, (1, 2): 3}, "dict"),
        "date": (datetime.date(2020, 1, 2), "datetime.date"),
        "decimal": (decimal.Decimal("1.5"), "decimal.Decimal"),
        "fraction": (fractions.Fraction(1, 3), "fractions.Fraction"),
        "partial": (functools.partial(max, 1), "functools.partial"),
        "function": (max, "max"),
        "class": (dict, "dict"),
        "pattern": (re.compile("a+"), "re._compile"),
        "module": (Net(), "__main__.Net"),
        "optimizer": (torch.optim.SGD([torch.ones(2, requires_grad=True)], lr=1.0).state_dict(), "dict"),
        "sparse": (torch.eye(2).to_sparse(), "a sparse tensor"),
        "quantized": (torch.quantize_per_tensor(torch.ones(2), 0.1, 3, torch.qint8), "a quantized tensor"),
        "meta": (torch.ones(2, device="meta"), "a tensor on the meta device"),
        "subclass": (torch.ones(2).as_subclass(Subclass), "a tensor of the class __main__.Subclass"),
    }


def weights():
    torch.manual_seed(0)
    return collections.OrderedDict(Net().state_dict())


def read(name, content, skipped=(), tensors=None, **options):
    """A file whose tensors are those of `content`, or `tensors`."""
    path = out / "read" / f"{name}.pt"
    torch.save(content, path, **options)
    if tensors is None:
        tensors = torch.load(path, weights_only=False)
    save_file(
        {key: value.detach().resolve_conj().resolve_neg().clone().contiguous() for key, value in tensors.items()},
        path.with_suffix(".safetensors"),
    )
    path.with_suffix(".txt").write_text("".join(f"{path}\t{what}\n" for path, what in skipped))


def refused(name, content, why, save=torch.save):
    path = out / "refused" / f"{name}.pt"
    save(content, path)
    path.with_suffix(".txt").write_text(why)


names = [(key, what) for key, (_, what) in others().items()]
values = {key: value for key, (value, _) in others().items()}
for protocol in (1, 2, 3, 4, 5):
    kept = {key: value for key, value in values.items() if protocol >= 2 or key not in ("slotted", "keywords")}
    # Before protocol 4 there is no opcode for keyword arguments.
    partial = {"keywords": "functools.partial"} if protocol < 4 else {}
    said = [(key, partial.get(key, what)) for key, what in names if key in kept]
    options = {"tensors": weights(), "pickle_protocol": protocol}
    read(f"before-{protocol}", {**kept, "state_dict": weights()}, said, **options)
    read(f"after-{protocol}", {"state_dict": weights(), **kept}, said, **options)

read("attribute", {"w": torch.nn.Parameter(torch.ones(3))})
parameter = torch.nn.Parameter(torch.ones(3))
parameter.tag = "x"
tensor = torch.arange(4.0)
tensor.note = {"a": [1]}
read("attributes", {"w": parameter, "t": tensor})
read("parameters", dict(Net().named_parameters()))
for dtype in ("float16", "bfloat16", "float32", "float64"):
    x = torch.tensor([[1.5, -2.0, 0.0], [float("inf"), -0.0, 7.0]]).to(getattr(torch, dtype))
    read(f"negative-{dtype}", {"whole": torch._neg_view(x), "view": torch._neg_view(x).t()[1:], "plain": x})
integers = {"w": torch._neg_view(torch.arange(3)), "u": torch._neg_view(torch.arange(3, dtype=torch.uint8))}
read("negative-integers", integers)
x = torch.tensor([[1 + 2j, -3 - 0j], [0 + 1j, -0.0 + 5j]])
read("conjugate", {"c": x.conj(), "t": x.mH, "both": torch._neg_view(x.conj()), "n": torch._neg_view(x), "plain": x})
# Its parts are views of its storage as float32.
read("imaginary", {"w": x.conj().imag, "v": x.real})
for dtype in ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"):
    x = torch.tensor([[1.0, 2.0], [4.0, 8.0]]).to(getattr(torch, dtype))
    read(f"type-{dtype}", {"w": x, "v": x.t()})
read("empty", {"e": torch.ones(0, 3), "f": torch.ones(0, dtype=torch.int64), "s": torch.tensor(5)})
read("shared", {"a": (a := torch.arange(6.0)), "b": a[2:], "c": a.view(2, 3).t(), "d": a[:3].expand(2, 3)})

for key, why in {
    "sparse": "w is a sparse tensor, which is not read",
    "quantized": "w is a quantized tensor, which is not read",
    "meta": "w is a tensor on the meta device, which is not read",
    "subclass": "w is a tensor of the class __main__.Subclass, which is not read",
}.items():
    refused(key, {"v": torch.ones(2), "w": values[key]}, why)
nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
refused("nested", {"w": nested}, "w is a nested tensor, which is not read")
refused("bits", {"w": torch.ones(4, dtype=torch.uint8).view(torch.bits8)}, "w is a tensor of the element type torch.bits8")
changed = torch.nn.Parameter(torch.ones(3))
changed.__dict__["data"] = torch.zeros(3)
refused("data", {"w": changed}, "w is a tensor with attributes that may change its elements")
refused("module", Net(), "__main__.Net")
refused("module-in-dict", {"model": Net(), "epoch": 5}, "model is an object of the class __main__.Net")
refused("args", argparse.Namespace(a=1), "argparse.Namespace")
refused("number", 5, "int")


class Script(torch.nn.Module):
    names: list[str]
    sizes: dict[str, int]
    parts: list[torch.Tensor]

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(2, 3)
        self.register_buffer("steps", torch.tensor(3))
        self.names, self.sizes, self.parts = ["a"], {"a": 1}, [torch.ones(2)]
        self.device, self.number, self.none = torch.device("cpu"), 1 + 2j, None

    def forward(self, x):
        return self.fc(x) + len(self.names) + self.sizes["a"] + self.parts[0].sum()


script = torch.jit.script(Script())
script.save(out / "read" / "script.pt")
save_file(dict(script.state_dict()), out / "read" / "script.safetensors")
lines = [("parts", "list"), ("device", "torch.device"), ("number", "complex")]
(out / "read" / "script.txt").write_text("".join(f"{path}\t{what}\n" for path, what in lines))
