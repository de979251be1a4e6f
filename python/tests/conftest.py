import json
import os

import numpy as np
import pytest

# Tests run without installing the package, hence without its entry point.
from stitch_trace.pytest_plugin import assert_parity  # noqa: F401


class Records:
    """The records of a trace, in its order."""

    def __init__(self, folder):
        header, *self.lines = map(json.loads, (folder / "trace.jsonl").read_text().splitlines())
        self.model = header["model"]
        self.complete = "end" in self.lines[-1]
        if self.complete:
            assert self.lines.pop()["records"] == len(self.lines)
        self.raw = (folder / "trace.bin").read_bytes()

    def names(self, stage, step=None):
        return [line["name"] for line in self.lines if (line["stage"], line["step"]) == (stage, step)]

    def stages(self, step=None):
        return list(dict.fromkeys(line["stage"] for line in self.lines if line["step"] == step))

    def steps(self, stage):
        return list(dict.fromkeys(line["step"] for line in self.lines if line["stage"] == stage))

    def line(self, stage, name, step=None, epoch=None):
        key = (stage, name, step, epoch)
        (line,) = [it for it in self.lines if (it["stage"], it["name"], it["step"], it["epoch"]) == key]
        return line

    def array(self, stage, name, step=None, epoch=None):
        line = self.line(stage, name, step, epoch)
        count = int(np.prod(line["shape"]))
        return np.frombuffer(self.raw, line["dtype"], count, line["offset"]).reshape(line["shape"])


@pytest.fixture
def records():
    return Records


@pytest.fixture
def stitch():
    """The program that `$STITCH` names."""
    if "STITCH" not in os.environ:
        pytest.skip("$STITCH does not name the program")
    return os.environ["STITCH"]
