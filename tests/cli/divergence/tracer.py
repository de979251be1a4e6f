"""Traces tensors of every type with the package in python/, then fails as a notebook may: what was recorded until
then must be on the disk."""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[3] / "python"))
from stitch_trace import Trace  # noqa: E402

folder, target = Path(sys.argv[1]), float(sys.argv[2])
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)
trace = Trace(folder, model, optimizer, name="regression")
# Targets of a regression are no class numbers.
trace.data(np.zeros((2, 3)), np.array([0.25, target]), torch.zeros(2, 3), torch.tensor([1, 2], dtype=torch.uint8))
for dtype in (
    torch.bfloat16,
    torch.float16,
    torch.float8_e4m3fn,
    torch.complex64,
    torch.bool,
    torch.uint16,
    torch.int32,
):
    values = torch.tensor([1.0, 0.0, 2.0]).to(dtype)
    trace.record("activation", str(dtype), values, step=1)
    trace.record("activation", f"{dtype}, a scalar", values[0], step=1)
    trace.record("activation", f"{dtype}, empty", values[:0], step=1)
trace.record("activation", "transposed", torch.arange(6.0).reshape(2, 3).t(), step=1)
trace.record("activation", "negated", torch._neg_view(torch.ones(2)), step=1)
trace.record("activation", "big-endian", np.arange(3, dtype=">f4"), step=1)

for _ in range(2):
    trace.batch(torch.eye(3), torch.zeros(3))
    loss = model(torch.eye(3)).square().sum()
    trace.loss(loss)
    loss.backward()
    optimizer.step()
trace.final()
if len(sys.argv) > 3:
    trace.record("activation", "words", np.array(["a", "b"]))
trace.close()
