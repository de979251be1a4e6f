"""Writes a file of each format, element type and layout that is read, beside what PyTorch or NumPy finds in it.

    python formats.py OUT

`OUT/read/NAME` has the tensors of `NAME.lines`: a line of name, type, shape and bytes each, sorted. `OUT/keyed/KEY/NAME`
has them under that key. `OUT/refused/NAME` is refused in the sentence of `NAME.lines`.
"""

import collections
import io
import pickle
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.serialization import config

warnings.simplefilter("ignore")
out = Path(sys.argv[1])

TYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
SMALL = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"]
COMPLEX = ["complex32", "complex64", "complex128"]
NUMPY = [dtype for dtype in TYPES + FLOATS + COMPLEX if dtype not in ("bfloat16", "complex32")]


def line(name, tensor):
    tensor = tensor.detach().contiguous()
    data = tensor.reshape(-1).view(torch.uint8).numpy().tobytes().hex() if tensor.numel() else ""
    return f"{name}\t{str(tensor.dtype).removeprefix('torch.')}\t{list(tensor.shape)}\t{data}\n"


def place(name, folder="read"):
    path = out / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def expect(path, tensors):
    lines = sorted(line(name, tensor) for name, tensor in tensors.items())
    path.with_name(path.name + ".lines").write_text("".join(lines))


def saved(name, content, find=lambda loaded: loaded, folder="read", **options):
    """A file of torch.save; `find` takes the tensors out of what torch.load returns."""
    path = place(name, folder)
    torch.save(content, path, **options)
    expect(path, find(torch.load(path, weights_only=False)))
    return path


def refused(name, why):
    path = place(name, "refused")
    path.with_name(path.name + ".lines").write_text(why)
    return path


def of_type(dtype):
    return torch.tensor([[1.0, 2.0, 0.0], [4.0, 0.5, 8.0]]).to(getattr(torch, dtype))


def numbered(items):
    return {str(i): item for i, item in enumerate(items)}


old = {"_use_new_zipfile_serialization": False}
every = {dtype: of_type(dtype) for dtype in TYPES + FLOATS + SMALL + COMPLEX}
transposed = {f"{dtype}.t": tensor.t() for dtype, tensor in every.items()}
saved("types.pt", {**every, **transposed})
# torch.load reads no bytes as another type in this format.
typed = {dtype: tensor for dtype, tensor in every.items() if dtype not in ("uint16", "uint32", "uint64", "complex32", *SMALL)}
saved("types-legacy.pt", {**typed, **{f"{dtype}.t": tensor.t() for dtype, tensor in typed.items()}}, **old)
path = place("types.safetensors")
safe = {dtype: every[dtype] for dtype in every if dtype not in ("complex32", "complex128", "float8_e8m0fnu")}
save_file(safe, path)
expect(path, safe)


class Holder(nn.Module):
    def __init__(self, tensors):
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(f"as_{name}", tensor)

    def forward(self, x):
        return x


path = place("types-script.pt")
torch.jit.script(Holder(every)).save(str(path))
expect(path, {f"as_{name}": tensor for name, tensor in every.items()})

# Views, tied weights, expanded, empty and scalar tensors, parameters and buffers, in both formats of torch.save.
base = torch.arange(24.0)
shared = torch.arange(6, dtype=torch.int64)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.tied = self.fc
        self.steps = nn.Buffer(torch.tensor(7))
        self.norm = nn.BatchNorm1d(2)


torch.manual_seed(0)
views = {
    "rows": base.view(4, 6)[1:3],
    "columns": base.view(4, 6)[:, 1:4],
    "turned": base.view(2, 3, 4).permute(2, 0, 1),
    "backwards": base[::3],
    "a": shared,
    "b": shared,
    "expanded": torch.tensor([[1.5], [2.5]]).expand(2, 1000),
    "one": torch.tensor(3.0).expand(7, 5),
    "scalar": torch.tensor(5),
    "empty": torch.ones(0, 3),
}
for name, options in {"zip": {}, "legacy": old}.items():
    for protocol in (2, 3, 4, 5):
        saved(f"views-{name}-{protocol}.pt", views, pickle_protocol=protocol, **options)
    saved(f"net-{name}.pt", Net().state_dict(), **options)
    saved(f"list-{name}.pt", [base, shared], numbered, **options)
    saved(f"tuple-{name}.pt", (base, shared.view(2, 3).t()), numbered, **options)
    saved(f"single-{name}.pt", base.view(4, 6).t(), lambda tensor: {"tensor": tensor}, **options)
    saved(f"parameter-{name}.pt", nn.Parameter(base), lambda tensor: {"tensor": tensor}, **options)
    saved(f"integers-{name}.pt", {0: base, 1: shared}, lambda found: {str(k): v for k, v in found.items()}, **options)
    saved(f"nothing-{name}.pt", {}, **options)
