"""The networks that the tests compare, in torch.nn. networks.rs and stacks.rs have their twins under the same names.

To add a layer, add a line here and a line there: every test of the layers and of the exports then covers it.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn as nn

import stacks


class Network(NamedTuple):
    """Shape of an input without the batch, constructor, element type."""

    input: tuple[int, ...]
    build: Callable[[], nn.Module]
    dtype: torch.dtype = torch.float32

    def make(self):
        """The module with its initial values, which are drawn in its element type, as in the twin."""
        torch.set_default_dtype(self.dtype)
        try:
            return self.build()
        finally:
            torch.set_default_dtype(torch.float32)


F64 = torch.float64
LAYERS = {
    "linear": Network((5,), lambda: nn.Linear(5, 3)),
    "linear without bias": Network((5,), lambda: nn.Linear(5, 3, bias=False)),
    "linear of one feature": Network((1,), lambda: nn.Linear(1, 4)),
    "linear to one feature": Network((6,), lambda: nn.Linear(6, 1)),
    "linear of three dimensions": Network((4, 6), lambda: nn.Linear(6, 5)),
    "linear of three dimensions without bias": Network((4, 6), lambda: nn.Linear(6, 5, bias=False)),
    "linear wide": Network((300,), lambda: nn.Linear(300, 200)),
    "linear float64": Network((20,), lambda: nn.Linear(20, 7), F64),
    "conv2d": Network((1, 9, 9), lambda: nn.Conv2d(1, 4, 3)),
    "conv2d stride": Network((2, 9, 10), lambda: nn.Conv2d(2, 4, 3, stride=(2, 1))),
    "conv2d padding": Network((2, 7, 9), lambda: nn.Conv2d(2, 4, 3, padding=(2, 1))),
    "conv2d dilation": Network((2, 9, 9), lambda: nn.Conv2d(2, 4, 3, dilation=(2, 3))),
    "conv2d groups": Network((4, 6, 6), lambda: nn.Conv2d(4, 6, 3, groups=2)),
    "conv2d depthwise": Network((4, 6, 6), lambda: nn.Conv2d(4, 8, 3, groups=4, padding=1)),
    "conv2d without bias": Network((3, 6, 6), lambda: nn.Conv2d(3, 5, 3, bias=False)),
    "conv2d kernel 3x5": Network((2, 8, 9), lambda: nn.Conv2d(2, 4, (3, 5))),
    "conv2d kernel 1x1": Network((6, 5, 5), lambda: nn.Conv2d(6, 4, 1)),
    "conv2d kernel of the input's size": Network((2, 4, 3), lambda: nn.Conv2d(2, 5, (4, 3))),
    "conv2d of all arguments": Network(
        (4, 11, 12),
        lambda: nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False),
    ),
    "conv2d wide": Network((8, 16, 16), lambda: nn.Conv2d(8, 16, 3, padding=1)),
    "conv2d float64": Network((2, 7, 7), lambda: nn.Conv2d(2, 3, 3), F64),
    "relu": Network((3, 5), lambda: nn.ReLU()),
    "tanh": Network((3, 5), lambda: nn.Tanh()),
    "tanh wide": Network((40, 50), lambda: nn.Tanh()),
    "avg_pool2d": Network((2, 8, 6), lambda: nn.AvgPool2d(2)),
    "avg_pool2d odd": Network((2, 7, 5), lambda: nn.AvgPool2d(2)),
    "avg_pool2d stride": Network((2, 8, 9), lambda: nn.AvgPool2d(3, stride=(1, 2))),
    "avg_pool2d kernel 3x2": Network((2, 9, 8), lambda: nn.AvgPool2d((3, 2))),
    "avg_pool2d padding": Network((2, 7, 8), lambda: nn.AvgPool2d(3, padding=1)),
    "avg_pool2d padding not counted": Network(
        (2, 7, 8), lambda: nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)
    ),
    "avg_pool2d ceil_mode": Network((2, 7, 8), lambda: nn.AvgPool2d(2, stride=3, ceil_mode=True)),
    "avg_pool2d divisor_override": Network((2, 8, 6), lambda: nn.AvgPool2d(2, divisor_override=3)),
    "avg_pool2d of all arguments": Network((2, 8, 10), lambda: nn.AvgPool2d((2, 3), (2, 3), (1, 1), True, False)),
    "avg_pool2d ceil_mode and padding": Network((2, 6, 6), lambda: nn.AvgPool2d(3, 3, 1, True)),
    "avg_pool2d ceil_mode, a window in the padding": Network((2, 5, 5), lambda: nn.AvgPool2d(3, 3, 1, True)),
    "avg_pool2d ceil_mode, a window in the padding of rows": Network((2, 5, 6), lambda: nn.AvgPool2d(3, 3, 1, True)),
    "avg_pool2d ceil_mode, padding of rows not counted": Network((2, 5, 6), lambda: nn.AvgPool2d(3, 3, 1, True, False)),
    "avg_pool2d larger than the input": Network((2, 2, 2), lambda: nn.AvgPool2d(3, ceil_mode=True)),
    "max_pool2d": Network((2, 8, 6), lambda: nn.MaxPool2d(2)),
    "max_pool2d odd": Network((2, 7, 5), lambda: nn.MaxPool2d(2)),
    "max_pool2d stride": Network((2, 8, 9), lambda: nn.MaxPool2d(3, stride=(1, 2))),
    "max_pool2d kernel 3x2": Network((2, 9, 8), lambda: nn.MaxPool2d((3, 2))),
    "max_pool2d padding": Network((2, 7, 8), lambda: nn.MaxPool2d(3, padding=1)),
    "max_pool2d dilation": Network((2, 9, 8), lambda: nn.MaxPool2d(2, dilation=(3, 2))),
    "max_pool2d ceil_mode": Network((2, 7, 8), lambda: nn.MaxPool2d(2, stride=3, ceil_mode=True)),
    "max_pool2d of all arguments": Network((2, 9, 12), lambda: nn.MaxPool2d((2, 3), (2, 1), (1, 0), (1, 2), ceil_mode=True)),
    "max_pool2d ceil_mode and padding": Network((2, 6, 6), lambda: nn.MaxPool2d(3, 3, 1, ceil_mode=True)),
    "max_pool2d ceil_mode, a window in the padding": Network((2, 5, 6), lambda: nn.MaxPool2d(3, 3, 1, ceil_mode=True)),
    "max_pool2d larger than the input": Network((2, 2, 2), lambda: nn.MaxPool2d(3, ceil_mode=True)),
    "max_pool2d wide": Network((8, 24, 24), lambda: nn.MaxPool2d(2)),
    "flatten": Network((2, 3, 4), lambda: nn.Flatten()),
    "flatten from 2": Network((2, 3, 4), lambda: nn.Flatten(2)),
    "flatten from 1 to 2": Network((2, 3, 4), lambda: nn.Flatten(1, 2)),
    "dropout": Network((40,), lambda: nn.Dropout()),
    "dropout 0.1 of images": Network((2, 6, 6), lambda: nn.Dropout(0.1)),
    "dropout 0": Network((40,), lambda: nn.Dropout(0.0)),
    "dropout 1": Network((40,), lambda: nn.Dropout(1.0)),
    "dropout wide": Network((2000,), lambda: nn.Dropout(0.25)),
    "dropout float64": Network((40,), lambda: nn.Dropout(0.3), F64),
    "dropout2d": Network((6, 3, 3), lambda: nn.Dropout2d()),
    "dropout2d 0.2": Network((6, 3, 3), lambda: nn.Dropout2d(0.2)),
    "dropout2d 0": Network((6, 3, 3), lambda: nn.Dropout2d(0.0)),
    "dropout2d 1": Network((6, 3, 3), lambda: nn.Dropout2d(1.0)),
    "batch_norm2d": Network((3, 4, 5), lambda: nn.BatchNorm2d(3)),
    "batch_norm2d not affine": Network((3, 4, 5), lambda: nn.BatchNorm2d(3, affine=False)),
    "batch_norm2d eps": Network((3, 4, 5), lambda: nn.BatchNorm2d(3, eps=0.02)),
    "batch_norm2d momentum 0.3": Network((3, 4, 5), lambda: nn.BatchNorm2d(3, momentum=0.3)),
    "batch_norm2d momentum 0": Network((3, 4, 5), lambda: nn.BatchNorm2d(3, momentum=0.0)),
    "batch_norm2d momentum None": Network((3, 4, 5), lambda: nn.BatchNorm2d(3, momentum=None)),
    "batch_norm2d without running statistics": Network((3, 4, 5), lambda: nn.BatchNorm2d(3, track_running_stats=False)),
    "batch_norm2d without state": Network((3, 4, 5), lambda: nn.BatchNorm2d(3, affine=False, track_running_stats=False)),
    "batch_norm2d wide": Network((16, 12, 12), lambda: nn.BatchNorm2d(16)),
    "batch_norm2d float64": Network((3, 4, 5), lambda: nn.BatchNorm2d(3), F64),
}
STACKS = {
    "mlp": Network((12,), stacks.mlp),
    "mlp float64": Network((12,), stacks.mlp, F64),
    "conv, batch norm, pool, dropout": Network((1, 10, 10), stacks.ConvNet),
    "conv, batch norm, pool, dropout, float64": Network((1, 10, 10), stacks.ConvNet, F64),
    "nested": Network((2, 8, 8), stacks.Nested),
    "residual": Network((4, 6, 6), stacks.residual),
    "lenet": Network((1, 28, 28), stacks.LeNet),
    "tanh lenet": Network((1, 14, 14), stacks.TanhLeNet),
    "functions": Network((2, 8, 8), stacks.Functions),
    "a layer applied twice": Network((6,), stacks.Shared),
    "views": Network((2, 4, 4), stacks.Views),
    "own parameters": Network((5,), stacks.OwnParameters),
    "own parameters of a submodule": Network((5,), stacks.OwnParametersWithin),
    "returns its input": Network((5,), nn.Sequential),
    "returns its input, with a layer aside": Network((5,), stacks.Aside),
    "returns a value before the last": Network((6,), stacks.Early),
    "unused layer": Network((6,), stacks.Unused),
}
NETWORKS = LAYERS | STACKS
