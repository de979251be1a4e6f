"""Networks that are exported to ONNX, and their logits.

    python exported.py save                 writes NAME.pt for each network
    python exported.py check "NAME NAME"    compares each NAME.onnx, in onnxruntime, with NAME.pt in PyTorch
"""

import sys
import warnings
from pathlib import Path

import onnx
import onnxruntime
import torch
import torch.nn as nn
import torch.nn.functional as F
from networks import NETWORKS

warnings.simplefilter("ignore")
torch.set_num_threads(1)


class Activations(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2)
        self.layers = nn.Sequential(
            nn.LeakyReLU(0.1, inplace=True), nn.ELU(), nn.SiLU(inplace=True), nn.Conv2d(8, 8, 3), nn.Hardtanh(-0.5, 0.7)
        )
        self.fc = nn.Linear(8 * 11 * 11, 10)

    def forward(self, x):
        x = self.layers(self.conv(x))
        x = F.gelu(x) + torch.sigmoid(x) - F.hardswish(3 * x) * F.hardsigmoid(x)
        x = F.relu6(4 * x) / 3 + torch.clamp(x, -0.3, 0.4) + F.leaky_relu(-x) + torch.clamp(x, min=0)
        return (1 - self.fc(torch.tanh(x).view(x.size(0), -1))).softmax(-1)


class Mixed(nn.Module):
    """Squeeze and excitation, joined channels, group normalization without parameters; of color images."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8, eps=1e-3)
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.excite = nn.Conv2d(4, 8, 1)
        self.conv2 = nn.Conv2d(8, 6, (3, 5), stride=(2, 1), padding=(2, 1), dilation=(2, 1), groups=2)
        self.groups = nn.GroupNorm(7, 14, affine=False)
        self.classify = nn.Sequential(
            nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten(), nn.Dropout(0.3), nn.LayerNorm(28, bias=False), nn.Linear(28, 10, bias=False)
        )

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x *= torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))
        x = F.avg_pool2d(F.dropout2d(x, 0.1, self.training), 3, 2, 1, count_include_pad=False)
        y = F.max_pool2d(self.conv2(x), (1, 2), ceil_mode=True)
        x = self.groups(torch.cat([F.max_pool2d(x, (2, 3), stride=2), y], 1))
        return self.classify(x)


class Perceptron(nn.Module):
    """Rows of pixels, batch normalization of (N, C, L) and (N, C)."""

    def __init__(self):
        super().__init__()
        self.rows = nn.Linear(28, 16)
        self.bn1 = nn.BatchNorm1d(28)
        self.scale = nn.Parameter(torch.ones(28, 1))
        self.layers = nn.Sequential(nn.Linear(448, 32), nn.BatchNorm1d(32, affine=False), nn.Tanh(), nn.Linear(32, 10))

    def forward(self, x):
        x = self.bn1(self.rows(x.squeeze(1))) * self.scale
        x = x.permute(0, 2, 1).contiguous() + x.transpose(1, -1)
        return F.log_softmax(self.layers(x.flatten(1) - 0.5), dim=1)


def traced(model):
    return torch.jit.trace(model.eval(), torch.zeros(2, 1, 28, 28))


script = torch.jit.script
MADE = {
    **{name: (make, script) for name, make in NETWORKS.items()},
    "activations": (Activations, script),
    "mixed": (Mixed, script),
    "perceptron": (Perceptron, script),
    "traced": (NETWORKS["residual"], traced),
    # onnxruntime computes neither convolutions nor erf of float64.
    "double": (lambda: nn.Sequential(Perceptron(), nn.LayerNorm(10), nn.ReLU6()).double(), script),
}
# Greatest difference of a logit, as a part of the greatest: onnxruntime sums in another order.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def save():
    for number, (name, (make, script)) in enumerate(MADE.items()):
        torch.manual_seed(number)
        model = make()
        with torch.no_grad():
            # Neither weights of 1 nor running statistics of 0 hide a mistake.
            for tensor in [*model.parameters(), *model.buffers()]:
                if tensor.is_floating_point() and tensor.dim() == 1:
                    tensor.uniform_(0.5, 1.5)
        script(model).save(f"{name}.pt")


def check(name):
    path = f"{name}.onnx"
    file = onnx.load(path)
    onnx.checker.check_model(file, full_check=True)
    model = torch.jit.load(f"{name}.pt").eval()
    dtype = next(model.parameters()).dtype
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    [x], [logits] = session.get_inputs(), session.get_outputs()
    assert (x.name, x.shape[0], logits.name, logits.shape) == ("x", "N", "logits", ["N", 10])
    torch.manual_seed(1)
    for count in (1, 2, 33):
        images = torch.rand(count, *x.shape[1:], dtype=dtype)
        with torch.no_grad():
            expected = model(images)
        [found] = session.run(None, {"x": images.numpy()})
        found = torch.from_numpy(found)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), f"{found.dtype} {found.shape}"
        difference = ((found - expected).abs().max() / expected.abs().max()).item()
        assert difference <= TOLERANCE[dtype], f"{name}: the logits differ by {difference:.1e}"
        assert (found.argmax(1) == expected.argmax(1)).all(), f"{name}: another class"
        assert expected.std(0).max() > 0 or count == 1, f"{name}: the logits do not depend on the images"


if sys.argv[1] == "save":
    save()
else:
    names = sorted(path.stem for path in Path().glob("*.onnx"))
    assert names == sys.argv[2].split(), f"{names} were exported"
    for name in names:
        check(name)
