"""Values of every kind in records."""

import hashlib

import numpy as np
import pytest
import torch

from stitch_trace import Trace, Writer

DTYPES = "bool uint8 int8 int16 uint16 int32 uint32 int64 uint64 float16 bfloat16 float32 float64 complex32 complex64 "
DTYPES += "complex128 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu"


def test_every_type_of_pytorch_can_be_compared(tmp_path, records, stitch, assert_parity):
    with Writer(tmp_path, "types") as trace:
        for dtype in DTYPES.split():
            values = torch.tensor([1.0, 2.0, 4.0]).to(getattr(torch, dtype))
            trace.record("value", dtype, values, step=1)
            trace.record("scalar", dtype, values[0], step=1)
            trace.record("empty", dtype, values[:0], step=1)
    written = records(tmp_path)
    assert all(line["dtype"] == line["name"] and "offset" in line for line in written.lines)
    assert written.line("scalar", "bfloat16", 1)["shape"] == []
    assert assert_parity(tmp_path, tmp_path).startswith("PARITY: EQUAL (bit for bit)\n")


def test_views_are_recorded_row_by_row(tmp_path, records):
    with Writer(tmp_path) as trace:
        trace.record("view", "transposed", torch.arange(6.0).reshape(2, 3).t())
        trace.record("view", "conjugate", torch.tensor([1 + 2j]).conj())
        trace.record("view", "big-endian", np.arange(3, dtype=">f4"))
        trace.record("view", "sparse", torch.eye(2).to_sparse())
        trace.record("view", "parameter", torch.nn.Parameter(torch.tensor([float("nan"), 1.0])))
    written = records(tmp_path)
    assert (written.array("view", "transposed") == np.arange(6).reshape(2, 3).T).all()
    assert written.array("view", "conjugate") == 1 - 2j
    assert (written.array("view", "big-endian") == [0, 1, 2]).all()
    assert (written.array("view", "sparse") == np.eye(2)).all()
    assert written.line("view", "parameter")["nan"] == 1


def test_arrays_of_other_libraries(tmp_path, records):
    ml_dtypes = pytest.importorskip("ml_dtypes")

    class Array:
        """As arrays of JAX and TensorFlow."""

        def __array__(self, dtype=None, copy=None):
            return np.array([1, float("nan")], ml_dtypes.bfloat16)

    class Dlpack:
        def __init__(self):
            self.array = np.arange(3.0)

        def __dlpack__(self, **more):
            return self.array.__dlpack__(**more)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    with Trace(tmp_path) as trace:
        trace.batch(Array(), Dlpack())
        trace.loss(0.5)
        trace.end_step()
        trace.labels([3, 4])
        trace.record("value", "int4", np.array([1, 2], ml_dtypes.int4), step=trace.step)
    written = records(tmp_path)
    images = written.line("batch", "images", 1)
    assert (images["dtype"], images["nan"], images["shape"]) == ("bfloat16", 1, [2])
    expected = torch.tensor([1, float("nan")], dtype=torch.bfloat16).view(torch.uint8).numpy().tobytes()
    assert images["sha256"] == hashlib.sha256(expected).hexdigest()
    assert (written.array("batch", "labels", 1) == [0, 1, 2]).all()
    assert written.array("loss", "loss", 1) == 0.5
    assert (written.array("batch", "labels", 2) == [3, 4]).all()
    assert "offset" not in written.line("value", "int4", 2)  # stitch does not know the type


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([{}]), np.zeros(2, [("x", "f4")]), np.zeros(2, "V3")])
def test_what_is_no_number_is_refused(tmp_path, value):
    with Writer(tmp_path) as trace, pytest.raises(TypeError, match="cannot be recorded"):
        trace.record("value", "x", value)


def test_a_key_occurs_once(tmp_path):
    with Writer(tmp_path) as trace:
        trace.record("value", "x", 1.0)
        with pytest.raises(ValueError, match="recorded before"):
            trace.record("value", "x", 1.0)


def test_each_record_is_flushed_and_large_tensors_are_not_kept(tmp_path, records):
    trace = Trace(tmp_path, keep=16)
    trace.record("value", "small", np.zeros(2))
    trace.record("value", "large", np.zeros(3))
    written = records(tmp_path)
    assert not written.complete and len(written.raw) == 16
    assert "offset" in written.line("value", "small") and "offset" not in written.line("value", "large")
    trace.close()
    trace.close()
    assert records(tmp_path).complete
