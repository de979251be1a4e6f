"""Writes the trace of header.cpp with the Python package, and checks that both have the same records."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[3] / "python"))
from stitch_trace import Writer  # noqa: E402

folder = Path(sys.argv[1])
trace = Writer(folder / "python", 'any "model"')
for length in (0, 3, 55, 56, 63, 64, 65, 119, 120, 128, 1 << 20, (1 << 20) + 1, 3 << 20):
    values = np.arange(length, dtype=np.uint64) ** 2 % 251
    trace.record("bytes", str(length), values.astype(np.uint8))
floats = np.array([[0.5, -np.nan, np.inf], [np.nan, -0.0, 1e-45]], np.float32)
trace.record("forward", "conv1", floats, step=1)
trace.record("forward", 'names: "\\\n\x1f é', np.array([0.1, np.nan, -np.inf]), step=1)
trace.record("counts", "int64", np.array([[[-1], [1 << 62]]]), epoch=2)
trace.record("counts", "int32", np.array([-1, 7], np.int32), epoch=2)
trace.record("counts", "empty", np.zeros((4, 0), np.float32), epoch=2)
trace.record("learning_rate", "0", np.float64(1e-3), step=1)
halves = np.array([0x7C00, 0x7C01, 0xFE00, 0xFC00, 0x3C00, 0x7F80, 0x7F81, 0xFF80], np.uint16)
trace.record("halves", "float16", halves.view(np.float16), step=2)
trace.record("halves", "bfloat16", torch.tensor(halves).view(torch.bfloat16).view(2, 4), step=2)
trace.record("loss", "loss", np.float32(0.25), step=1)
trace.keep = 4
trace.record("long", "float32", floats.reshape(-1))
trace.record("long", "float64", np.array([0.1, np.nan, -np.inf, -2.5]))
trace.record("long", "int64", np.array([-1, 1 << 62]))
trace.record("long", "float16", halves.view(np.float16))
trace.record("long", "bfloat16", torch.tensor(halves).view(torch.bfloat16))
trace.record("long", "nothing finite", np.array([np.nan, np.inf], np.float32))
trace.close()


def lines(name):
    return [json.loads(line) for line in (folder / name / "trace.jsonl").read_text(encoding="utf-8").splitlines()]


found = lines("cpp")
assert [line.pop("class") for line in found if "class" in line] == ["Conv2d"]
for actual, expected in zip(found, lines("python"), strict=True):
    # Sums in another order.
    of_cpp, of_python = (line.pop("statistics", {}) for line in (actual, expected))
    assert of_cpp.keys() == of_python.keys()
    assert np.allclose(list(of_cpp.values()), list(of_python.values()), rtol=1e-14, atol=0), f"{of_cpp}\n{of_python}"
    assert actual == expected, f"{actual}\n{expected}"
assert (folder / "cpp/trace.bin").read_bytes() == (folder / "python/trace.bin").read_bytes()

unknown, kept, long = lines("other")[1:]
assert unknown["sha256"] == hashlib.sha256(b"abc").hexdigest()
assert ["offset" in record for record in (unknown, kept, long)] == [False, True, False]
assert "nan" not in unknown and long["nan"] == 0