saved("large.pt", {"w": torch.tensor(0.25).expand(1024, 1024)})
config.save.compute_crc32 = False
saved("no-crc.pt", views)
config.save.compute_crc32 = True


def repacked(name, source, change=lambda name, data: data, method=lambda name: zipfile.ZIP_DEFLATED):
    """The archive once more, with other records or another compression."""
    path = place(name)
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(path, "w") as after:
        for record in before.namelist():
            after.writestr(record, change(record, before.read(record)), method(record))
    return path


for stem, find in {"views-zip-2": None, "net-zip": None, "list-zip": numbered}.items():
    path = repacked(f"deflated-{stem}.pt", out / "read" / f"{stem}.pt")
    expect(path, (find or dict)(torch.load(path, weights_only=False)))
path = repacked("half-deflated.pt", out / "read/types.pt", method=lambda name: 8 * (len(name) % 2))
expect(path, torch.load(path, weights_only=False))
path = repacked("deflated-script.pt", out / "read/types-script.pt")
expect(path, torch.jit.load(path).state_dict())


def big(name, data):
    if name.endswith("byteorder"):
        return b"big"
    return np.frombuffer(data, "<f4").byteswap().tobytes() if "/data/" in name else data


torch.save({"w": base, "t": base.view(4, 6).t()}, place("of-big-endian.pt"))
path = repacked("big-endian.pt", out / "read/of-big-endian.pt", big)
expect(path, torch.load(path, weights_only=False))
expect(out / "read/of-big-endian.pt", torch.load(out / "read/of-big-endian.pt"))


