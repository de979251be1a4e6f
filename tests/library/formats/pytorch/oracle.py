"""Reads files as PyTorch, safetensors and NumPy do, and prints the tensors in them.

    python oracle.py FOLDER

For each file its name; then, for each reader that does not refuse it, a plus sign and a line of name, type, shape and
bytes for each tensor. A `.pt` file is read three times: into memory and as a map by
torch.load(weights_only=True), and by Python's unpickler with classes that do nothing for all but those of tensors.
"""

import collections
import pickle
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load

warnings.simplefilter("ignore")


def walk(value, path, found, depth=0):
    """The tensors of dicts in dicts, by the keys joined by dots."""
    if isinstance(value, torch.Tensor):
        found[path or "tensor"] = value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, inner in items:
        if depth < 3:
            walk(inner, f"{path}.{key}" if path else str(key), found, depth + 1)


def line(name, tensor):
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    # Any byte of a bool but 0 is true.
    bits = tensor.to(torch.uint8) if tensor.dtype == torch.bool else tensor
    data = bits.reshape(-1).view(torch.uint8).numpy().tobytes().hex() if tensor.numel() else ""
    # As hexadecimal digits: it may hold line ends.
    name = name.encode("utf-8", "surrogatepass").hex()
    return f"{name}\t{str(tensor.dtype).removeprefix('torch.')}\t{list(tensor.shape)}\t{data}"


class Inert:
    """Whatever a pickle wants to have done, this does not."""

    def __new__(cls, *arguments, **keywords):
        return super().__new__(cls)

    def __init__(self, *arguments, **keywords):
        pass

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def __call__(self, *arguments):
        return self

    append = extend = add = __call__


class Unpickler(pickle.Unpickler):
    """Python's, without what is no part of a tensor."""

    def find_class(self, module, name):
        known = {("collections", "OrderedDict"): collections.OrderedDict, ("collections", "defaultdict"): collections.defaultdict}
        if (module, name) in known:
            return known[module, name]
        if module == "torch._utils" and name.startswith("_rebuild_"):
            return getattr(torch._utils, name, Inert)
        if (module, name) in (("torch.storage", "UntypedStorage"), ("torch.nn.parameter", "Parameter")):
            return super().find_class(module, name)
        value = getattr(torch, name, None) if module == "torch" else None
        return value if isinstance(value, torch.dtype) else Inert


def load_pickle(file, **options):
    return Unpickler(file, **options).load()


inert = types.SimpleNamespace(Unpickler=Unpickler, load=load_pickle, __name__="pickle")


def arrays(loaded):
    return {name: torch.from_numpy(np.ascontiguousarray(loaded[name]).reshape(loaded[name].shape)) for name in loaded}


def readers(path):
    if path.suffix == ".safetensors":
        yield lambda: load(path.read_bytes())
    elif path.suffix == ".npz":
        yield lambda: arrays(np.load(path))
    elif path.suffix == ".npy":
        yield lambda: arrays({"tensor": np.load(path)})
    elif "script" in path.name:
        yield lambda: torch.jit.load(path).state_dict()
    else:
        yield lambda: torch.load(path, weights_only=True)
        yield lambda: torch.load(path, weights_only=True, mmap=True)
        yield lambda: torch.load(path, weights_only=False, pickle_module=inert)


for path in sorted(Path(sys.argv[1]).iterdir()):
    print(f"= {path.name}")
    for read in readers(path):
        try:
            found = {}
            walk(dict(read()) if path.suffix != ".pt" else read(), "", found)
            lines = sorted(line(name, tensor) for name, tensor in found.items())
        except Exception:
            continue
        print("+")
        print("".join(f"{text}\n" for text in lines), end="")
