"""Opens what `stitch export --format onnx` wrote with onnx and onnxruntime; compares with PyTorch."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn
from onnx import numpy_helper

sys.path.append(str(Path(__file__).resolve().parents[3] / "common"))
from lenet5 import LeNet5  # noqa: E402

# Greatest difference of a logit, as a part of the image's greatest logit. onnxruntime and libtorch sum
# in another order: over all test images, after full training, 5.9e-7 (lenet5, float32) and 2.0e-15 (mlp,
# float64) were measured. A bound on each logit's own size would be none: of a logit near zero, float32
# has lost most digits on either side (libtorch's differ from float64's by up to 2e-3 of themselves).
TOLERANCE = {"lenet5": 1e-5, "mlp": 1e-12}

torch.set_num_threads(1)
name, weights, file, images = sys.argv[1], *map(Path, sys.argv[2:5])
version = sys.argv[5]

eager = LeNet5() if name == "lenet5" else nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).double()
eager.load_state_dict(torch.load(weights), strict=True)
wanted = eager.state_dict()

model = onnx.load(file)
onnx.checker.check_model(model, full_check=True)
assert model.SerializeToString() == file.read_bytes(), "the bytes are not those of protobuf"
assert [(opset.domain, opset.version == 17) for opset in model.opset_import] == [("", True)]
assert (model.producer_name, model.producer_version) == ("stitch", version)
found = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer}
assert list(found) == list(wanted), f"names {list(found)}"
for key, value in wanted.items():
    assert found[key].dtype == value.dtype and torch.equal(found[key], value), key

session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
[x], [logits] = session.get_inputs(), session.get_outputs()
image = [1, 28, 28] if name == "lenet5" else [784]
element = "tensor(float)" if name == "lenet5" else "tensor(double)"
assert (x.name, x.shape, x.type) == ("x", ["N", *image], element)
assert (logits.name, logits.shape, logits.type) == ("logits", ["N", 10], element)

pixels = np.fromfile(images, np.uint8)[16:] / 255.0
pixels = pixels.astype(np.float32 if name == "lenet5" else np.float64).reshape(-1, *image)
greatest = 0.0
for n in (1, 2, 33, 250):
    expected = eager(torch.from_numpy(pixels[:n])).detach().numpy()
    [actual] = session.run(None, {"x": pixels[:n]})
    assert actual.shape == (n, 10) and actual.dtype == expected.dtype
    difference = (np.abs(actual - expected) / np.abs(expected).max(axis=1, keepdims=True)).max()
    assert difference <= TOLERANCE[name], f"{n} images: the logits differ by {difference}"
    greatest = max(greatest, difference)
    assert (actual.argmax(1) == expected.argmax(1)).all(), f"{n} images: another class"
print(f"{name}: greatest relative difference {greatest:.1e}")
