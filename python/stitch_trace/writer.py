"""Writes the two files of a trace: `trace.jsonl`, one JSON object per tensor, and `trace.bin`, the elements."""

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np

# Types that have NaN, which is counted.
FLOATS = {"float16", "bfloat16", "float32", "float64"}
# Types whose elements may be kept; of any other, only the SHA-256 is.
KNOWN = FLOATS | {"bool", "complex32", "complex64", "complex128"}
KNOWN |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
KNOWN |= {f"float8_{kind}" for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")}


# Length in bytes of a block of a large tensor, of which each has its own SHA-256.
BLOCK = 1 << 20


def elements(value):
    """Name of the dtype, shape, elements as bytes (row-major, little-endian) and number of NaN of a tensor, an array or a
    number, and a function that returns a range of its elements as float64. The number is None for types other than
    `FLOATS`."""
    if hasattr(value, "detach"):
        return tensor_elements(value)
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        value = np.from_dlpack(value)
    array = np.asarray(value)
    kind = array.dtype.kind
    if kind not in "biufcV" or array.dtype.hasobject or array.dtype.type is np.void:
        raise TypeError(f"an array of {array.dtype} cannot be recorded: its elements are no numbers")
    shape = list(array.shape)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    flat, dtype = array.reshape(-1), array.dtype.name
    nan = int(np.isnan(flat).sum()) if dtype in FLOATS else None
    # A view: `tobytes` would copy a whole data set.
    return dtype, shape, flat.view(np.uint8).data, nan, lambda *part: flat[slice(*part)].astype(np.float64)


def tensor_elements(tensor):
    """The same of a PyTorch tensor."""
    torch = sys.modules["torch"]
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.cpu().resolve_conj().resolve_neg().contiguous()
    dtype = str(tensor.dtype).removeprefix("torch.")
    # Bytes, since numpy lacks some of PyTorch's types, such as bfloat16.
    flat = tensor.reshape(-1)
    raw = flat.view(torch.uint8).numpy().data if tensor.numel() else b""
    nan = int(flat.isnan().sum()) if dtype in FLOATS else None
    return dtype, list(tensor.shape), raw, nan, lambda *part: flat[slice(*part)].to(torch.float64).numpy()


def sums(raw):
    """The fields of a record with the SHA-256 of its elements: of a large tensor that of each block, and that of these
    sums."""
    if len(raw) <= BLOCK:
        return {"sha256": hashlib.sha256(raw).hexdigest()}
    blocks = [hashlib.sha256(raw[begin : begin + BLOCK]) for begin in range(0, len(raw), BLOCK)]
    whole = hashlib.sha256(b"".join(block.digest() for block in blocks))
    return {"sha256": whole.hexdigest(), "blocks": [block.hexdigest() for block in blocks]}


def statistics(numbers, length):
    """Statistics of the finite elements of a real type, and the number of infinities."""
    infinite = finite = 0
    least, greatest, total, squares = np.inf, -np.inf, 0.0, 0.0
    for begin in range(0, length, BLOCK // 8):
        part = numbers(begin, begin + BLOCK // 8)
        infinite += int(np.isinf(part).sum())
        part = part[np.isfinite(part)]
        if part.size:
            finite += part.size
            least, greatest = min(least, part.min()), max(greatest, part.max())
            with np.errstate(over="ignore"):  # squares of float64
                total, squares = total + part.sum(), squares + part @ part
    values = {"min": least, "max": greatest, "mean": total / max(finite, 1), "norm": squares**0.5}
    values = {name: float(value) for name, value in values.items() if finite and np.isfinite(value)}
    return {"inf": infinite, **values}


class Writer:
    """A trace in the folder `folder`, which replaces one that is there. Each record is flushed to disk when it is
    made: if the program ends early, what was recorded until then can be read.

    `model` is the model's name in the header. The elements of tensors of at most `keep` bytes are kept, of larger
    ones only their SHA-256 sums and statistics.
    """

    def __init__(self, folder, model="", keep=1 << 20):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._lines = open(folder / "trace.jsonl", "w", encoding="utf-8")
        self._elements = open(folder / "trace.bin", "wb")
        self.keep = keep
        self._keys = set()
        self._line({"format": "stitch-trace", "version": 2, "model": model})

    def _line(self, value):
        self._lines.write(json.dumps(value) + "\n")
        self._lines.flush()

    def record(self, stage, name, array, epoch=None, step=None, **fields):
        """Records a tensor of PyTorch, an array or a number. `fields` are added to the record."""
        places = [f"{place}={number}" for place, number in (("epoch", epoch), ("step", step)) if number is not None]
        key = "/".join([stage, *places, name])
        if key in self._keys:
            raise ValueError(f"{stage} of {name} was recorded before (epoch {epoch}, step {step})")
        dtype, shape, raw, nan, numbers = elements(array)
        kept = len(raw) <= self.keep and dtype in KNOWN
        record = {"stage": stage, "name": name, "epoch": epoch, "step": step, "dtype": dtype, "shape": shape}
        record |= sums(raw)
        if nan is not None:
            record["nan"] = nan
        if not kept and dtype in KNOWN and not dtype.startswith("complex"):
            record["statistics"] = statistics(numbers, math.prod(shape))
        if kept:
            record["offset"] = self._elements.tell()
            self._elements.write(raw)
            self._elements.flush()
        self._keys.add(key)
        self._line({**record, **fields})

    @property
    def closed(self):
        """Whether the files are closed."""
        return self._lines.closed

    def close(self):
        """Adds the end marker and closes the files."""
        if not self.closed:
            self._line({"end": "stitch-trace", "records": len(self._keys)})
            self.abort()

    def finish(self):
        """The same as `close`."""
        self.close()

    def abort(self):
        """Closes the files without the end marker: the trace counts as truncated."""
        self._lines.close()
        self._elements.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.close() if kind is None else self.abort()
