"""Fits a line with PyTorch and records the training in runs/python; README.md shows the same loop in Rust."""

import torch
from stitch_trace import Trace  # pip install ./python

model = torch.nn.Linear(1, 1, bias=False)
torch.nn.init.constant_(model.weight, 0.5)
optimizer = torch.optim.SGD(model.parameters(), lr=0.125)
with Trace("runs/python", model, optimizer) as trace:
    for x in [1.0, 2.0, 3.0]:
        optimizer.zero_grad()
        loss = (model(torch.tensor([x])) - 2 * x).square().sum()
        trace.loss(loss)
        loss.backward()
        optimizer.step()