def arrays(path):
    loaded = np.load(path)
    loaded = {"tensor": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    native = {name: array.astype(array.dtype.newbyteorder("="), order="C") for name, array in loaded.items()}
    expect(path, {name: torch.from_numpy(array) for name, array in native.items()})


every = {dtype: of_type(dtype).numpy() for dtype in NUMPY}
swapped = {f"{dtype}.big": array.astype(array.dtype.newbyteorder(">")) for dtype, array in every.items()}
layouts = {
    **every,
    **swapped,
    **{f"{name}.f": np.asfortranarray(array) for name, array in {**every, **swapped}.items()},
    "cube": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "scalar": np.array(3.5, ">f8"),
    "empty": np.zeros((0, 4), np.float32, order="F"),
    "row": np.asfortranarray(np.arange(5)[None]),
}
for name, save in {"stored": np.savez, "deflated": np.savez_compressed}.items():
    save(place(f"{name}.npz"), **layouts)
    arrays(out / "read" / f"{name}.npz")
for name, array in layouts.items():
    np.save(place(f"{name}.npy"), array)
    arrays(out / "read" / f"{name}.npy")
for version in (1, 2, 3):
    with open(place(f"version-{version}.npy"), "wb") as file:
        np.lib.format.write_array(file, layouts["cube"], version=(version, 0))
    arrays(out / "read" / f"version-{version}.npy")
np.savez(place("mixed.npz"), names=np.array(["a", "b"]), objects=np.array([None, 1], dtype=object), w=np.ones(3))
expect(out / "read/mixed.npz", {"w": torch.ones(3, dtype=torch.float64)})
np.savez(place("nothing.npz"))
arrays(out / "read/nothing.npz")


# Where the weights stand in a checkpoint.
def weights(prefix="", of=0.0):
    return {f"{prefix}fc.weight": base.view(4, 6) + of, f"{prefix}fc.bias": base[:4] + of}


model = nn.Linear(2, 1)
adam = torch.optim.Adam(model.parameters())
model(torch.ones(1, 2)).sum().backward()
adam.step()
under = {
    "net": {"net": weights(), "acc": 89.3, "epoch": 5, "best": torch.tensor(0.5)},
    "model_state_dict": {"model": {"name": "net"}, "state_dict": {}, "model_state_dict": weights()},
    "model.state_dict": {"model": {"state_dict": weights(), "name": "net"}, "losses": [1.0]},
    "model": {"epoch": 1, "optimizer": adam.state_dict(), "model": weights(), "rng": torch.get_rng_state()},
    "state_dict": {"state_dict": weights(), "history": [base, base], "scores": {"loss": base, "n": 3}},
    "ema.shadow": {"ema": {"shadow": weights(), "decay": 0.9}},
    "0": [weights(), {"lr": 1e-3}],
    "a": dict.fromkeys("ab", weights()),
    "sd": {"sd": {**weights(), "fc._extra_state": {"amax": 3}}, "ema": {"n": 1, "last": base}},
}


def at(loaded, key):
    for part in key.split("."):
        loaded = loaded[int(part) if isinstance(loaded, list) else part]
    return {name: value for name, value in loaded.items() if isinstance(value, torch.Tensor)}


for key, content in under.items():
    for name, options in {"zip": {}, "legacy": old}.items():
        saved(f"{name}.pt", content, lambda loaded: at(loaded, key), f"found/{key}", **options)
mixed = {**weights(), "epoch": 5}
saved("mixed.pt", mixed, lambda loaded: {name: loaded[name] for name in weights()})
several = {"model": weights(), "ema": {"n": 3, "shadow": weights(of=1.0)}, "scores": {"best": base, "n": 3}}
for key in ("model", "ema.shadow", "scores"):
    saved("several.pt", several, lambda loaded: at(loaded, key), f"keyed/{key}")
saved("several.pt", several, lambda loaded: at(loaded, "ema.shadow"), "keyed/ema")
torch.save(several, refused("several.pt", "several dicts of tensors, and one must be chosen by its key: model, ema.shadow"))
two = {"g": {"a": weights(), "b": weights(of=1.0)}}
torch.save(two, refused("two.pt", "g.a, g.b"))
torch.save({"epoch": 5, "model": {}}, refused("no-tensor.pt", "it holds no tensor"))
torch.save(adam.state_dict(), refused("optimizer.pt", "it holds no tensor"))
torch.save({None: base}, refused("none.pt", "the key of a tensor is neither a string nor an integer"))
torch.save({1: base, "1": base}, refused("one.pt", "two of its tensors have the same name"))
torch.save(model, refused("model.pt", "an object of the class torch.nn.modules.linear.Linear"))
torch.save(model, refused("model-legacy.pt", "an object of the class torch.nn.modules.linear.Linear"), **old)

# What is not read, and what is damaged: each by its own name.
whole = (out / "read/net-legacy.pt").read_bytes()
for length in (16, 30, 200, len(whole) - 1):
    refused(f"legacy-{length}.pt", "a damaged .pt file of the format before PyTorch 1.6: it ends in").write_bytes(whole[:length])
refused("legacy-behind.pt", "1 bytes follow the storages").write_bytes(whole + b"x")
with tarfile.open(refused("tar.pt", "torch.save wrote before PyTorch 0.1.10"), "w") as tar:
    for name in ("sys_info", "pickle", "storages"):
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
for protocol in (2, 3, 4, 5):
    content = pickle.dumps({"w": np.ones(3)}, protocol)
    refused(f"pickle-{protocol}.pkl", "a bare pickle, which torch.save did not write").write_bytes(content)
np.savez(refused("text.npz", "names: of the type '<U1', which is not read"), names=np.array(["a", "b"]))
np.savez(refused("objects.npz", "of the type '|O', which is not read"), w=np.array([None, 1], dtype=object))
whole = (out / "read/cube.npy").read_bytes()
refused("short.npy", "an .npy file that cannot be read: it ends 1 bytes before the end").write_bytes(whole[:-1])
refused("long.npy", "2 bytes follow its array").write_bytes(whole + b"xx")
refused("header.npy", "an .npy file that cannot be read: it ends in its header").write_bytes(whole[:40])
header = b'{"w":{"dtype":"F2_E1","shape":[4],"data_offsets":[0,1]}}'
content = len(header).to_bytes(8, "little") + header + b"x"
refused("younger.safetensors", "w is of the type F2_E1, which is not read").write_bytes(content)
header = header.replace(b"F2_E1", b"F4").replace(b"[0,1]", b"[0,2]")
content = len(header).to_bytes(8, "little") + header + b"xx"
refused("small.safetensors", "w is of the type F4, which is not read").write_bytes(content)
with zipfile.ZipFile(refused("bzip2.pt", "is compressed by Bzip2, which is not read"), "w", zipfile.ZIP_BZIP2) as archive:
    for record in ("data.pkl", "byteorder", "version", "data/0"):
        with zipfile.ZipFile(out / "read/of-big-endian.pt") as before:
            archive.writestr(f"a/{record}", before.read(f"of-big-endian/{record}"))
zeros = np.asfortranarray(np.zeros((3000, 3000)))
np.savez_compressed(refused("unpacked.npz", "w is compressed and not row-major"), w=zeros)
